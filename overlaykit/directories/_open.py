"""Descriptors of directories."""

from __future__ import annotations

import os
from contextlib import contextmanager

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..tree import StrOrBytesPath

__all__ = ["open_directory"]


@contextmanager
def open_directory(path: StrOrBytesPath, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open a directory for the length of a ``with``.

    :param path: the directory. A symbolic link in its last place is not followed.
    :param flags: ``os.O_PATH`` for the root of a tree, which may be closed to its own owner. Locks, :func:`os.fsync`,
        :func:`os.listdir` and the ioctls of file systems want one that is opened for reading.
    :returns: its descriptor, closed at the end.
    :raises OSError: it cannot be opened; ENOTDIR: it is no directory, or a symbolic link.
    """
    fd = os.open(path, flags | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
