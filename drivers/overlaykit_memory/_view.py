"""The reading half of a tree."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, Any

from overlaykit import errors
from overlaykit.tree import StrOrBytesPath, Tree, TreeEntry

from . import _xattr
from ._memory import memory_figures
from ._node import Directory, File, Node, Symlink, status
from ._resolve import failure, locate, text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ._snapshot import Snapshot

__all__ = ["View"]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class View(Tree):
    """What a tree of a snapshot does without changing it; no lock is taken unless a path is out of the ordinary."""

    def __init__(self, snapshot: Snapshot, *, readonly: bool) -> None:
        self._snapshot = snapshot
        self._own = snapshot.own
        self._base = snapshot.base
        self._dev = snapshot.dev
        self._readonly = readonly
        self._sealed = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "readonly" if self.readonly else "writable"
        return f"<{type(self).__name__} {state}>"

    @property
    def readonly(self) -> bool:
        return self._readonly or self._sealed or self._snapshot.frozen

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    # -- paths ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StoreClosedError("the tree is closed; open it again")

    def _plain(self, path: StrOrBytesPath) -> Node | None:
        """Return what a plain path names: without symbolic links, dots or doubled slashes; ``None`` for others."""
        if type(path) is str and path:
            own, base = self._own, self._base
            root = self._snapshot.root
            node: Any = own.get(root) or base[root]
            try:
                for name in (path[1:] if path[0] == "/" else path).split("/"):
                    ino = node.entries[name]
                    node = own.get(ino) or base[ino]
            except (KeyError, AttributeError):
                return None
            if type(node) is not Symlink:
                return node  # type: ignore[no-any-return]
        return None

    def _find(self, path: StrOrBytesPath, follow: bool) -> Node:
        """Return what a path names: a plain path by a plain walk, whatever else there is in paths the long way."""
        if not self._closed:
            node = self._plain(path)
            if node is not None:
                return node
        return self._find_long(path, follow)

    def _locate(self, path: StrOrBytesPath, follow: bool) -> Node | None:
        """Return what a path names, the long way; ``None`` where its last name is missing."""
        self._check_open()
        with self._snapshot.lock:
            place = locate(self._snapshot, path, (path,), follow=follow)
        if place.slash and place.node is not None and not isinstance(place.node, Directory):
            raise failure(errno.ENOTDIR, path)
        return place.node

    def _find_long(self, path: StrOrBytesPath, follow: bool) -> Node:
        node = self._locate(path, follow)
        if node is None:
            raise failure(errno.ENOENT, path)
        return node

    def _find_or_none(self, path: StrOrBytesPath, follow: bool) -> Node | None:
        if not self._closed:
            node = self._plain(path)
            if node is not None:
                return node
        try:
            return self._locate(path, follow)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise

    # -- attributes ----------------------------------------------------------------------------------------------

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        return status(self._find(path, follow_symlinks), self._dev)

    def lstat(self, path: StrOrBytesPath) -> os.stat_result:
        return status(self._find(path, False), self._dev)

    def exists(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        return self._find_or_none(path, follow_symlinks) is not None

    def is_dir(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        return isinstance(self._find_or_none(path, follow_symlinks), Directory)

    def is_file(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        return isinstance(self._find_or_none(path, follow_symlinks), File)

    def is_symlink(self, path: StrOrBytesPath) -> bool:
        return isinstance(self._find_or_none(path, False), Symlink)

    def readlink(self, path: StrOrBytesPath) -> str:
        node = self._find(path, False)
        if not isinstance(node, Symlink):
            raise failure(errno.EINVAL, path)
        return node.target

    def getxattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> bytes:
        return _xattr.get(self._find(path, follow_symlinks), name, path)

    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        return _xattr.names(self._find(path, follow_symlinks))

    def statvfs(self) -> os.statvfs_result:
        """Return the figures of the machine's memory; inodes are as many as blocks, names as long as on ext4."""
        self._check_open()
        return memory_figures(self.readonly)

    # -- content -------------------------------------------------------------------------------------------------

    def _directory(self, path: StrOrBytesPath) -> Directory:
        node = self._find(path, True)
        if not isinstance(node, Directory):
            raise failure(errno.ENOTDIR, path)
        return node

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        entries = list(self._directory(path).entries.items())
        above = text(path).strip("/")
        return self._entries(entries, "" if above in ("", ".") else above + "/")

    def _entries(self, entries: list[tuple[str, int]], prefix: str) -> Iterator[TreeEntry]:
        own, base = self._own, self._base
        for name, ino in entries:
            node = own.get(ino)
            if node is None:
                try:
                    node = base[ino]
                except KeyError:
                    continue  # removed since the directory was read
            yield TreeEntry(self, name, prefix + name, stat.S_IFMT(node.mode), ino)

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        return list(self._directory(path).entries)

    def read_bytes(self, path: StrOrBytesPath) -> bytes:
        node = (None if self._closed else self._plain(path)) or self._find_long(path, True)
        if type(node) is File:
            data = node.data
            if type(data) is bytes:
                return data
            with self._snapshot.lock:
                return node.content()
        raise failure(errno.EISDIR if isinstance(node, Directory) else errno.ENXIO, path)
