"""Open files."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from . import _xattr
from ._content import MAX_SIZE, Parts
from ._node import File

if TYPE_CHECKING:
    from ._snapshot import Snapshot

__all__ = ["MemoryFile", "drop_privileges"]

_SEEK_DATA: int = getattr(os, "SEEK_DATA", 3)
_SEEK_HOLE: int = getattr(os, "SEEK_HOLE", 4)
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def drop_privileges(node: File, privileged: bool) -> None:
    """Do what the kernel does before content changes (``file_remove_privs``).

    :param privileged: whether the caller has CAP_FSETID, and so keeps setuid and setgid.
    """
    if node.xattrs:
        _xattr.drop(node, _xattr.CAPABILITY)
    if node.mode & (stat.S_ISUID | stat.S_ISGID) and not privileged:
        node.mode &= ~stat.S_ISUID
        if node.mode & stat.S_IXGRP:
            node.mode &= ~stat.S_ISGID


class MemoryFile(io.RawIOBase):
    """A raw binary file over an inode; what :class:`io.FileIO` is over a descriptor.

    It stays usable after its name, its tree or its snapshot are gone. Files of one inode see each other's writes, and
    each write, appending or not, is atomic to the others.
    """

    name: str | bytes
    mode: str

    def __init__(self, snapshot: Snapshot, ino: int, flags: int, name: str | bytes) -> None:
        """The caller holds the snapshot's lock."""
        access = flags & _ACCESS
        self._readable = access != os.O_WRONLY
        self._writable = access != os.O_RDONLY
        self._append = flags & os.O_APPEND != 0
        self._snapshot = snapshot
        self._ino = ino
        self._position = 0
        self.name = name
        self._counted = not snapshot.frozen
        if self._counted:
            snapshot.opens(ino)
            if self._writable:
                snapshot.writers[id(self)] = name if isinstance(name, str) else os.fsdecode(name)
        if not self._writable:
            self.mode = "rb"
        elif self._append:
            self.mode = "ab+" if self._readable else "ab"
        else:
            self.mode = "rb+" if self._readable else "wb"

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"mode={self.mode!r}"
        return f"<{type(self).__name__} name={self.name!r} {state}>"

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self._counted:
                self._counted = False
                snapshot = self._snapshot
                with snapshot.lock:
                    snapshot.closes(self._ino)
                    snapshot.writers.pop(id(self), None)

    # -- what it can do ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        self._check()
        return self._readable

    def writable(self) -> bool:
        self._check()
        return self._writable

    def seekable(self) -> bool:
        self._check()
        return True

    def isatty(self) -> bool:
        self._check()
        return False

    def _node(self) -> File:
        """Return the inode to be read, as the snapshot has it now."""
        node = self._snapshot.own.get(self._ino) or self._snapshot.base[self._ino]
        assert isinstance(node, File)
        return node

    def _check_read(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not self._readable:
            raise io.UnsupportedOperation("File not open for reading")

    def _check_write(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not self._writable:
            raise io.UnsupportedOperation("File not open for writing")

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        self._check_read()
        if size is None or size < 0:
            return self.readall()
        with self._snapshot.lock:
            data = self._node().read(self._position, size)
            self._position += len(data)
        return data

    def readall(self) -> bytes:
        self._check_read()
        with self._snapshot.lock:
            node = self._node()
            data = node.content() if not self._position else node.read(self._position, max(node.size, 0))
            self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        count = len(data)
        view[:count] = data
        return count

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, data: Any, /) -> int:
        self._check_write()
        view = memoryview(data).cast("B")
        count = len(view)
        if not count:
            return 0
        snapshot = self._snapshot
        with snapshot.lock:
            node = snapshot.file(self._ino)
            position = node.size if self._append else self._position
            if position + count > MAX_SIZE:
                raise _error(errno.EFBIG)
            drop_privileges(node, snapshot.world.privileged)
            try:
                node.write(position, view)
            except MemoryError:
                raise _error(errno.ENOSPC) from None
            node.mtime = node.ctime = time.time_ns()
            self._position = position + count
        return count

    def truncate(self, size: int | None = None, /) -> int:
        self._check_write()
        snapshot = self._snapshot
        with snapshot.lock:
            length = self._position if size is None else size
            if length < 0:
                raise _error(errno.EINVAL)
            if length > MAX_SIZE:
                raise _error(errno.EFBIG)
            node = snapshot.file(self._ino)
            drop_privileges(node, snapshot.world.privileged)
            node.truncate(length)
            node.mtime = node.ctime = time.time_ns()
        return length

    # -- position ------------------------------------------------------------------------------------------------

    def tell(self) -> int:
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move as lseek(2), ``os.SEEK_DATA`` and ``os.SEEK_HOLE`` included."""
        self._check()
        with self._snapshot.lock:
            if whence == os.SEEK_SET:
                position = offset
            elif whence == os.SEEK_CUR:
                position = self._position + offset
            elif whence == os.SEEK_END:
                position = self._node().size + offset
            elif whence in (_SEEK_DATA, _SEEK_HOLE):
                position = self._seek_content(offset, whence)
            else:
                raise _error(errno.EINVAL)
            if not 0 <= position <= MAX_SIZE:
                raise _error(errno.EINVAL)
            self._position = position
        return position

    def _seek_content(self, offset: int, whence: int) -> int:
        node = self._node()
        if not 0 <= offset < node.size:
            raise _error(errno.ENXIO)
        data = node.data
        if isinstance(data, Parts):
            return data.seek_data(offset) if whence == _SEEK_DATA else data.seek_hole(offset)
        return offset if whence == _SEEK_DATA else node.size
