"""Trees: the merged view of a snapshot, and what can be done with any two of them."""

from __future__ import annotations

from ._change import Aspect, Change, ChangeKind, change_order
from ._compare import LinkGroups, Unchanged, compare, difference, same_content, tree_digest
from ._entry import TreeEntry
from ._host import HostTree
from ._tree import RenameFlag, StrOrBytesPath, Tree

__all__ = [
    "Aspect",
    "Change",
    "ChangeKind",
    "HostTree",
    "LinkGroups",
    "RenameFlag",
    "StrOrBytesPath",
    "Tree",
    "TreeEntry",
    "Unchanged",
    "change_order",
    "compare",
    "difference",
    "same_content",
    "tree_digest",
]
