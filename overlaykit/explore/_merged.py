"""Merged trees kept as values: a layer is applied to one by the state machine that applies layers everywhere."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..driver import LayerWriter, NodeAttributes, NodeKind, hidden_paths
from ._model import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..driver import FileRun, FileSink

__all__ = ["EMPTY", "MergedTree", "MergedWriter"]

EMPTY = Entry(NodeKind.DIRECTORY, 0o755, 0, 0, 0, 0, 0, children={})
"""The root below the lowest layer."""

_GIGA = 1_000_000_000


class MergedTree:
    """A merged tree as :func:`~overlaykit.changeset.apply_layer` asks for what is below.

    :param root: its root.
    """

    def __init__(self, root: Entry) -> None:
        self._root = root

    def _at(self, path: str | bytes) -> Entry:
        found = self._root.find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def stat(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> os.stat_result:
        """Stat a path; nobody asks here to follow a link."""
        one = self._at(path)
        seconds, rest = divmod(one.mtime, _GIGA)
        real = seconds + rest / _GIGA
        short = (one.st_mode, one.inode, 0, 1, one.uid, one.gid, one.size, seconds, seconds, seconds)
        return os.stat_result((*short, real, real, real, one.mtime, one.mtime, one.mtime, 4096, 0, one.device))

    def readlink(self, path: str | bytes) -> str:
        """Return the target of a symbolic link."""
        return os.fsdecode(self._at(path).target)

    def listxattr(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes."""
        return [os.fsdecode(name) for name, _ in self._at(path).xattrs]

    def getxattr(self, path: str | bytes, name: str, *, follow_symlinks: bool = True) -> bytes:
        """Return an extended attribute."""
        return dict(self._at(path).xattrs)[os.fsencode(name)]


class MergedWriter(LayerWriter):
    """Makes the merged tree of a layer and what is below. What the layer does not touch is shared with the tree below.

    :param below: the root of the tree below, which stays as it is.
    :param layer: the layer's index.
    :param inode: the first number for :attr:`Entry.inode` that is free.
    :ivar stored: each regular file that the layer has, with its path.
    """

    def __init__(self, below: Entry, layer: int, inode: int) -> None:
        # In a list: the root is replaced like a child.
        self._top: dict[bytes, Entry] = {b"": below}
        self._layer = layer
        # Directories' children that are this layer's own and may be written, by identity; kept alive by being here.
        self._own: dict[int, dict[bytes, Entry]] = {}
        # The same by path, as long as nothing was taken away.
        self._open: dict[bytes, dict[bytes, Entry]] = {}
        self.inode = inode
        self.stored: list[tuple[bytes, Entry]] = []

    @property
    def root(self) -> Entry:
        """The tree, as far as it was written."""
        return self._top[b""]

    # -- directories ---------------------------------------------------------------------------------------------

    def _fresh(self) -> dict[bytes, Entry]:
        children: dict[bytes, Entry] = {}
        self._own[id(children)] = children
        return children

    def _writable(self, parent: dict[bytes, Entry], name: bytes) -> dict[bytes, Entry]:
        entry = parent[name]
        assert entry.children is not None
        own = self._own.get(id(entry.children))
        if own is None:
            own = dict(entry.children)
            self._own[id(own)] = own
            parent[name] = replace(entry, children=own)
        return own

    def _children(self, path: bytes) -> dict[bytes, Entry]:
        """Return what is in a directory, to be written."""
        found = self._open.get(path)
        if found is None:
            found = self._writable(self._top, b"")
            for name in path.split(b"/") if path else ():
                found = self._writable(found, name)
            self._open[path] = found
        return found

    def _split(self, path: bytes) -> tuple[dict[bytes, Entry], bytes]:
        directory, _, name = path.rpartition(b"/")
        return self._children(directory), name

    def _put(self, path: bytes, entry: Entry) -> None:
        parent, name = self._split(path)
        old = parent.get(name)
        if old is not None and old.children is not None:
            self._open.clear()
        parent[name] = entry

    def _number(self) -> int:
        self.inode += 1
        return self.inode

    def _entry(self, kind: NodeKind, attributes: NodeAttributes, **more: object) -> Entry:
        a = attributes
        xattrs = tuple(sorted(a.xattrs)) if a.xattrs else ()
        return Entry(kind, a.mode, a.uid, a.gid, a.mtime, self._layer, self._number(), xattrs=xattrs, **more)  # type: ignore[arg-type]

    # -- the writer ----------------------------------------------------------------------------------------------

    def directory(self, path: bytes, attributes: NodeAttributes) -> None:
        """Make a directory, or give one that is there these attributes."""
        parent, name = self._split(path) if path else (self._top, b"")
        old = parent.get(name)
        children = self._fresh() if old is None or old.children is None else old.children
        parent[name] = self._entry(NodeKind.DIRECTORY, attributes, children=children)

    def file(self, path: bytes, attributes: NodeAttributes, size: int) -> FileSink:
        """Make a regular file whose content follows."""

        def put(length: int, stored: int, digest: bytes) -> None:
            entry = self._entry(NodeKind.FILE, attributes, size=length, stored=stored, digest=digest)
            self._put(path, entry)
            self.stored.append((path, entry))

        return _Sink(put)

    def files(self, directory: bytes, run: FileRun) -> None:
        """Make several small files in one directory."""
        children, layer, inode = self._children(directory), self._layer, self.inode
        sha256, file, before = hashlib.sha256, NodeKind.FILE, directory + b"/" if directory else b""
        for name, a, data in run.files():
            inode += 1
            length = len(data)
            digest = sha256(data).digest()
            entry = Entry(file, a.mode, a.uid, a.gid, a.mtime, layer, inode, length, length, digest)
            old = children.get(name)
            if old is not None and old.children is not None:
                self._open.clear()
            children[name] = entry
            self.stored.append((before + name, entry))
        self.inode = inode

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        """Make a symbolic link."""
        self._put(path, self._entry(NodeKind.SYMLINK, attributes, target=target))

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        """Make a FIFO or a device node."""
        self._put(path, self._entry(kind, attributes, device=device))

    def link(self, path: bytes, target: bytes) -> None:
        """Make a hard link."""
        found = self.root.find(target)
        assert found is not None
        self._put(path, found)

    def hide(self, path: bytes) -> None:
        """Make a name of below disappear."""
        self.remove(path)

    def hide_children(self, path: bytes, keep: Iterable[bytes]) -> None:
        """Make everything of below in a directory disappear."""

        def children(directory: bytes) -> Iterator[tuple[bytes, bool]]:
            for name, entry in self._children(directory).items():
                yield name, entry.children is not None

        for child in hidden_paths(path, keep, children):
            self.remove(child)

    def remove(self, path: bytes) -> None:
        """Take away what is at a path."""
        parent, name = self._split(path)
        gone = parent.pop(name, None)
        if gone is not None and gone.children is not None:
            self._open.clear()

    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        """Times of directories came with their attributes, and nothing has changed them."""

    def close(self) -> None:
        """Nothing is held."""


class _Sink:
    """Takes the content of a file.

    :param put: called at its end with its length, the bytes that are stored, and the digest.
    """

    def __init__(self, put: Callable[[int, int, bytes], None]) -> None:
        self._call: Callable[[int, int, bytes], None] | None = put
        self._hash = hashlib.sha256()
        self._length = 0
        self._stored = 0

    def write(self, data: memoryview | bytes) -> None:
        """Append bytes."""
        self._hash.update(data)
        self._length += len(data)
        self._stored += len(data)

    def skip(self, length: int) -> None:
        """Append a hole: its zeros are part of the content, and a file without holes may have the same."""
        self._length += length
        while length > 0:
            piece = min(length, len(_ZEROS))
            self._hash.update(_ZEROS[:piece])
            length -= piece

    def close(self) -> None:
        """Put the file where it belongs."""
        if self._call is not None:
            self._call(self._length, self._stored, self._hash.digest())
            self._call = None


_ZEROS = memoryview(bytes(1 << 20))
