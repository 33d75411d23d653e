"""What changed, from the inodes that a snapshot holds of its own."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from overlaykit.driver import Aspect, Change, ChangeKind
from overlaykit.tree import change_order

from ._node import Directory, File, Node, Symlink
from ._snapshot import fresh_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._snapshot import Snapshot

__all__ = ["changes"]


def changes(after: Snapshot) -> list[Change]:
    """Return how a snapshot differs from its parent: what :func:`overlaykit.tree.compare` of the two would yield.

    Takes time in proportion to what changed: a directory is entered only where an inode below it is the
    snapshot's own, or where it stands in another's place. Without a parent everything is added.
    """
    with after.lock:
        if after.parent is None:
            comparison = _Comparison(after, after)
            comparison.run_from_nothing()
        else:
            comparison = _Comparison(after.parent, after)
            comparison.run()
        return comparison.result()


class _Comparison:
    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.before = before
        self.after = after
        #: By directory, the names below which something is the snapshot's own.
        self.dirty: dict[int, set[str]] = {}
        self.kinds: dict[str, ChangeKind] = {}
        self.aspects: dict[str, Aspect] = {}
        #: Files that a name stands for in one tree and not in the other, though it is in both.
        self.relinked: set[int] = set()

    def run_from_nothing(self) -> None:
        """Compare with an empty snapshot, whose root has no time to compare."""
        new = self.after.node(self.after.root)
        assert isinstance(new, Directory)
        empty = fresh_root(self.after.world, new.ino)
        self._modified(".", _difference(empty, new) & ~Aspect.MTIME)
        self._children("", empty, new)

    def result(self) -> list[Change]:
        """Return what was found, in tree order."""
        return [
            Change(self.kinds[path], path, self.aspects.get(path, Aspect.NONE))
            for path in sorted(self.kinds, key=change_order)
        ]

    def run(self) -> None:
        """Compare."""
        root = self.after.root
        for node in self.after.living():
            for place in node.names():
                if place != (root, ""):
                    self._mark(*place)
        todo = [(".", self.before.node(root), self.after.node(root))]
        while todo:
            path, old, new = todo.pop()
            if old is new and new.ino not in self.dirty:
                continue
            if old is not new:
                self._modified(path, _difference(old, new))
            if old.ino != new.ino:
                self.relinked.update(node.ino for node in (old, new) if not isinstance(node, Directory))
            if isinstance(new, Directory):
                todo += self._children("" if path == "." else path + "/", old, new)
        self._compare_links()

    def _mark(self, directory: int, name: str) -> None:
        while True:
            names = self.dirty.get(directory)
            if names is not None:
                names.add(name)
                return
            self.dirty[directory] = {name}
            if directory == self.after.root:
                return
            directory, name = self.after.node(directory).home

    def _modified(self, path: str, aspects: Aspect) -> None:
        if aspects:
            self.kinds[path] = ChangeKind.MODIFIED
            self.aspects[path] = self.aspects.get(path, Aspect.NONE) | aspects

    def _children(self, prefix: str, old: Node, new: Directory) -> list[tuple[str, Node, Node]]:
        """Note which names below a directory came and went; return those that are to be compared."""
        before: Mapping[str, int] = old.entries if isinstance(old, Directory) else {}
        if old.ino != new.ino:
            names = before.keys() | new.entries.keys()
        else:
            names = self.dirty.get(new.ino, set())
            if old is not new:
                names = names | {name for name, _ in before.items() ^ new.entries.items()}
        pairs = []
        for name in names:
            was, now = before.get(name), new.entries.get(name)
            if now is None:
                self.kinds[prefix + name] = ChangeKind.DELETED
            elif was is None:
                self._added(prefix + name, now)
            else:
                pairs.append((prefix + name, self.before.node(was), self.after.node(now)))
        return pairs

    def _added(self, top: str, ino: int) -> None:
        todo = [(top, ino)]
        while todo:
            path, ino = todo.pop()
            self.kinds[path] = ChangeKind.ADDED
            node = self.after.node(ino)
            if isinstance(node, Directory):
                todo += [(f"{path}/{name}", child) for name, child in node.entries.items()]

    def _compare_links(self) -> None:
        """Find the names that are linked otherwise (:attr:`Aspect.LINKS`).

        Names that both trees have can only be linked otherwise where one of them stands for another file, and all those
        were met: so the names of these files, before and after, are all that there is to look at.
        """
        before = self._representatives(self.before, self.after)
        after = self._representatives(self.after, self.before)
        for path in before.keys() | after.keys():
            differs = before.get(path, path) != after.get(path, path)
            if differs and not self.aspects.get(path, Aspect.NONE) & Aspect.TYPE:
                self._modified(path, Aspect.LINKS)

    def _representatives(self, snapshot: Snapshot, other: Snapshot) -> dict[str, str]:
        """Return the smallest of its group for each name of a relinked file that the other snapshot has too."""
        found = {}
        for ino in self.relinked:
            node = snapshot.own.get(ino) or snapshot.before(ino)
            if node is None or node.nlink < 2:
                continue
            # The table below still has inodes that are gone, with the names they had: a name counts that leads there.
            places = (_path(snapshot, *place) for place in node.names())
            paths = [path for path in places if _lookup(snapshot, path) == ino and _lookup(other, path) is not None]
            if paths:
                found.update(dict.fromkeys(paths, min(paths, key=change_order)))
        return found


def _path(snapshot: Snapshot, directory: int, name: str) -> str:
    """Return the path of a name in a directory."""
    parts = [name]
    while directory != snapshot.root:
        directory, name = snapshot.node(directory).home
        parts.append(name)
    return "/".join(reversed(parts))


def _lookup(snapshot: Snapshot, path: str) -> int | None:
    """Return the inode number that a path leads to, following no link."""
    ino: int | None = snapshot.root
    for name in path.split("/"):
        assert ino is not None
        node = snapshot.node(ino)
        ino = node.entries.get(name) if isinstance(node, Directory) else None
        if ino is None:
            break
    return ino


def _difference(old: Node, new: Node) -> Aspect:
    """Return what differs of two inodes; what a symbolic link has for permission bits does not count."""
    kind = stat.S_IFMT(new.mode)
    if stat.S_IFMT(old.mode) != kind:
        return Aspect.TYPE
    aspects = Aspect.NONE
    if isinstance(old, Symlink) and isinstance(new, Symlink):
        if old.target != new.target:
            aspects |= Aspect.TARGET
    elif old.mode != new.mode:
        aspects |= Aspect.MODE
    if (old.uid, old.gid) != (new.uid, new.gid):
        aspects |= Aspect.OWNER
    if old.mtime != new.mtime:
        aspects |= Aspect.MTIME
    if kind in (stat.S_IFCHR, stat.S_IFBLK) and old.rdev != new.rdev:
        aspects |= Aspect.DEVICE
    if isinstance(old, File) and isinstance(new, File) and not old.same_content(new):
        aspects |= Aspect.CONTENT
    if (old.xattrs or {}) != (new.xattrs or {}):
        aspects |= Aspect.XATTRS
    return aspects
