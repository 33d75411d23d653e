"""What plugins raise, made the fault of who raised it."""

from __future__ import annotations

import contextlib

from ._resolve import describe_error

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RefusedError", "refusing"]


class RefusedError(Exception):
    """A plugin, or what it handed over, cannot be used; the message is one line."""


@contextlib.contextmanager
def refusing(what: str, way_out: str = "") -> Iterator[None]:
    """Make a :class:`RefusedError` of whatever is raised, that of who ends the program included.

    Only :exc:`KeyboardInterrupt` passes: it is what somebody does who waits for a plugin that hangs.

    :param what: what is being done, such as ``"importing it"``.
    :param way_out: what may be done about it.
    """
    try:
        yield
    except (KeyboardInterrupt, RefusedError):
        raise
    except BaseException as error:
        raise RefusedError(f"{what} raised {describe_error(error)}{way_out}") from error
