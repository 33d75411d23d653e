"""The tree of a snapshot."""

from __future__ import annotations

from overlaykit.tree import HostTree

__all__ = ["DirectoryTree"]

_ACL_STORAGE = ("trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")
"""How XFS stores ACLs: it shows them to root besides the ``system.posix_acl_*`` that they are."""


class DirectoryTree(HostTree):
    """A snapshot's directory; :class:`~overlaykit.tree.HostTree` knows all that there is to do."""

    def _visible_xattr(self, name: str) -> bool:
        return name not in _ACL_STORAGE
