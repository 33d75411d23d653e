"""The native module, and errors from its results."""

from __future__ import annotations

import functools
import os

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from ..tree import StrOrBytesPath

__all__ = ["available", "check", "load"]


@functools.cache
def _module() -> Any:
    from .. import _native

    return _native


def available() -> bool:
    """Tell whether the native module is there: on Linux, built with a C compiler."""
    try:
        _module()
    except ImportError:
        return False
    return True


def load(need: str = "") -> Any:
    """Return the native module, with ``ffi`` and ``lib``.

    :param need: what needs it whatever the driver, in the third person; ``""`` for what the memory driver does without.
    :raises UnsupportedError: this installation has none.
    """
    try:
        return _module()
    except ImportError as error:
        what = f", and {need} whatever the driver" if need else ""
        way = "" if need else ", or use the memory driver"
        raise errors.UnsupportedError(
            f"overlaykit's native module is missing{what}: reinstall overlaykit on Linux with a C compiler{way}"
        ) from error


def check(result: int, path: StrOrBytesPath | None = None, second: StrOrBytesPath | None = None) -> int:
    """Return a result of the native module, or raise what it stands for.

    :param result: >= 0, or ``-errno``.
    :param path: what the error is about.
    :param second: the second path of an operation on two.
    :raises OSError: the result is negative.
    """
    if result < 0:
        raise OSError(-result, os.strerror(-result), path, None, second)
    return result
