"""Inodes in memory."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from overlaykit import inodes
from overlaykit.inodes import BLOCK, Node, Symlink, blocks_of

from ._content import PART, Parts

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Directory", "File", "Node", "Symlink", "kind_of"]


class Directory(inodes.Directory):
    """A directory, its entries in a dictionary."""

    __slots__ = ()

    def copy(self) -> Self:
        twin = super().copy()
        twin.entries = dict(self.entries)
        return twin


class File(inodes.File):
    """A regular file: one ``bytes`` object while it is small, which is shared and handed out as it is."""

    __slots__ = ("data", "private")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, home: tuple[int, str]) -> None:
        super().__init__(ino, mode, uid, gid, now, home)
        self.data: bytes | bytearray | Parts = b""
        #: Whether ``data`` is a bytearray that this node alone holds.
        self.private = False

    def copy(self) -> Self:
        twin = super().copy()
        twin.data = self.data.copy() if type(self.data) is Parts else self.data
        twin.private = False
        return twin

    @property
    def size(self) -> int:
        data = self.data
        return data.size if type(data) is Parts else len(data)  # type: ignore[arg-type]

    @property
    def blocks(self) -> int:
        data = self.data
        return data.blocks if type(data) is Parts else blocks_of(len(data))  # type: ignore[arg-type]

    def read(self, offset: int, count: int) -> bytes:
        data = self.data
        if isinstance(data, Parts):
            return data.read(offset, count)
        return bytes(data[offset : offset + count])

    def content(self) -> bytes:
        data = self.data
        if type(data) is bytes:
            return data
        return data.read(0, data.size) if isinstance(data, Parts) else bytes(data)

    def replace(self, data: bytes | bytearray | memoryview) -> None:
        """Replace the whole content; a ``bytes`` object that is small enough is kept as it is."""
        if len(data) <= PART:
            self.data = bytes(data)
        else:
            parts = Parts()
            parts.write(0, data)
            self.data = parts
        self.private = False

    def write(self, offset: int, data: memoryview) -> None:
        old = self.data
        if not isinstance(old, Parts):
            length, end = len(old), offset + len(data)
            if end <= PART and offset < length + BLOCK:
                if offset == 0 and end >= length:
                    self.data = bytes(data)
                    self.private = False
                    return
                part = old if self.private and isinstance(old, bytearray) else bytearray(old)
                if offset > length:
                    part.extend(bytes(offset - length))
                part[offset:end] = data
                self.data = part
                self.private = True
                return
            old = self._split()
        old.write(offset, data)

    def truncate(self, length: int) -> None:
        old = self.data
        if isinstance(old, Parts):
            old.truncate(length)
            if not length:
                self.data = b""
        elif length < len(old):
            self.data = bytes(old[:length])
            self.private = False
        elif length > PART or length - len(old) >= BLOCK:
            self._split().truncate(length)
        else:
            self.data = bytes(old).ljust(length, b"\0")
            self.private = False

    def settle(self) -> None:
        """Turn content that grew write by write into one object to be handed out; for the last writer's close."""
        if self.private:
            self.data = bytes(self.data)  # type: ignore[arg-type]
            self.private = False

    def _split(self) -> Parts:
        parts = Parts()
        parts.write(0, self.data)  # type: ignore[arg-type]
        self.data = parts
        self.private = False
        return parts

    def same_content(self, other: File) -> bool:
        """Tell whether both hold the same bytes, looking only at those that are not shared."""
        mine, theirs = self.data, other.data
        if mine is theirs:
            return True
        if isinstance(mine, Parts) and isinstance(theirs, Parts):
            return mine == theirs
        return self.size == other.size and self.content() == other.content()

    def seek_data(self, offset: int) -> int:
        data = self.data
        return data.seek_data(offset) if isinstance(data, Parts) else offset

    def seek_hole(self, offset: int) -> int:
        data = self.data
        return data.seek_hole(offset) if isinstance(data, Parts) else self.size


def kind_of(mode: int) -> type[Node]:
    """Return the class of nodes for a file type."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        return Directory
    if kind == stat.S_IFREG:
        return File
    return Symlink if kind == stat.S_IFLNK else Node
