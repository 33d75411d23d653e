"""What a tree of inodes stands on: where they are kept."""

from __future__ import annotations

import os
import stat
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

from .. import errors
from ._node import Directory, File, Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ._resolve import Place

__all__ = ["Caller", "Inodes"]


class Caller:
    """Who makes what is made in a tree: this process, as it was when the driver was opened.

    There is no kernel below that knows who calls; so owners and modes are stored, never enforced.
    """

    __slots__ = ("gid", "privileged", "uid", "umask")

    def __init__(self) -> None:
        #: The owner of what is made.
        self.uid = os.geteuid() if hasattr(os, "geteuid") else 0
        #: Its group, unless the directory hands on its own.
        self.gid = os.getegid() if hasattr(os, "getegid") else 0
        #: Stands for CAP_FSETID and for membership in every group.
        self.privileged = self.uid == 0
        #: The permission bits that nothing made here has.
        self.umask = _umask()


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


class Inodes(ABC):
    """The inodes of one snapshot, wherever they are kept: what a driver without a file system below implements.

    :class:`InodeTree` makes a tree of them: it walks paths, checks what the kernel checks, in its order, and raises its
    errors. What is left to a subclass is to find an inode by number, to hand out one to be changed, and to name,
    number and forget them.

    **Brackets.** Every operation of a tree looks at inodes within ``with self.reading``, and changes them within ``with
    self.writing``: the first sees one state, the second is all or nothing, and both may be entered again by the thread
    that is in one. What :meth:`mine` handed out within a bracket is changed by the tree until the bracket ends: that is
    the moment to write it back. A bracket that ends by an exception has changed nothing, where the storage can undo it;
    the tree itself checks everything before its first change.

    :param caller: who makes what is made.
    :param root: the inode number of the root directory.
    :param dev: what trees show as ``st_dev``; with the inode number it tells files apart, so each snapshot has its own.
    """

    __slots__ = ("__weakref__", "caller", "dev", "lock", "opened", "root", "writers")

    #: Whether the snapshot is committed: nothing changes it any more.
    frozen: bool

    def __init__(self, caller: Caller, root: int, dev: int) -> None:
        self.caller = caller
        self.root = root
        self.dev = dev
        #: Guards what only this process knows: the open files. Reentrant, since a file that the garbage collector
        #: finds may be closed in the middle of anything.
        self.lock: AbstractContextManager[object] = threading.RLock()
        #: How many files are open, by inode number.
        self.opened: dict[int, int] = {}
        #: The names of those open for writing, by the file's id().
        self.writers: dict[int, str | bytes] = {}

    # -- what a driver must provide ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def reading(self) -> AbstractContextManager[object]:
        """The bracket of what only looks."""

    @property
    @abstractmethod
    def writing(self) -> AbstractContextManager[object]:
        """The bracket of what changes something."""

    @abstractmethod
    def node(self, ino: int) -> Node:
        """Return an inode as this snapshot shows it.

        :raises KeyError: there is none of this number (any more).
        """

    @abstractmethod
    def mine(self, ino: int) -> Node:
        """Return an inode to be changed, this snapshot's own from here on; the same object all through a bracket."""

    @abstractmethod
    def make(self, mode: int, gid: int, now: int, home: tuple[int, str]) -> Node:
        """Make an inode, to be changed, with a number that was never used; the caller's of this group, no name yet.

        :param mode: file type and permission bits.
        :param now: all its times, in nanoseconds since the epoch.
        :param home: the inode number of the directory that is to name it, and the name.
        """

    @abstractmethod
    def forget(self, ino: int) -> None:
        """Take an inode away that nothing names or holds open any more."""

    # -- what has a default --------------------------------------------------------------------------------------

    def directory(self, ino: int) -> Directory:
        """Return a directory to be changed; see :meth:`mine`."""
        node = self.mine(ino)
        assert isinstance(node, Directory)
        return node

    def file(self, ino: int) -> File:
        """Return a regular file to be changed; see :meth:`mine`."""
        node = self.mine(ino)
        assert isinstance(node, File)
        return node

    def scan(self, directory: Directory) -> Iterator[tuple[str, int, int]]:
        """Yield name, inode number and file type (``stat.S_IF*``) of what is in a directory."""
        for name, ino in list(directory.entries.items()):
            try:
                node = self.node(ino)
            except KeyError:
                continue  # removed since the directory was read
            yield name, ino, stat.S_IFMT(node.mode)

    def walk_plain(self, path: str, follow: bool) -> Place | None:
        """Walk a path that is nothing out of the ordinary, faster than the tree would; ``None`` leaves it to the tree.

        Out of the ordinary are dots, symbolic links to follow, doubled slashes, and anything missing on the way.
        """
        return None

    # -- open files ----------------------------------------------------------------------------------------------

    def opens(self, ino: int, writer: int, name: str | bytes) -> None:
        """Count a file open.

        :param writer: its id() where it is open for writing, else 0.
        """
        with self.lock:
            self.opened[ino] = self.opened.get(ino, 0) + 1
            if writer:
                self.writers[writer] = name

    def closes(self, ino: int, writer: int) -> None:
        """Count it closed; the last one that closes a file without a name ends it."""
        with self.lock:
            if writer:
                del self.writers[writer]
            left = self.opened[ino] - 1
            if left:
                self.opened[ino] = left
                return
            del self.opened[ino]
            self.settle(ino)

    @abstractmethod
    def settle(self, ino: int) -> None:
        """Forget an inode that nobody holds open any more, if nothing names it; the caller holds :attr:`lock`."""

    def refuse(self) -> NoReturn:
        """Raise that files are open for writing."""
        names = sorted({os.fsdecode(name) for name in self.writers.values()})
        raise errors.LayerInUseError(f"still open for writing: {', '.join(names)}; close and try again", users=names)

    def lose_name(self, node: Node, place: tuple[int, str], now: int) -> None:
        """Take a name from a file; the last one ends it, unless it is open. In a writing bracket."""
        if node.nlink == 1 and node.ino not in self.opened:
            self.forget(node.ino)
            return
        node = self.mine(node.ino)
        node.nlink -= 1
        node.ctime = now
        node.drop_name(place)
