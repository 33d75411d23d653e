"""Applies layers where owners are kept in extended attributes."""

from __future__ import annotations

import os

from ._tree_writer import TreeWriter
from ._writer import FORMATS

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ..tree import MappedTree
    from ._writer import NodeAttributes, NodeKind

__all__ = ["MappedWriter"]


class MappedWriter(TreeWriter):
    """A writer that sets all of a new file's or directory's attributes at once.

    :param tree: writable; closed with the writer.
    """

    def __init__(self, tree: MappedTree) -> None:
        super().__init__(tree)
        self._mapped = tree

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        self._clear(path)
        self._tree.mknod(path, FORMATS[kind] | 0o600, device)
        super()._attributes(path, attributes)

    def _attributes(self, path: bytes, attributes: NodeAttributes, *, mode: bool = True, clear: bool = False) -> None:
        if clear or not path or not mode:
            super()._attributes(path, attributes, mode=mode, clear=clear)
            return
        node = attributes
        xattrs = [(os.fsdecode(name), value) for name, value in node.xattrs]
        self._mapped.dress(path, node.uid, node.gid, node.mode, node.mtime, xattrs)
