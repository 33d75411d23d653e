"""How a snapshot differs from its parent, by what its upper directory holds: the size of the trees does not matter."""

from __future__ import annotations

import os
import stat

from overlaykit.linux import ScanFlag
from overlaykit.tree import Aspect, Change, ChangeKind, HostTree, StrOrBytesPath, change_order, difference

from ._links import names_of, same_file

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from overlaykit.linux import Scan, ScanEntry

    from ._links import Links

__all__ = ["Comparison", "UpperTree", "compare_root"]


class UpperTree(HostTree):
    """An upper directory or a layer by itself, with the extended attributes as the merged view has them.

    :param fd: the directory, which the tree owns.
    :param attributes: what overlayfs' own attributes begin with: those are hidden, and users' of such names unescaped.
    """

    def __init__(self, fd: int, attributes: str) -> None:
        super().__init__(fd, readonly=True)
        self._own = attributes
        self._escaped = attributes + "overlay."

    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        names = super().listxattr(path, follow_symlinks=follow_symlinks)
        own, escaped = self._own, self._escaped
        return sorted(
            own + name[len(escaped) :] if name.startswith(escaped) else name
            for name in names
            if not name.startswith(own) or name.startswith(escaped)
        )

    def getxattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> bytes:
        if name.startswith(self._own):
            name = self._escaped + name[len(self._own) :]
        return super().getxattr(path, name, follow_symlinks=follow_symlinks)


def _status(entry: ScanEntry) -> os.stat_result:
    mtime = entry.mtime * 1_000_000_000 + entry.mtime_nanoseconds
    ctime = entry.ctime * 1_000_000_000 + entry.ctime_nanoseconds
    return os.stat_result(
        (
            *(entry.mode, entry.ino, entry.dev, entry.nlink, entry.uid, entry.gid, entry.size),
            *(entry.mtime, entry.mtime, entry.ctime),
            *(mtime / 1e9, mtime / 1e9, ctime / 1e9),
            *(mtime, mtime, ctime),
            *(4096, 0, entry.rdev),
        )
    )


class Comparison:
    """One comparison of an upper directory with the parent's view.

    :param scan: what the upper holds.
    :param upper: the upper directory itself.
    :param before: the parent's merged view.
    :param token: what the names of passing objects begin with.
    :param links: the links of the layers below, the uppermost first.
    """

    def __init__(self, scan: Scan, upper: UpperTree, before: HostTree, token: str, links: list[Links]) -> None:
        self._upper = upper
        self._before = before
        self._links = links
        hidden = os.fsencode(token)
        self._entries: dict[str, ScanEntry] = {}
        self._children: dict[str, list[str]] = {}
        self._groups = scan.linked()
        for entry in scan:
            if hidden in entry.path:  # random, so nobody else's
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

    def _aspects(self, path: str, was: os.stat_result, now: ScanEntry) -> Aspect:
        return difference(self._before, self._upper, path, was, _status(now))

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
        aspects = self._aspects("", was, root)
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
            aspects = self._aspects(path, was_here, now)
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
            candidates.update(filter(None, self._entries))
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


def compare_root(scan: Scan, upper: UpperTree, token: str) -> Iterator[Change]:
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
            if upper.listxattr():
                aspects |= Aspect.XATTRS
            if aspects:
                yield Change(ChangeKind.MODIFIED, ".", aspects)
        elif not entry.flags & ScanFlag.WHITEOUT and hidden not in entry.path:
            yield Change(ChangeKind.ADDED, path)
