"""Open files."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from . import _xattr
from ._node import MAX_SIZE, File

if TYPE_CHECKING:
    from ._inodes import Caller, Inodes
    from ._node import Node

__all__ = ["InodeFile", "drop_privileges", "drops_setgid"]

_SEEK_DATA: int = getattr(os, "SEEK_DATA", 3)
_SEEK_HOLE: int = getattr(os, "SEEK_HOLE", 4)
_WRONLY: int = os.O_WRONLY
_WRITES: int = os.O_WRONLY | os.O_RDWR
_APPEND: int = os.O_APPEND
_ACCESS = os.O_RDONLY | _WRITES


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def drops_setgid(node: Node, caller: Caller) -> bool:
    """Tell whether setgid goes with a change of content or owner (``setattr_should_drop_sgid``)."""
    return bool(node.mode & stat.S_IXGRP) or not (caller.privileged or node.gid == caller.gid)


def drop_privileges(node: File, caller: Caller) -> None:
    """Do what the kernel does before content changes (``file_remove_privs``).

    File capabilities go in any case, setuid and setgid unless the caller is privileged.
    """
    if node.xattrs:
        _xattr.drop(node, _xattr.CAPABILITY)
    if node.mode & (stat.S_ISUID | stat.S_ISGID) and not caller.privileged:
        node.mode &= ~stat.S_ISUID
        if drops_setgid(node, caller):
            node.mode &= ~stat.S_ISGID


class InodeFile(io.RawIOBase):
    """A raw binary file over an inode; what :class:`io.FileIO` is over a descriptor.

    It stays usable after its name, its tree or its snapshot are gone. Files of one inode see each other's writes, and
    each write, appending or not, is atomic to the others.
    """

    _position = 0
    _open = False

    def __init__(self, inodes: Inodes, ino: int, flags: int, name: str | bytes) -> None:
        """In a bracket, so that the inode is still there."""
        self._inodes = inodes
        self._ino = ino
        self._flags = flags
        self.name = name
        # One look at a flag is cheaper than the inherited attribute, which goes through a dictionary and a descriptor.
        self._open = True
        self._counted = not inodes.frozen
        if self._counted:
            inodes.opens(ino, id(self) if flags & _WRITES else 0, name)

    def __repr__(self) -> str:
        state = f"mode={self.mode!r}" if self._open else "closed"
        return f"<{type(self).__name__} name={self.name!r} {state}>"

    @property
    def mode(self) -> str:
        """The mode as :attr:`io.FileIO.mode` has it."""
        access = self._flags & _ACCESS
        if access == os.O_RDONLY:
            return "rb"
        letters = "ab" if self._flags & os.O_APPEND else "rb" if access == os.O_RDWR else "wb"
        return letters + "+" if access == os.O_RDWR else letters

    def close(self) -> None:
        if self._open:
            self._open = False
            super().close()
            if self._counted:
                self._inodes.closes(self._ino, id(self) if self._flags & _WRITES else 0)

    # -- what it can do ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self._open:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        if not self._open:
            self._check()
        return not self._flags & _WRONLY

    def writable(self) -> bool:
        if not self._open:
            self._check()
        return self._flags & _WRITES != 0

    def seekable(self) -> bool:
        if not self._open:
            self._check()
        return True

    def isatty(self) -> bool:
        self._check()
        return False

    def _node(self) -> File:
        """Return the inode to be read, as the snapshot has it now. In a bracket."""
        try:
            node = self._inodes.node(self._ino)
        except KeyError:
            # Only what several processes show knows of names that went elsewhere: as on NFS.
            raise _error(getattr(errno, "ESTALE", errno.ENOENT)) from None
        assert isinstance(node, File)
        return node

    def _check_read(self) -> None:
        self._check()
        if self._flags & _WRONLY:
            raise io.UnsupportedOperation("File not open for reading")

    def _check_write(self) -> None:
        self._check()
        if not self._flags & _WRITES:
            raise io.UnsupportedOperation("File not open for writing")

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        self._check_read()
        if size is None or size < 0:
            return self.readall()
        with self._inodes.reading:
            data = self._node().read(self._position, size)
            self._position += len(data)
        return data

    def readall(self) -> bytes:
        self._check_read()
        with self._inodes.reading:
            node = self._node()
            position = self._position
            data = node.read(position, node.size) if position else node.content()
            self._position = position + len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        count = len(data)
        view[:count] = data
        return count

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, data: Any, /) -> int:
        if not self._open or not self._flags & _WRITES:
            self._check_write()
        view = memoryview(data).cast("B")
        count = len(view)
        if not count:
            return 0
        inodes = self._inodes
        with inodes.writing:
            node = inodes.file(self._ino)
            position = node.size if self._flags & _APPEND else self._position
            if position + count > MAX_SIZE:
                raise _error(errno.EFBIG)
            if node.xattrs or node.mode & 0o6000:
                drop_privileges(node, inodes.caller)
            try:
                node.write(position, view)
            except MemoryError:
                raise _error(errno.ENOSPC) from None
            node.mtime = node.ctime = time.time_ns()
            self._position = position + count
        return count

    def truncate(self, size: int | None = None, /) -> int:
        self._check_write()
        inodes = self._inodes
        with inodes.writing:
            length = self._position if size is None else size
            if length < 0:
                raise _error(errno.EINVAL)
            if length > MAX_SIZE:
                raise _error(errno.EFBIG)
            node = inodes.file(self._ino)
            drop_privileges(node, inodes.caller)
            node.truncate(length)
            node.mtime = node.ctime = time.time_ns()
        return length

    # -- position ------------------------------------------------------------------------------------------------

    def tell(self) -> int:
        if not self._open:
            self._check()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move as lseek(2), ``os.SEEK_DATA`` and ``os.SEEK_HOLE`` included."""
        if not self._open:
            self._check()
        with self._inodes.reading:
            if whence == 0:
                position = offset
            elif whence == 1:
                position = self._position + offset
            elif whence == 2:
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
        return node.seek_data(offset) if whence == _SEEK_DATA else node.seek_hole(offset)
