"""Writes what changed in a tree as an OCI layer: complete, minimal, the same bytes for the same change."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from typing import TYPE_CHECKING

from .. import errors
from ..tree import Aspect, ChangeKind
from ..values import value_class
from ._compress import CompressedWriter
from ._tar_write import END, TarHeader, encode_header, padding

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from ..tree import Change, Tree

    class Output(Protocol):
        """What a layer is written to."""

        def write(self, data: bytes, /) -> object:
            """Take all of the bytes."""


__all__ = ["WrittenLayer", "write_layer"]

_WHITEOUT = b".wh."

_CHUNK = 1 << 20
"""Bytes read from a file at once."""

_GATHER = 1 << 18
"""Headers and small files are handed on in pieces of about this many bytes."""

_SMALL = 1 << 16
"""Files of at most this many bytes are read in one call."""

_SECOND = 1_000_000_000

_Inode = tuple[int, int]


@value_class
class WrittenLayer:
    """What :func:`write_layer` wrote.

    :param entries: objects, hard links and whiteouts, the parents of changed paths included.
    :param size: bytes of the archive.
    :param skipped: sockets left out, which no archive can hold.
    """

    entries: int
    size: int
    skipped: int


def write_layer(
    after: Tree,
    changes: Iterable[Change],
    out: Output,
    *,
    root: bool = False,
    epoch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WrittenLayer:
    """Write a layer that, applied to the tree that ``changes`` start from, gives ``after``; sockets excepted.

    The bytes depend on the two trees alone: entries in tree order, in each directory the whiteouts before all others;
    no whiteout has a time, no entry a user or group name, an access or a change time (layer-semantics, "Diffing").

    **Hard links.** Where one name of a file is in the layer, all its names are, the first in tree order as the file:
    many engines cannot link what is only in a layer below, and a name that is not written again would stay with the
    old file.

    :param after: the tree.
    :param changes: how it differs, as :func:`overlaykit.tree.compare` and :meth:`overlaykit.driver.Driver.changes`
        yield it.
    :param out: takes the archive, uncompressed.
    :param root: write the root directory even if it is not among the changes: for a layer with none below.
    :param epoch: seconds since the epoch; later times are written as this one (SOURCE_DATE_EPOCH).
    :param progress: called now and then with the entries and the bytes written so far.
    :raises ChangesetError: a name begins with ``.wh.``, which in a layer is a whiteout; or a file changed meanwhile.
    :raises OSError: what reading ``after`` and writing ``out`` raise.
    """
    plan = _Plan(after)
    for change in changes:
        plan.add(change)
    if root:
        plan.root.emit = True
    plan.complete_links()
    writer = _Writer(after, out, epoch, progress)
    writer.write(plan)
    return WrittenLayer(writer.entries, writer.size, plan.skipped)


class _Node:
    """One path that the layer says something about."""

    __slots__ = ("children", "emit", "status", "whiteouts")

    def __init__(self, *, emit: bool = False) -> None:
        self.emit = emit
        self.status: os.stat_result | None = None
        self.whiteouts: list[bytes] = []
        self.children: dict[bytes, _Node] = {}


class _Plan:
    """Everything a layer will hold, but the content, as a tree of what it touches."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.root = _Node()
        self.skipped = 0
        #: The names found so far of each file that has several, and how many it has.
        self._names: dict[_Inode, set[bytes]] = defaultdict(set)
        self._counts: dict[_Inode, int] = {}

    def add(self, change: Change) -> None:
        if change.path == ".":
            self.root.emit = True
            return
        path = os.fsencode(change.path)
        if change.kind is ChangeKind.DELETED:
            self._hide(path)
            return
        status = self._tree.stat(path, follow_symlinks=False)
        if stat.S_ISSOCK(status.st_mode):
            self.skipped += 1
            # What was there before it, if anything, is gone all the same.
            if change.kind is ChangeKind.MODIFIED and change.aspects & Aspect.TYPE:
                self._hide(path)
            return
        self._emit(path, status)
        if change.kind is ChangeKind.ADDED and b"/" not in path:
            self.root.emit = True
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            inode = status.st_dev, status.st_ino
            self._names[inode].add(path)
            self._counts[inode] = status.st_nlink

    def _emit(self, path: bytes, status: os.stat_result) -> None:
        node = self._node(path)
        node.emit = True
        node.status = status
        # Who writes a name into the root touches the root's time; that of other parents is written in any case.
        if b"/" not in path and not stat.S_ISDIR(status.st_mode):
            self.root.emit = True

    def _hide(self, path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        _check_name(name, path)
        node = self._node(parent)
        node.emit = True
        node.whiteouts.append(name)

    def _node(self, path: bytes) -> _Node:
        """Return the node of a path; its parents are part of the layer then, but for the root."""
        node = self.root
        if path:
            for name in path.split(b"/"):
                child = node.children.get(name)
                if child is None:
                    _check_name(name, path)
                    child = node.children[name] = _Node(emit=True)
                node = child
        return node

    def complete_links(self) -> None:
        """Add the names of written files that did not change themselves."""
        missing = {inode for inode, names in self._names.items() if len(names) < self._counts[inode]}
        if not missing:
            return
        # Near first: in most trees all names of a file are in one directory.
        near = {name.rpartition(b"/")[0] for inode in missing for name in self._names[inode]}
        for directory in sorted(near):
            self._find(missing, directory)
        pending = [b""]
        while pending and missing:
            directory = pending.pop()
            pending += self._find(missing, directory)

    def _find(self, missing: set[_Inode], directory: bytes) -> list[bytes]:
        """Look for names of the missing in one directory; return the directories in it."""
        below = []
        for entry in self._tree.scandir(directory):
            path = os.fsencode(entry.path)
            if entry.format == stat.S_IFDIR:
                below.append(path)
                continue
            status = self._tree.stat(path, follow_symlinks=False)
            inode = status.st_dev, status.st_ino
            if inode not in missing:
                continue
            names = self._names[inode]
            if path not in names:
                names.add(path)
                self._emit(path, status)
            if len(names) == self._counts[inode]:
                missing.discard(inode)
        return below


def _check_name(name: bytes, path: bytes) -> None:
    if name.startswith(_WHITEOUT):
        raise errors.ChangesetError(
            f"{os.fsdecode(path)!r} cannot be in a layer: a name that begins with '.wh.' stands for a removal there; "
            "rename or exclude it",
            filename=os.fsdecode(path),
        )


def _shrunk(path: bytes) -> errors.ChangesetError:
    return errors.ChangesetError(
        f"{os.fsdecode(path)!r} became shorter while it was read: commit before, or stop who writes",
        filename=os.fsdecode(path),
    )


class _Writer:
    """Writes the entries of a plan."""

    def __init__(self, tree: Tree, out: Output, epoch: int | None, progress: Callable[[int, int], None] | None) -> None:
        self._tree = tree
        self._out = out
        self._latest = None if epoch is None else epoch * _SECOND
        self._progress = progress
        self._pending = bytearray()
        self._first: dict[_Inode, bytes] = {}
        self.entries = 0
        self.size = 0

    def write(self, plan: _Plan) -> None:
        # Iterative: a tree may be deeper than Python's stack. What is still to be written is here, the next last.
        todo = [(b"", plan.root)]
        while todo:
            path, node = todo.pop()
            if node.emit:
                self._entry(path, node)
            prefix = path + b"/" if path else b""
            for name in sorted(node.whiteouts):
                self._add(TarHeader(prefix + _WHITEOUT + name, stat.S_IFREG))
            children = sorted(node.children.items(), reverse=True)
            node.children.clear()
            todo += [(prefix + name, child) for name, child in children]
        self._take(END)
        self._flush()

    def _entry(self, path: bytes, node: _Node) -> None:
        status = self._tree.stat(path, follow_symlinks=False) if node.status is None else node.status
        kind = stat.S_IFMT(status.st_mode)
        name, mode, size, target, device, hard = path, status.st_mode, 0, b"", (0, 0), False
        if kind == stat.S_IFDIR:
            name = path + b"/" if path else b"./"
        elif status.st_nlink > 1:
            target = self._first.setdefault((status.st_dev, status.st_ino), path)
            hard = target != path
        if kind == stat.S_IFLNK:
            # What a link's own permissions are depends on the storage, and nobody heeds them.
            mode = stat.S_IFLNK | 0o777
        if not hard:
            target = b""
            if kind == stat.S_IFLNK:
                target = os.fsencode(self._tree.readlink(path))
            elif kind == stat.S_IFREG:
                size = status.st_size
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
        mtime = status.st_mtime_ns if self._latest is None else min(status.st_mtime_ns, self._latest)
        # A hard link repeats the attributes: engines set them once more, and would clear what is not there.
        xattrs = [
            (os.fsencode(key), self._tree.getxattr(path, key, follow_symlinks=False))
            for key in sorted(self._tree.listxattr(path, follow_symlinks=False))
        ]
        self._add(TarHeader(name, mode, status.st_uid, status.st_gid, mtime, size, target, hard, device, xattrs))
        if size:
            self._content(path, size)

    def _add(self, header: TarHeader) -> None:
        self.entries += 1
        self._take(encode_header(header))
        if self._progress is not None and not self.entries % 256:
            self._progress(self.entries, self.size)

    def _content(self, path: bytes, size: int) -> None:
        if size <= _SMALL:
            data = self._tree.read_bytes(path)[:size]
            if len(data) < size:
                raise _shrunk(path)
            self._take(data)
            self._take(padding(size))
            return
        with self._tree.open_raw(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)) as file:
            if size < _GATHER or not isinstance(self._out, CompressedWriter):
                self._copy(path, file, size)
            else:
                self._pour(path, file, size, self._out)
        self._take(padding(size))

    def _copy(self, path: bytes, file: io.RawIOBase, left: int) -> None:
        while left:
            # A new object each time: who takes it may still be at the last one in another thread.
            data = file.read(min(left, _CHUNK))
            if not data:
                raise _shrunk(path)
            left -= len(data)
            self._take(data)

    def _pour(self, path: bytes, file: io.RawIOBase, left: int, out: CompressedWriter) -> None:
        self._flush()
        while left:
            count = out.fill(file.readinto, left)
            if not count:
                raise _shrunk(path)
            left -= count
            self.size += count
            if self._progress is not None:
                self._progress(self.entries, self.size)

    def _take(self, data: bytes) -> None:
        self.size += len(data)
        if len(self._pending) + len(data) > _GATHER:
            self._flush()
        if len(data) < _GATHER:
            self._pending += data
        else:
            self._out.write(data)
            if self._progress is not None:
                self._progress(self.entries, self.size)

    def _flush(self) -> None:
        if self._pending:
            self._out.write(bytes(self._pending))
            self._pending.clear()
