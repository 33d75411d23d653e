"""Snapshots: tables of inodes, each over its parent's."""

from __future__ import annotations

import itertools
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from overlaykit import errors

from ._node import Directory, File, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Snapshot", "Table", "World", "fresh_root"]


class World:
    """What the snapshots of one driver share: the caller as seen when the driver was opened, and counters."""

    __slots__ = ("devices", "gid", "inodes", "privileged", "uid", "umask")

    def __init__(self) -> None:
        self.uid = os.geteuid() if hasattr(os, "geteuid") else 0
        self.gid = os.getegid() if hasattr(os, "getegid") else 0
        #: Stands for CAP_FSETID and for membership in every group.
        self.privileged = self.uid == 0
        self.umask = _umask()
        self.inodes = itertools.count(2)
        self.devices = itertools.count(1)


def _umask() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass  # not Linux, or no /proc: ask the only way there is, which is not safe from other threads
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


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


class Snapshot:
    """One state of a tree: the inodes it made or changed, over the table of its parent.

    What an active one changes it first copies into ``own``; nothing else is ever changed, so any number of snapshots
    share what lies below. Writers hold ``lock``. Readers need not: an inode is in ``own`` before a directory names it,
    and leaves it after.
    """

    __slots__ = ("base", "dev", "frozen", "lock", "opened", "own", "parent", "root", "table", "world", "writers")

    def __init__(self, world: World, parent: Snapshot | None) -> None:
        self.world = world
        self.parent = parent
        self.base: dict[int, Node] = {} if parent is None else parent.table
        self.own: dict[int, Node] = {}
        #: What it shows, once committed, for its children to look up.
        self.table: dict[int, Node] = {}
        self.dev = next(world.devices)
        #: Reentrant, since a file that the garbage collector finds may be closed in the middle of anything.
        self.lock = threading.RLock()
        self.frozen = False
        #: How many files are open, by inode number.
        self.opened: dict[int, int] = {}
        #: The names of those open for writing, by the file's id().
        self.writers: dict[int, str | bytes] = {}
        if parent is None:
            self.root = next(world.inodes)
            self.own[self.root] = fresh_root(world, self.root)
        else:
            self.root = parent.root

    def node(self, ino: int) -> Node:
        """Return an inode as this snapshot shows it."""
        return self.own.get(ino) or self.base[ino]

    def mine(self, ino: int) -> Node:
        """Return an inode to be changed, copied up where it is the parent's. The caller holds the lock."""
        node = self.own.get(ino)
        if node is None:
            node = self.own[ino] = self.base[ino].copy()
        return node

    def directory(self, ino: int) -> Directory:
        """Return a directory to be changed; see :meth:`mine`."""
        node = self.mine(ino)
        assert isinstance(node, Directory)
        return node

    def file(self, ino: int) -> File:
        """Return a regular file to be changed; see :meth:`mine`."""
        return self.own.get(ino) or self.mine(ino)  # type: ignore[return-value]

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

    def refuse(self) -> NoReturn:
        """Raise that files are open for writing."""
        names = sorted({os.fsdecode(name) for name in self.writers.values()})
        raise errors.LayerInUseError(f"still open for writing: {', '.join(names)}; close and try again", users=names)

    def lose_name(self, node: Node, place: tuple[int, str], now: int) -> None:
        """Take a name from a file; the last one ends it, unless it is open. The caller holds the lock."""
        if node.nlink == 1 and node.ino not in self.opened:
            self.own.pop(node.ino, None)
            return
        node = self.mine(node.ino)
        node.nlink -= 1
        node.ctime = now
        node.drop_name(place)

    def closes(self, ino: int) -> None:
        """Count a file closed, and let go of it where it has no name any more. The caller holds the lock."""
        left = self.opened[ino] - 1
        if left:
            self.opened[ino] = left
            return
        del self.opened[ino]
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
