"""Snapshots: tables of inodes, each over its parent's."""

from __future__ import annotations

import itertools
import stat
import time
from typing import TYPE_CHECKING, Any

from overlaykit.inodes import Caller, Inodes, Last, Place

from ._node import Directory, File, Node, Symlink, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["Snapshot", "Table", "World", "fresh_root"]


class World(Caller):
    """What the snapshots of one driver share: the caller as seen when the driver was opened, and counters."""

    __slots__ = ("devices", "inodes")

    def __init__(self) -> None:
        super().__init__()
        self.inodes = itertools.count(2)
        self.devices = itertools.count(1)


class Table(dict[int, Node]):
    """The inodes that a committed snapshot shows: its own over those of the layers below.

    As a dictionary it remembers what was found below, so that a lookup costs the same over one layer and over 500.
    """

    __slots__ = ("below", "own")

    def __init__(self, own: dict[int, Node], below: dict[int, Node]) -> None:
        super().__init__()
        self.own = own
        self.below = below

    def __missing__(self, ino: int) -> Node:
        table: dict[int, Node] = self
        while isinstance(table, Table):
            node = table.own.get(ino) or dict.get(table, ino)
            if node is not None:
                break
            table = table.below
        else:
            node = table[ino]
        self[ino] = node
        return node


class Snapshot(Inodes):
    """One state of a tree: the inodes it made or changed, over the table of its parent.

    What an active one changes it first copies into ``own``; nothing else is ever changed, so any number of snapshots
    share what lies below. Writers hold ``lock``. Readers need not: an inode is in ``own`` before a directory names it,
    and leaves it after.
    """

    __slots__ = ("base", "frozen", "own", "parent", "table", "world")

    def __init__(self, world: World, parent: Snapshot | None) -> None:
        super().__init__(world, next(world.inodes) if parent is None else parent.root, next(world.devices))
        self.world = world
        self.parent = parent
        self.base: dict[int, Node] = {} if parent is None else parent.table
        self.own: dict[int, Node] = {}
        #: What it shows, once committed, for its children to look up.
        self.table: dict[int, Node] = {}
        self.frozen = False
        if parent is None:
            self.own[self.root] = fresh_root(world, self.root)

    @property
    def reading(self) -> AbstractContextManager[object]:
        return self.lock

    @property
    def writing(self) -> AbstractContextManager[object]:
        return self.lock

    def node(self, ino: int) -> Node:
        return self.own.get(ino) or self.base[ino]

    def mine(self, ino: int) -> Node:
        node = self.own.get(ino)
        if node is None:
            node = self.own[ino] = self.base[ino].copy()
        return node

    def file(self, ino: int) -> File:
        return self.own.get(ino) or self.mine(ino)  # type: ignore[return-value]

    def make(self, mode: int, gid: int, now: int, home: tuple[int, str]) -> Node:
        ino = next(self.world.inodes)
        node = self.own[ino] = kind_of(mode)(ino, mode, self.world.uid, gid, now, home)
        return node

    def forget(self, ino: int) -> None:
        self.own.pop(ino, None)

    def walk_plain(self, path: str, follow: bool) -> Place | None:
        above, _, name = path.rpartition("/")
        if not name or name in (".", "..") or not name.isascii() or "\0" in name:
            return None
        own, base = self.own, self.base
        directory: Any = own.get(self.root) or base[self.root]
        try:
            if above:
                for part in (above[1:] if above[0] == "/" else above).split("/"):
                    ino = directory.entries[part]
                    directory = own.get(ino) or base[ino]
            ino = directory.entries.get(name)
        except (KeyError, AttributeError):
            return None
        node = None if ino is None else own.get(ino) or base[ino]
        if follow and type(node) is Symlink:
            return None
        return Place(directory, name, node, Last.NAME, False)

    def freeze(self) -> None:
        """Make the snapshot committed: nothing changes it any more.

        :raises LayerInUseError: a file in it is open for writing.
        """
        with self.lock:
            if self.writers:
                self.refuse()
            self.frozen = True
            if self.parent is None:
                self.table = self.own
            else:
                self.table = Table(self.own, self.base) if self.own else self.base

    def settle(self, ino: int) -> None:
        node = self.own.get(ino)
        if isinstance(node, File):
            if node.nlink == 0:
                del self.own[ino]
            elif node.private and not self.frozen:
                node.settle()

    def living(self) -> Iterator[Node]:
        """Yield the inodes that this snapshot made or changed and that have a name."""
        with self.lock:
            nodes = list(self.own.values())
        return (node for node in nodes if node.nlink)

    def before(self, ino: int) -> Node | None:
        """Return an inode as the parent shows it, ``None`` where it has none of that number."""
        try:
            return self.base[ino]
        except KeyError:
            return None


def fresh_root(world: World, ino: int) -> Directory:
    """Return the root of an empty snapshot."""
    return Directory(ino, stat.S_IFDIR | 0o755, world.uid, world.gid, time.time_ns(), (ino, ""))
