"""openat2(2)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from ._lib import check, load

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = [
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "RESOLVE_NO_XDEV",
    "openat2",
]

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


def openat2(directory: int, path: StrOrBytesPath, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open ``path`` below a directory; see openat2(2).

    :param directory: a directory's descriptor.
    :param flags: ``os.O_*``; ``O_CLOEXEC`` is added.
    :param mode: permission bits, with ``O_CREAT`` or ``O_TMPFILE`` alone.
    :param resolve: ``RESOLVE_*``.
    :returns: a descriptor that the caller closes.
    :raises OSError: as openat2(2).
    """
    function, raw = load().lib.ok_openat2, os.fsencode(path)
    # EINTR: the interpreter has run the signal's handler, which did not raise (PEP 475).
    while (fd := function(directory, raw, flags | os.O_CLOEXEC, mode, resolve)) == -errno.EINTR:
        pass
    return check(fd, path)
