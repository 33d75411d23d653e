"""Applies layers through a tree: for drivers that offer nothing more."""

from __future__ import annotations

import contextlib
import os
import stat

from ._writer import FORMATS, Heirs, LayerWriter, hidden_paths

TYPE_CHECKING = False

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator

    from ..tree import Tree
    from ._writer import FileSink, NodeAttributes, NodeKind

__all__ = ["TreeWriter"]


class TreeWriter(LayerWriter):
    """A writer over the merged tree of the active snapshot, in which hiding is removing.

    :param tree: writable; closed with the writer.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._heirs = Heirs()

    def directory(self, path: bytes, attributes: NodeAttributes) -> None:
        self._heirs.note(path, attributes)
        if not path:
            self._attributes(path, attributes)
            return
        kind = self._kind(path)
        if kind is not None and not stat.S_ISDIR(kind):
            self._tree.unlink(path)
            kind = None
        if kind is None:
            self._tree.mkdir(path, 0o700)
        self._attributes(path, attributes, clear=kind is not None or self._heirs.reaches(path))

    def file(self, path: bytes, attributes: NodeAttributes, size: int) -> FileSink:
        self._clear(path)
        raw = self._tree.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return _Sink(self, raw, path, attributes)

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        self._clear(path)
        self._tree.symlink(target, path)
        self._attributes(path, attributes, mode=False)

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        self._clear(path)
        self._tree.mknod(path, FORMATS[kind] | 0o600, device)
        self._attributes(path, attributes, clear=self._heirs.reaches(path))

    def link(self, path: bytes, target: bytes) -> None:
        self._clear(path)
        self._tree.link(target, path)

    def hide(self, path: bytes) -> None:
        self._clear(path)

    def hide_children(self, path: bytes, keep: Iterable[bytes]) -> None:
        def children(directory: bytes) -> Iterator[tuple[bytes, bool]]:
            for entry in self._tree.scandir(directory):
                yield os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)

        for child in hidden_paths(path, keep, children):
            self._clear(child)

    def remove(self, path: bytes) -> None:
        self._clear(path)

    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        for path, mtime in directories:
            self._tree.utime(path, ns=(mtime, mtime), follow_symlinks=False)

    def close(self) -> None:
        self._tree.close()

    def _kind(self, path: bytes) -> int | None:
        with contextlib.suppress(FileNotFoundError):
            return self._tree.stat(path, follow_symlinks=False).st_mode
        return None

    def _clear(self, path: bytes) -> None:
        kind = self._kind(path)
        if kind is None:
            return
        if stat.S_ISDIR(kind):
            self._tree.rmtree(path)
        else:
            self._tree.unlink(path)

    def _attributes(self, path: bytes, attributes: NodeAttributes, *, mode: bool = True, clear: bool = False) -> None:
        # Owner first, which clears set-uid bits and capabilities; file capabilities after the mode; times last.
        tree = self._tree
        tree.chown(path, attributes.uid, attributes.gid, follow_symlinks=False)
        late = []
        if clear or not path:
            kept = {name for name, _ in attributes.xattrs}
            for old in tree.listxattr(path, follow_symlinks=False):
                if os.fsencode(old) not in kept:
                    tree.removexattr(path, old, follow_symlinks=False)
        for name, value in attributes.xattrs:
            if name == b"security.capability":
                late.append((name, value))
            else:
                tree.setxattr(path, os.fsdecode(name), value, follow_symlinks=False)
        if mode:
            tree.chmod(path, attributes.mode)
        for name, value in late:
            tree.setxattr(path, os.fsdecode(name), value, follow_symlinks=False)
        tree.utime(path, ns=(attributes.mtime, attributes.mtime), follow_symlinks=False)


class _Sink:
    def __init__(self, writer: TreeWriter, raw: io.RawIOBase, path: bytes, attributes: NodeAttributes) -> None:
        self._writer = writer
        self._raw = raw
        self._path = path
        self._node = attributes
        self._end = 0

    def write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        while view:
            count = self._raw.write(view) or 0
            view = view[count:]
            self._end += count

    def skip(self, length: int) -> None:
        self._end += length
        self._raw.seek(self._end)

    def close(self) -> None:
        if self._raw.closed:
            return
        try:
            self._raw.truncate(self._end)
        finally:
            self._raw.close()
        self._writer._attributes(self._path, self._node, clear=self._writer._heirs.reaches(self._path))
