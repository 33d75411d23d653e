"""A reference model: a tree as plain Python objects, with the errors that Linux gives, and nothing shared or clever."""

from __future__ import annotations

import copy
import errno
import os
from dataclasses import dataclass, field
from typing import NoReturn

from ..driver import Aspect, ChangeKind
from ..tree import RenameFlag, change_order
from ..values import value_class

__all__ = ["FIFO", "Model", "Record", "model_changes"]

FILE, DIRECTORY, SYMLINK, FIFO = "file", "directory", "symlink", "fifo"
_WHAT = {FILE: Aspect.CONTENT, SYMLINK: Aspect.TARGET}


@dataclass(eq=False)
class _Node:
    kind: str
    mode: int
    what: bytes = b""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, _Node] = field(default_factory=dict)


@value_class
class Record:
    """What the model says of one path; times are not modelled.

    :param first: the first name, in tree order, of the same file.
    """

    kind: str
    mode: int
    what: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    first: str


def _fail(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


class Model:
    """A tree. Its operations have the names, effects and errors of :class:`~overlaykit.tree.Tree`'s.

    :param umask: the caller's.
    """

    def __init__(self, umask: int) -> None:
        self._root = _Node(DIRECTORY, 0o755)
        self._umask = umask

    def copy(self) -> Model:
        """Return an independent copy: what a commit or a container over one is."""
        return copy.deepcopy(self)

    def records(self) -> dict[str, Record]:
        """Return all of the tree, path to record; the root is ``"."``."""
        found: dict[str, Record] = {}
        first: dict[int, str] = {}

        def visit(path: str, node: _Node) -> None:
            name = first.setdefault(id(node), path)
            found[path] = Record(node.kind, node.mode, node.what, tuple(sorted(node.xattrs.items())), name)
            for entry in sorted(node.entries, key=os.fsencode):
                visit(entry if path == "." else f"{path}/{entry}", node.entries[entry])

        visit(".", self._root)
        return found

    def kind(self, path: str) -> str | None:
        """Return what a path leads to, links followed; ``None`` where it leads nowhere."""
        try:
            return self._find(path).kind
        except OSError:
            return None

    # -- paths ---------------------------------------------------------------------------------------------------

    def _walk(self, path: str, follow: bool) -> tuple[list[_Node], str, _Node | None]:
        """Return the directories down to the last name, that name, and its node."""
        pending = [part for part in reversed(path.split("/")) if part]
        above = [self._root]
        links = 0
        while True:
            name = pending.pop()
            if above[-1].kind != DIRECTORY:
                _fail(errno.ENOTDIR)
            if name in (".", ".."):
                # The root is its own parent.
                above = above[: max(1, len(above) - (name == ".."))]
                if not pending:
                    return above, name, above[-1]
                continue
            node = above[-1].entries.get(name)
            if node is not None and node.kind == SYMLINK and (pending or follow):
                links += 1
                if links > 40:
                    _fail(errno.ELOOP)
                target = os.fsdecode(node.what)
                if target.startswith("/"):
                    above = [self._root]
                pending += [part for part in reversed(target.split("/")) if part]
                continue
            if not pending:
                return above, name, node
            if node is None:
                _fail(errno.ENOENT)
            above.append(node)

    def _find(self, path: str, follow: bool = True) -> _Node:
        node = self._walk(path, follow)[2]
        if node is None:
            _fail(errno.ENOENT)
        return node

    def _place(self, path: str) -> tuple[_Node, str]:
        above, name, node = self._walk(path, follow=False)
        if node is not None:
            _fail(errno.EEXIST)
        return above[-1], name

    # -- operations ----------------------------------------------------------------------------------------------

    def write(self, path: str, data: bytes, *, append: bool = False, exclusive: bool = False) -> None:
        """Open for writing with O_CREAT and write."""
        above, name, node = self._walk(path, follow=not exclusive)
        if node is not None and exclusive:
            _fail(errno.EEXIST)
        if node is None:
            node = above[-1].entries[name] = _Node(FILE, 0o666 & ~self._umask)
        if node.kind == DIRECTORY:
            _fail(errno.EISDIR)
        node.what = node.what + data if append else data

    def read(self, path: str) -> bytes:
        """Read a file."""
        node = self._find(path)
        if node.kind == DIRECTORY:
            _fail(errno.EISDIR)
        return node.what

    def truncate(self, path: str, length: int) -> None:
        """Cut or extend a file."""
        node = self._find(path)
        if node.kind == DIRECTORY:
            _fail(errno.EISDIR)
        if node.kind == FIFO:
            _fail(errno.EINVAL)
        node.what = node.what[:length].ljust(length, b"\0")

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        parent, name = self._place(path)
        parent.entries[name] = _Node(DIRECTORY, 0o777 & ~self._umask)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        parent, name = self._place(path)
        parent.entries[name] = _Node(SYMLINK, 0o777, os.fsencode(target))

    def mkfifo(self, path: str) -> None:
        """Make a FIFO."""
        parent, name = self._place(path)
        parent.entries[name] = _Node(FIFO, 0o644 & ~self._umask)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        above, name, node = self._walk(path, follow=False)
        if node is None:
            _fail(errno.ENOENT)
        if node.kind != DIRECTORY:
            _fail(errno.ENOTDIR)
        if node.entries:
            _fail(errno.ENOTEMPTY)
        del above[-1].entries[name]

    def unlink(self, path: str) -> None:
        """Remove a name."""
        above, name, node = self._walk(path, follow=False)
        if node is None:
            _fail(errno.ENOENT)
        if node.kind == DIRECTORY:
            _fail(errno.EISDIR)
        del above[-1].entries[name]

    def rmtree(self, path: str) -> None:
        """Remove a directory and all below it."""
        above, name, node = self._walk(path, follow=False)
        if node is None:
            _fail(errno.ENOENT)
        if node.kind != DIRECTORY:
            _fail(errno.ENOTDIR)
        del above[-1].entries[name]

    def link(self, source: str, path: str) -> None:
        """Make a hard link."""
        node = self._find(source, follow=False)
        parent, name = self._place(path)
        if node.kind == DIRECTORY:
            _fail(errno.EPERM)
        parent.entries[name] = node

    def rename(self, source: str, target: str, flags: RenameFlag = RenameFlag.NONE) -> None:
        """Rename, in the order of checks that renameat2(2) has."""
        above, old, node = self._walk(source, follow=False)
        new_above, new, there = self._walk(target, follow=False)
        if node is None:
            _fail(errno.ENOENT)
        if there is not None and flags == RenameFlag.NOREPLACE:
            _fail(errno.EEXIST)
        if node in new_above:
            _fail(errno.EINVAL)
        if there is not None and there in above:
            _fail(errno.ENOTEMPTY)
        if there is node:
            return
        if there is not None:
            _check_replaced(node, there)
        del above[-1].entries[old]
        new_above[-1].entries[new] = node

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        self._find(path).mode = mode

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """Set an extended attribute."""
        node = self._find(path)
        if node.kind == FIFO:
            _fail(errno.EPERM)
        node.xattrs[name] = value

    def removexattr(self, path: str, name: str) -> None:
        """Remove an extended attribute."""
        node = self._find(path)
        if node.kind == FIFO:
            _fail(errno.EPERM)
        if name not in node.xattrs:
            _fail(errno.ENODATA)
        del node.xattrs[name]


def _check_replaced(node: _Node, there: _Node) -> None:
    if node.kind == DIRECTORY and there.kind != DIRECTORY:
        _fail(errno.ENOTDIR)
    if node.kind != DIRECTORY and there.kind == DIRECTORY:
        _fail(errno.EISDIR)
    if there.entries:
        _fail(errno.ENOTEMPTY)


def model_changes(before: dict[str, Record], after: dict[str, Record]) -> list[tuple[ChangeKind, str, Aspect]]:
    """Return how two trees differ, by the rules of :class:`~overlaykit.tree.Change`, times left out."""
    found: list[tuple[ChangeKind, str, Aspect]] = []
    hidden: set[str] = set()
    both = before.keys() & after.keys()
    names_before, names_after = _first_common(before, both), _first_common(after, both)
    for path in sorted(before.keys() | after.keys(), key=change_order):
        if path.rpartition("/")[0] in hidden:
            # Below a directory that is gone or no directory any more nothing is listed but what is new.
            hidden.add(path)
            continue
        old, new = before.get(path), after.get(path)
        if new is None:
            found.append((ChangeKind.DELETED, path, Aspect.NONE))
            hidden.add(path)
        elif old is None:
            found.append((ChangeKind.ADDED, path, Aspect.NONE))
        elif old.kind != new.kind:
            found.append((ChangeKind.MODIFIED, path, Aspect.TYPE))
            if old.kind == DIRECTORY:
                hidden.add(path)
        else:
            aspects = _aspects(old, new)
            if names_before[path] != names_after[path]:
                aspects |= Aspect.LINKS
            if aspects:
                found.append((ChangeKind.MODIFIED, path, aspects))
    return found


def _aspects(old: Record, new: Record) -> Aspect:
    aspects = Aspect.NONE
    if old.what != new.what:
        aspects |= _WHAT[old.kind]
    if old.mode != new.mode:
        aspects |= Aspect.MODE
    if old.xattrs != new.xattrs:
        aspects |= Aspect.XATTRS
    return aspects


def _first_common(records: dict[str, Record], both: set[str]) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    for path, record in records.items():
        groups.setdefault(record.first, []).append(path)
    return {
        path: min((name for name in group if name in both), key=change_order)
        for group in groups.values()
        for path in group
        if path in both
    }
