"""What the layers below have, as a layer that is being applied asks for it."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Protocol

from ..driver import NodeAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._nodes import Node

__all__ = ["Below", "LowerTree"]


class LowerTree(Protocol):
    """What applying a layer asks of the layers below; a :class:`~overlaykit.tree.Tree` is one."""

    def stat(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> os.stat_result:
        """Stat a path; ``FileNotFoundError`` where there is none."""

    def readlink(self, path: str | bytes) -> str:
        """Return the target of a symbolic link."""

    def listxattr(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes."""

    def getxattr(self, path: str | bytes, name: str, *, follow_symlinks: bool = True) -> bytes:
        """Return an extended attribute."""


class Below:
    """The layers below, whatever the layer above them does; false where there are none.

    :param open: returns their merged tree; called once, when it is first looked at.
    """

    def __init__(self, open: Callable[[], LowerTree] | None) -> None:
        self._open = open
        self._opened: LowerTree | None = None

    def __bool__(self) -> bool:
        return self._open is not None

    @property
    def _tree(self) -> LowerTree:
        # Opening may wait for another layer: functools.cached_property holds a lock of all instances meanwhile.
        if self._opened is None:
            assert self._open is not None
            self._opened = self._open()
        return self._opened

    def at(self, node: Node) -> os.stat_result | None:
        """Return what is at a path, following no symbolic link, also none on the way."""
        if node.below is ...:
            node.below = None
            if self:
                if node.parent is None:
                    node.below = self._tree.stat("")
                elif self.is_directory(node.parent):
                    with contextlib.suppress(FileNotFoundError):
                        node.below = self._tree.stat(node.path, follow_symlinks=False)
        return node.below

    def is_directory(self, node: Node) -> bool:
        """Tell whether a directory is at a path."""
        found = self.at(node)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def target(self, node: Node) -> bytes:
        """Return where the symbolic link at a path leads."""
        return os.fsencode(self._tree.readlink(node.path))

    def attributes(self, path: bytes) -> NodeAttributes:
        """Return the attributes of what is at a path."""
        status = self._tree.stat(path, follow_symlinks=False)
        names = self._tree.listxattr(path, follow_symlinks=False)
        return NodeAttributes(
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            tuple((os.fsencode(n), self._tree.getxattr(path, n, follow_symlinks=False)) for n in names),
        )
