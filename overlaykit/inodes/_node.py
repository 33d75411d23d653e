"""Inodes: what a tree is made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from typing import Self

__all__ = ["BLOCK", "MAX_SIZE", "Directory", "File", "Node", "Symlink", "blocks_of", "encode", "status"]

BLOCK = 4096
"""Bytes in a block: the grain of ``st_blocks`` and of holes."""

MAX_SIZE = (1 << 44) - BLOCK
"""The largest file, in bytes: that of ext4 with blocks of 4 KiB."""


def blocks_of(length: int) -> int:
    """Return the units of 512 bytes that ``length`` bytes take in whole blocks."""
    return (length + BLOCK - 1) // BLOCK * (BLOCK // 512)


def encode(name: str) -> bytes:
    """Return a name's bytes: UTF-8, what is not UTF-8 surrogate-escaped, whatever the platform's own rule."""
    return name.encode("utf-8", "surrogateescape")


class Node:
    """An inode. One of a committed snapshot never changes; an active one copies before it changes.

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
    """A directory: names to inode numbers, in a dictionary or in what looks like one and keeps them elsewhere."""

    __slots__ = ("entries",)

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, home: tuple[int, str]) -> None:
        super().__init__(ino, mode, uid, gid, now, home)
        self.nlink = 2
        self.entries: MutableMapping[str, int] = {}

    def copy(self) -> Self:
        """Return a copy to be changed; its entries are the same object, unless a subclass copies them too."""
        twin = super().copy()
        twin.entries = self.entries
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
    """A regular file. How its bytes are kept is the storage's matter."""

    __slots__ = ()

    def read(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``offset``; fewer only at the end."""
        raise NotImplementedError

    def content(self) -> bytes:
        """Return all bytes."""
        return self.read(0, self.size)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at ``offset``; what lies between the old end and it reads as zeros.

        :raises MemoryError: there is no room for it; the tree makes ENOSPC of that.
        """
        raise NotImplementedError

    def truncate(self, length: int) -> None:
        """Cut the content, or extend it by a hole."""
        raise NotImplementedError

    def seek_data(self, offset: int) -> int:
        """Return the first offset from ``offset``, which is below the size, on that is no hole.

        :raises OSError: ENXIO: there is none.
        """
        return offset

    def seek_hole(self, offset: int) -> int:
        """Return the first offset from ``offset``, which is below the size, on that lies in a hole, or the size."""
        return self.size


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
