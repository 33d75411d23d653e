"""How a snapshot differs from its parent, by what its upper directory holds: the size of the trees does not matter."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from overlaykit.linux import ScanFlag
from overlaykit.tree import Aspect, Change, ChangeKind, change_order

from ._links import names_of, same_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from overlaykit.linux import Scan, ScanEntry
    from overlaykit.tree import HostTree

    from ._links import Links

__all__ = ["Comparison", "compare_root"]

_BLOCK = 1 << 18


class Comparison:
    """One comparison of an upper directory with the parent's view.

    :param scan: what the upper holds.
    :param upper: the upper directory itself.
    :param before: the parent's merged view.
    :param attributes: what overlayfs' own attributes begin with.
    :param token: what the names of passing objects begin with.
    :param links: the links of the layers below, the uppermost first.
    """

    def __init__(
        self, scan: Scan, upper: HostTree, before: HostTree, attributes: str, token: str, links: list[Links]
    ) -> None:
        self._upper = upper
        self._before = before
        self._attributes = attributes
        self._links = links
        hidden = os.fsencode(token)
        self._entries: dict[str, ScanEntry] = {}
        self._children: dict[str, list[str]] = {}
        self._groups = scan.linked()
        for entry in scan:
            name = entry.path.rpartition(b"/")[2]
            if name.startswith(hidden) or (hidden in entry.path and b"/" + hidden in b"/" + entry.path):
                continue
            path = os.fsdecode(entry.path)
            self._entries[path] = entry
            if path:
                self._children.setdefault(path.rpartition("/")[0], []).append(path)

    # -- one path ------------------------------------------------------------------------------------------------

    def _was(self, path: str) -> os.stat_result | None:
        try:
            return self._before.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _xattrs_now(self, path: str) -> dict[str, bytes]:
        """Return the extended attributes as the merged view has them: without overlayfs' own, unescaped."""
        found = {}
        own = self._attributes
        for name in self._upper.listxattr(path, follow_symlinks=False):
            shown = name
            if name.startswith(own):
                if not name.startswith(own + "overlay."):
                    continue
                shown = own + name[len(own) + len("overlay.") :]
            found[shown] = self._upper.getxattr(path, name, follow_symlinks=False)
        return found

    def _xattrs_before(self, path: str) -> dict[str, bytes]:
        before = self._before
        names = before.listxattr(path, follow_symlinks=False)
        return {name: before.getxattr(path, name, follow_symlinks=False) for name in names}

    def _same_content(self, path: str) -> bool:
        with (
            self._before.open_raw(path, os.O_RDONLY | os.O_NOFOLLOW) as old,
            self._upper.open_raw(path, os.O_RDONLY | os.O_NOFOLLOW) as new,
        ):
            while True:
                block = old.read(_BLOCK)
                if block != new.read(_BLOCK):
                    return False
                if not block:
                    return True

    def aspects(self, path: str, was: os.stat_result, now: ScanEntry) -> Aspect:
        """Tell what differs between a path of the parent and the same path in the upper."""
        kind = stat.S_IFMT(now.mode)
        if stat.S_IFMT(was.st_mode) != kind:
            return Aspect.TYPE
        found = Aspect.NONE
        # The mode of a symbolic link means nothing and cannot be set.
        if stat.S_IMODE(was.st_mode) != stat.S_IMODE(now.mode):
            found |= Aspect.MODE
        if (was.st_uid, was.st_gid) != (now.uid, now.gid):
            found |= Aspect.OWNER
        if was.st_mtime_ns != now.mtime * 1_000_000_000 + now.mtime_nanoseconds:
            found |= Aspect.MTIME
        if kind == stat.S_IFREG:
            if was.st_size != now.size or (now.size and not self._same_content(path)):
                found |= Aspect.CONTENT
        elif kind == stat.S_IFLNK:
            if self._before.readlink(path) != self._upper.readlink(path):
                found |= Aspect.TARGET
        elif kind in (stat.S_IFCHR, stat.S_IFBLK) and was.st_rdev != now.rdev:
            found |= Aspect.DEVICE
        if self._xattrs_before(path) != self._xattrs_now(path):
            found |= Aspect.XATTRS
        return found

    # -- the walk ------------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[Change]:
        """Yield all changes in tree order."""
        links = self._changed_links()
        if not links:
            yield from self._walk()
            return
        found = {change.path: change for change in self._walk()}
        for path in links:
            change = found.get(path)
            aspects = Aspect.LINKS if change is None else change.aspects | Aspect.LINKS
            if change is None or (change.kind is ChangeKind.MODIFIED and not change.aspects & Aspect.TYPE):
                found[path] = Change(ChangeKind.MODIFIED, path, aspects)
        yield from sorted(found.values(), key=lambda change: change_order(change.path))

    def _walk(self) -> Iterator[Change]:
        root = self._entries[""]
        was = self._before.lstat("")
        aspects = self.aspects("", was, root)
        if aspects:
            yield Change(ChangeKind.MODIFIED, ".", aspects)
        # Iterative: a tree may be deeper than Python's stack. What is still to be compared is here, the next last.
        todo = self._level("", False)[::-1]
        while todo:
            path, alone = todo.pop()
            now = self._entries.get(path)
            was_here = self._was(path)
            if now is None or now.flags & ScanFlag.WHITEOUT:
                if was_here is not None:
                    yield Change(ChangeKind.DELETED, path)
                continue
            if was_here is None:
                yield from self._added(path)
                continue
            aspects = self.aspects(path, was_here, now)
            if aspects:
                yield Change(ChangeKind.MODIFIED, path, aspects)
            if not stat.S_ISDIR(now.mode):
                continue
            if aspects & Aspect.TYPE:
                for child in self._children.get(path, ()):
                    yield from self._added(child)
            else:
                todo += self._level(path, alone or bool(now.flags & ScanFlag.OPAQUE))[::-1]

    def _level(self, path: str, alone: bool) -> list[tuple[str, bool]]:
        """Return what to compare in a directory that both trees have.

        :param alone: whether no layer below has a part in it any more.
        """
        self._refuse_unreadable(self._entries[path])
        children = self._children.get(path, [])
        if alone:
            prefix = path + "/" if path else ""
            names = {*children, *(prefix + name for name in self._before.listdir(path))}
            children = sorted(names, key=change_order)
        return [(child, alone) for child in children]

    def _refuse_unreadable(self, entry: ScanEntry) -> None:
        if entry.flags & ScanFlag.UNREADABLE:
            self._upper.listdir(os.fsdecode(entry.path))  # raises what the caller would meet in the tree

    def _added(self, path: str) -> Iterator[Change]:
        todo = [path]
        while todo:
            here = todo.pop()
            entry = self._entries[here]
            if entry.flags & ScanFlag.WHITEOUT:
                continue
            yield Change(ChangeKind.ADDED, here)
            self._refuse_unreadable(entry)
            todo += self._children.get(here, [])[::-1]

    # -- hard links ----------------------------------------------------------------------------------------------

    def _covered(self, path: str) -> bool:
        """Tell whether the upper decides what a path is, rather than the layers below."""
        if path in self._entries:
            return True
        while path:
            path = path.rpartition("/")[0]
            entry = self._entries.get(path)
            if entry is not None and (entry.flags or not stat.S_ISDIR(entry.mode)):
                return True
        return False

    def _is_now(self, path: str) -> bool:
        entry = self._entries.get(path)
        return not entry.flags & ScanFlag.WHITEOUT if entry is not None else not self._covered(path)

    def _changed_links(self) -> list[str]:
        """Return the paths that are linked with others than before, of those that both trees have."""
        before: dict[str, tuple[str, ...]] = {}
        now: dict[str, tuple[str, ...]] = {}
        for names in self._groups.values():
            group = tuple(path for path in map(os.fsdecode, names) if path in self._entries)
            now.update(dict.fromkeys(group, group))
        candidates = set(now)
        if self._links:
            candidates.update(path for path, entry in self._entries.items() if not stat.S_ISDIR(entry.mode))
        for path in tuple(candidates):
            if path not in before:
                group = self._group_before(path)
                before.update(dict.fromkeys(group, group))
                candidates.update(group)
        common = {path for path in candidates if path in before and self._is_now(path)}
        found = []
        for path in common:
            if path not in now and not self._covered(path):
                now[path] = tuple(other for other in before[path] if not self._covered(other))
            was = _representative(before[path], common)
            if was != _representative(now.get(path, (path,)), common):
                found.append(path)
        return found

    def _group_before(self, path: str) -> tuple[str, ...]:
        """Return all names that the parent has for the file at a path; none where the path did not exist."""
        status = self._was(path)
        if status is None:
            return ()
        if status.st_nlink < 2 or stat.S_ISDIR(status.st_mode):
            return (path,)
        return tuple(same_file(self._before, names_of(self._links, status.st_ino), status)) or (path,)


def _representative(group: Iterable[str], common: set[str]) -> str | None:
    return min((path for path in group if path in common), key=change_order, default=None)


def compare_root(scan: Scan, upper: HostTree, attributes: str, token: str) -> Iterator[Change]:
    """Yield how a snapshot without a parent differs from an empty one: all of it is added."""
    hidden = os.fsencode(token)
    for entry in scan:
        path = os.fsdecode(entry.path)
        if entry.flags & ScanFlag.UNREADABLE:
            upper.listdir(path)
        if not path:
            aspects = Aspect.NONE
            if stat.S_IMODE(entry.mode) != 0o755:
                aspects |= Aspect.MODE
            if (entry.uid, entry.gid) != (os.geteuid(), os.getegid()):
                aspects |= Aspect.OWNER
            names = upper.listxattr("")
            if any(not name.startswith(attributes) or name.startswith(attributes + "overlay.") for name in names):
                aspects |= Aspect.XATTRS
            if aspects:
                yield Change(ChangeKind.MODIFIED, ".", aspects)
        elif not entry.flags & ScanFlag.WHITEOUT and b"/" + hidden not in b"/" + entry.path:
            yield Change(ChangeKind.ADDED, path)
