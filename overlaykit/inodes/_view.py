"""The reading half of a tree."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from .. import errors
from ..tree import Tree, TreeEntry
from . import _xattr
from ._node import Directory, File, Node, Symlink, status
from ._resolve import failure, locate, text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ..tree import StrOrBytesPath
    from ._inodes import Inodes

__all__ = ["View"]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class View(Tree):
    """What a tree does without changing anything."""

    def __init__(self, inodes: Inodes, *, readonly: bool) -> None:
        self._inodes = inodes
        self._readonly = readonly
        self._sealed = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "readonly" if self.readonly else "writable"
        return f"<{type(self).__name__} {state}>"

    @property
    def readonly(self) -> bool:
        return self._readonly or self._sealed or self._inodes.frozen

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True

    # -- paths ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StoreClosedError("the tree is closed; open it again")

    def _locate(self, path: StrOrBytesPath, follow: bool) -> Node | None:
        """Return what a path names; ``None`` where its last name is missing."""
        self._check_open()
        with self._inodes.reading:
            place = locate(self._inodes, path, (path,), follow=follow)
        if place.slash and place.node is not None and not isinstance(place.node, Directory):
            raise failure(errno.ENOTDIR, path)
        return place.node

    def _find(self, path: StrOrBytesPath, follow: bool) -> Node:
        """Return what a path names."""
        node = self._locate(path, follow)
        if node is None:
            raise failure(errno.ENOENT, path)
        return node

    def _find_or_none(self, path: StrOrBytesPath, follow: bool) -> Node | None:
        """Return what a path names, ``None`` for nothing."""
        try:
            return self._locate(path, follow)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise

    # -- attributes ----------------------------------------------------------------------------------------------

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        return status(self._find(path, follow_symlinks), self._inodes.dev)

    def lstat(self, path: StrOrBytesPath) -> os.stat_result:
        return status(self._find(path, False), self._inodes.dev)

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

    # -- content -------------------------------------------------------------------------------------------------

    def _directory(self, path: StrOrBytesPath) -> Directory:
        node = self._find(path, True)
        if not isinstance(node, Directory):
            raise failure(errno.ENOTDIR, path)
        return node

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        with self._inodes.reading:
            entries = list(self._inodes.scan(self._directory(path)))
        above = text(path).strip("/")
        prefix = "" if above in ("", ".") else above + "/"
        return (TreeEntry(self, name, prefix + name, kind, ino) for name, ino, kind in entries)

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        with self._inodes.reading:
            return list(self._directory(path).entries)

    def read_bytes(self, path: StrOrBytesPath) -> bytes:
        with self._inodes.reading:
            node = self._find(path, True)
            if isinstance(node, File):
                return node.content()
        raise failure(errno.EISDIR if isinstance(node, Directory) else errno.ENXIO, path)
