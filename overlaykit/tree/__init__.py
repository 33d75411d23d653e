"""Trees: the merged view of a snapshot, and what can be done with any two of them.

What needs more than the standard library's lightest modules is imported when it is first used.
"""

from __future__ import annotations

from ..lazy import lazy_names
from ._entry import TreeEntry
from ._tree import RenameFlag, StrOrBytesPath, Tree

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._change import Aspect, Change, ChangeKind, change_order
    from ._compare import LinkGroups, Unchanged, compare, difference, same_content, tree_digest
    from ._compare_copy import compare_copy
    from ._copy import Copied, copy_tree
    from ._host import HostTree
    from ._mapped import MappedTree, mapped_changes
    from ._moving import link_directory, open_up, remove_path, set_attributes
    from ._override import STAT_XATTRS, LinkOwner, Override, stored_xattr
    from ._partial import PartialTree
    from ._path import TreePath

__all__ = [
    "STAT_XATTRS",
    "Aspect",
    "Change",
    "ChangeKind",
    "Copied",
    "HostTree",
    "LinkGroups",
    "LinkOwner",
    "MappedTree",
    "Override",
    "PartialTree",
    "RenameFlag",
    "StrOrBytesPath",
    "Tree",
    "TreeEntry",
    "TreePath",
    "Unchanged",
    "change_order",
    "compare",
    "compare_copy",
    "copy_tree",
    "difference",
    "link_directory",
    "mapped_changes",
    "open_up",
    "remove_path",
    "same_content",
    "set_attributes",
    "stored_xattr",
    "tree_digest",
]

_LATER = {
    "Aspect": "_change",
    "Change": "_change",
    "ChangeKind": "_change",
    "Copied": "_copy",
    "HostTree": "_host",
    "LinkGroups": "_compare",
    "LinkOwner": "_override",
    "MappedTree": "_mapped",
    "Override": "_override",
    "PartialTree": "_partial",
    "TreePath": "_path",
    "Unchanged": "_compare",
    "STAT_XATTRS": "_override",
    "change_order": "_change",
    "compare": "_compare",
    "compare_copy": "_compare_copy",
    "copy_tree": "_copy",
    "difference": "_compare",
    "link_directory": "_moving",
    "mapped_changes": "_mapped",
    "open_up": "_moving",
    "remove_path": "_moving",
    "same_content": "_compare",
    "set_attributes": "_moving",
    "stored_xattr": "_override",
    "tree_digest": "_compare",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
