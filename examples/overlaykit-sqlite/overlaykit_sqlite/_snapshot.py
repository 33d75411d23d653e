"""The inodes of one snapshot: rows of its own layer over those of the layers below."""

from __future__ import annotations

import struct
from collections.abc import Iterator, MutableMapping
from typing import Any

from overlaykit.inodes import Caller, Directory, Inodes, Node, Symlink, encode

from ._content import SqliteFile
from ._database import Bracket, Database

__all__ = ["Chain", "Snapshot"]

_COLUMNS = "layer, mode, uid, gid, nlink, rdev, times, directory, name, target, size, blocks, below, xattrs"
_TIMES = struct.Struct("<qIqIqI")
_XATTR = struct.Struct("<HI")
_SECOND = 1_000_000_000
_KINDS = {0o040000: Directory, 0o100000: SqliteFile, 0o120000: Symlink}

Chain = frozenset[int]
"""The layers of a snapshot: its own and all below."""


class Snapshot(Inodes):
    """One snapshot of a database.

    :param layer: its own layer, the highest number in ``chain``.
    """

    __slots__ = ("chain", "database", "frozen", "layer", "orphans", "touched")

    def __init__(
        self, database: Database, caller: Caller, layer: int, chain: Chain, root: int, *, frozen: bool
    ) -> None:
        super().__init__(caller, root, layer)
        self.database = database
        self.layer = layer
        self.chain = chain
        self.frozen = frozen
        self.lock = database.lock
        #: What was handed out to be changed in this bracket, by number.
        self.touched: dict[int, Node] = {}
        #: Files without a name that were closed while somebody was reading.
        self.orphans: set[int] = set()

    @property
    def reading(self) -> Bracket:
        return self.database.reading

    @property
    def writing(self) -> Bracket:
        return self.database.writing

    # -- inodes --------------------------------------------------------------------------------------------------

    def node(self, ino: int) -> Node:
        node = self.touched.get(ino)
        if node is not None:
            return node
        rows = self.database.execute(
            f"SELECT {_COLUMNS} FROM inodes WHERE ino = ? AND layer <= ? ORDER BY layer DESC", (ino, self.layer)
        )
        # Between the versions of the chain there are those of snapshots beside it.
        for row in rows:
            if row[0] in self.chain:
                return self._node(ino, row)
        raise KeyError(ino)

    def _node(self, ino: int, row: tuple[Any, ...]) -> Node:
        layer, mode, uid, gid, nlink, rdev, times, directory, name, target, size, blocks, below, xattrs = row
        node = _KINDS.get(mode & 0o170000, Node)(ino, mode, uid, gid, 0, (directory, _text(name)))
        node.nlink, node.rdev, node.xattrs = nlink, rdev, _unpack_xattrs(xattrs)
        seconds = _TIMES.unpack(times)
        node.atime, node.mtime, node.ctime = (seconds[i] * _SECOND + seconds[i + 1] for i in (0, 2, 4))
        if isinstance(node, SqliteFile):
            node.snapshot, node.length, node.allocated = self, size, blocks
            node.below = below if layer == self.layer else size
        elif isinstance(node, Directory):
            node.entries = Entries(self, ino)
        elif isinstance(node, Symlink):
            node.target = _text(target)
        return node

    def mine(self, ino: int) -> Node:
        node = self.touched.get(ino)
        if node is None:
            node = self._touch(self.node(ino))
        return node

    def _touch(self, node: Node) -> Node:
        self.touched[node.ino] = node
        self.database.pending.add(self)
        return node

    def make(self, mode: int, gid: int, now: int, home: tuple[int, str]) -> Node:
        (ino,) = self.database.execute("UPDATE counter SET next = next + 1 RETURNING next - 1").fetchone()
        node = _KINDS.get(mode & 0o170000, Node)(ino, mode, self.caller.uid, gid, now, home)
        if isinstance(node, SqliteFile):
            node.snapshot, node.length, node.allocated, node.below = self, 0, 0, 0
        elif isinstance(node, Directory):
            node.entries = Entries(self, ino)
        return self._touch(node)

    def drop(self) -> None:
        self.touched.clear()

    def flush(self) -> None:
        for ino, node in self.touched.items():
            size = blocks = below = 0
            target = None
            if isinstance(node, SqliteFile):
                size, blocks, below = node.length, node.allocated, node.below
            elif isinstance(node, Symlink):
                target = encode(node.target)
            times = _TIMES.pack(*(part for time in (node.atime, node.mtime, node.ctime) for part in _divided(time)))
            directory, name = node.home
            self.database.execute(
                f"INSERT OR REPLACE INTO inodes (ino, {_COLUMNS}) VALUES (?{', ?' * 14})",
                (
                    *(ino, self.layer, node.mode, node.uid, node.gid, node.nlink, node.rdev, times),
                    *(directory, encode(name), target, size, blocks, below, _pack_xattrs(node.xattrs)),
                ),
            )
        while self.orphans:
            self._delete(self.orphans.pop())

    def forget(self, ino: int) -> None:
        self.touched.pop(ino, None)
        self._delete(ino)

    def _delete(self, ino: int) -> None:
        for table in ("inodes", "pieces"):
            self.database.execute(f"DELETE FROM {table} WHERE layer = ? AND ino = ?", (self.layer, ino))

    def settle(self, ino: int) -> None:
        if self.frozen:
            return
        if self.database.depth and not self.database.writes:
            self.orphans.add(ino)  # closed by the garbage collector, in the middle of something else
            return
        with self.writing:
            try:
                unnamed = self.node(ino).nlink == 0
            except KeyError:
                return
            if unnamed:
                self.forget(ino)
            self.database.pending.add(self)  # for the orphans

    def scan(self, directory: Directory) -> Iterator[tuple[str, int, int]]:
        assert isinstance(directory.entries, Entries)
        return directory.entries.scan()

    def wrote(self, ino: int) -> bool:
        """Tell whether this snapshot may have written to a file of the layers below."""
        with self.reading:
            file = self.node(ino)
            if isinstance(file, SqliteFile) and file.below < file.length:
                return True
            found = self.database.execute("SELECT 1 FROM pieces WHERE layer = ? AND ino = ? LIMIT 1", (self.layer, ino))
            return found.fetchone() is not None

    def versions(self, file: SqliteFile) -> Iterator[tuple[int, int]]:
        """Yield the layers that may have bytes of a file, from above, and up to which offset they show."""
        yield self.layer, file.length
        limit = file.below
        rows = self.database.execute(
            "SELECT layer, below FROM inodes WHERE ino = ? AND layer < ? ORDER BY layer DESC", (file.ino, self.layer)
        )
        for layer, below in rows.fetchall() if limit else ():
            if layer in self.chain:
                yield layer, limit
                limit = min(limit, below)
                if not limit:
                    return


class Entries(MutableMapping[str, int]):
    """The names in a directory."""

    __slots__ = ("_directory", "_snapshot")

    def __init__(self, snapshot: Snapshot, directory: int) -> None:
        self._snapshot = snapshot
        self._directory = directory

    def _lookup(self, name: str, below: int) -> int | None:
        """Return what a name stands for in the layers below a number."""
        rows = self._snapshot.database.execute(
            "SELECT layer, ino FROM entries WHERE directory = ? AND name = ? AND layer < ? ORDER BY layer DESC",
            (self._directory, encode(name), below),
        )
        return next((ino for layer, ino in rows if layer in self._snapshot.chain), None)

    def __getitem__(self, name: str) -> int:
        ino = self._lookup(name, self._snapshot.layer + 1)
        if ino is None:
            raise KeyError(name)
        return ino

    def __setitem__(self, name: str, ino: int) -> None:
        kind = self._snapshot.node(ino).mode & 0o170000
        self._put(name, ino, kind)

    def _put(self, name: str, ino: int | None, kind: int | None) -> None:
        self._snapshot.database.execute(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
            (self._directory, encode(name), self._snapshot.layer, ino, kind),
        )

    def __delitem__(self, name: str) -> None:
        if self._lookup(name, self._snapshot.layer) is not None:
            self._put(name, None, None)
        else:
            self._snapshot.database.execute(
                "DELETE FROM entries WHERE directory = ? AND name = ? AND layer = ?",
                (self._directory, encode(name), self._snapshot.layer),
            )

    def scan(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, inode number and file type."""
        rows = self._snapshot.database.execute(
            "SELECT name, layer, ino, kind FROM entries WHERE directory = ? AND layer <= ? ORDER BY name, layer DESC",
            (self._directory, self._snapshot.layer),
        )
        last = None
        for name, layer, ino, kind in rows:
            if name != last and layer in self._snapshot.chain:
                last = name
                if ino is not None:
                    yield _text(name), ino, kind

    def __iter__(self) -> Iterator[str]:
        return (name for name, _, _ in self.scan())

    def __len__(self) -> int:
        return sum(1 for _ in self.scan())

    def __bool__(self) -> bool:
        return next(self.scan(), None) is not None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _divided(time: int) -> tuple[int, int]:
    return divmod(time, _SECOND)


def _pack_xattrs(xattrs: dict[str, bytes] | None) -> bytes | None:
    if not xattrs:
        return None
    parts = []
    for name, value in xattrs.items():
        raw = encode(name)
        parts += [_XATTR.pack(len(raw), len(value)), raw, value]
    return b"".join(parts)


def _unpack_xattrs(packed: bytes | None) -> dict[str, bytes] | None:
    if packed is None:
        return None
    xattrs, at = {}, 0
    while at < len(packed):
        name, value = _XATTR.unpack_from(packed, at)
        at += _XATTR.size
        xattrs[_text(packed[at : at + name])] = packed[at + name : at + name + value]
        at += name + value
    return xattrs
