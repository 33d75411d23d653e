"""Inodes: what a tree is made of."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ._content import BLOCK, PART, Parts, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["Directory", "File", "Node", "Symlink", "encode", "status"]


def encode(name: str) -> bytes:
    """Return a name's bytes: UTF-8, what is not UTF-8 surrogate-escaped, whatever the platform's own rule."""
    return name.encode("utf-8", "surrogateescape")


class Node:
    """An inode. Nodes of a committed snapshot never change; an active one copies before it changes.

    A node does not point at its directory but holds its inode number and the name in there: so one inode can be
    replaced by a changed copy without touching any other, however many names it has.
    """

    __slots__ = ("also", "atime", "ctime", "gid", "home", "ino", "mode", "mtime", "nlink", "rdev", "uid", "xattrs")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, home: tuple[int, str]) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 1
        self.rdev = 0
        self.atime = self.mtime = self.ctime = now
        #: Replaced as a whole when it changes, so copies share it.
        self.xattrs: dict[str, bytes] | None = None
        #: The directory's inode number and the name in it; the root has itself and "".
        self.home = home
        #: The further names of a file with hard links.
        self.also: set[tuple[int, str]] | None = None

    def copy(self) -> Self:
        """Return a copy to be changed."""
        twin = self.__class__.__new__(self.__class__)
        twin.ino = self.ino
        twin.mode = self.mode
        twin.uid = self.uid
        twin.gid = self.gid
        twin.nlink = self.nlink
        twin.rdev = self.rdev
        twin.atime = self.atime
        twin.mtime = self.mtime
        twin.ctime = self.ctime
        twin.xattrs = self.xattrs
        twin.home = self.home
        twin.also = self.also and self.also.copy()
        return twin

    @property
    def size(self) -> int:
        """``st_size`` in bytes."""
        return 0

    @property
    def blocks(self) -> int:
        """``st_blocks`` in units of 512 bytes."""
        return 0

    def names(self) -> Iterator[tuple[int, str]]:
        """Yield each name as its directory's inode number and itself."""
        yield self.home
        if self.also:
            yield from self.also

    def add_name(self, place: tuple[int, str]) -> None:
        """Note a further name."""
        if self.also is None:
            self.also = set()
        self.also.add(place)

    def move_name(self, old: tuple[int, str], new: tuple[int, str]) -> None:
        """Note that one name became another."""
        if self.home == old:
            self.home = new
        elif self.also is not None:
            self.also.discard(old)
            self.also.add(new)

    def drop_name(self, place: tuple[int, str]) -> None:
        """Note that a name is gone; the last one stays as a memory of where an unlinked file was."""
        if self.also:
            if self.home == place:
                self.home = self.also.pop()
            else:
                self.also.discard(place)


class Directory(Node):
    """A directory: names to inode numbers."""

    __slots__ = ("entries",)

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, home: tuple[int, str]) -> None:
        super().__init__(ino, mode, uid, gid, now, home)
        self.nlink = 2
        self.entries: dict[str, int] = {}

    def copy(self) -> Self:
        twin = super().copy()
        twin.entries = self.entries.copy()
        return twin

    @property
    def size(self) -> int:
        return BLOCK

    @property
    def blocks(self) -> int:
        return BLOCK // 512


class Symlink(Node):
    """A symbolic link."""

    __slots__ = ("target",)

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, home: tuple[int, str]) -> None:
        super().__init__(ino, mode, uid, gid, now, home)
        self.target = ""

    def copy(self) -> Self:
        twin = super().copy()
        twin.target = self.target
        return twin

    @property
    def size(self) -> int:
        return len(encode(self.target))


class File(Node):
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
        """Return up to ``count`` bytes from ``offset``; fewer only at the end."""
        data = self.data
        if isinstance(data, Parts):
            return data.read(offset, count)
        return bytes(data[offset : offset + count])

    def content(self) -> bytes:
        """Return all bytes."""
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
        """Write at ``offset``; what lies between the old end and it reads as zeros."""
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
        """Cut the content, or extend it by a hole."""
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


#: The order in which os.stat_result takes its fields on Linux: giving them so is three times faster than by name.
_SHORT = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "_atime", "_mtime", "_ctime")
_MORE = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
_FIELDS = (*_SHORT, *_MORE, "st_blksize", "st_blocks", "st_rdev")
_AS_ON_LINUX = len(_FIELDS) == os.stat_result.n_fields and all(
    name.startswith("_") or getattr(os.stat_result(tuple(range(len(_FIELDS)))), name) == number
    for number, name in enumerate(_FIELDS)
)


def status(node: Node, dev: int) -> os.stat_result:
    """Return a node's attributes as :func:`os.stat` would."""
    atime, mtime, ctime = node.atime, node.mtime, node.ctime
    if type(node) is File and type(node.data) is bytes:
        size = len(node.data)
        blocks = (size + 4095) // 4096 * 8
    else:
        size, blocks = node.size, node.blocks
    short = (
        node.mode,
        node.ino,
        dev,
        node.nlink,
        node.uid,
        node.gid,
        size,
        atime // 1_000_000_000,
        mtime // 1_000_000_000,
        ctime // 1_000_000_000,
    )
    long = (atime / 1e9, mtime / 1e9, ctime / 1e9, atime, mtime, ctime, BLOCK, blocks, node.rdev)
    if _AS_ON_LINUX:
        return os.stat_result(short + long)
    return os.stat_result(short, dict(zip(_FIELDS[10:], long, strict=True)))


def kind_of(mode: int) -> type[Node]:
    """Return the class of nodes for a file type."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        return Directory
    if kind == stat.S_IFREG:
        return File
    return Symlink if kind == stat.S_IFLNK else Node
