"""The native module, and errors from its results."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from .. import errors

if TYPE_CHECKING:
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


def load() -> Any:
    """Return the native module, with ``ffi`` and ``lib``.

    :raises UnsupportedError: this installation has none.
    """
    try:
        return _module()
    except ImportError as error:
        raise errors.UnsupportedError(
            "overlaykit's native module is missing: reinstall overlaykit on Linux with a C compiler, "
            "or use the memory driver"
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
