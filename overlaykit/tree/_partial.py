"""Trees whose caller may set owners, but not everything: root of a user namespace, or without CAP_MKNOD."""

from __future__ import annotations

import errno
import stat

from ._mapped import MappedTree
from ._override import LinkOwner, stored_xattr

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._tree import StrOrBytesPath, Tree

__all__ = ["PartialTree"]

_NOT_MINE = frozenset({errno.EPERM, errno.EINVAL, errno.EOVERFLOW})
"""What the kernel says to an owner that the namespace has no id for (user_namespaces(7))."""


class PartialTree(MappedTree):
    """A tree that keeps in extended attributes what its storage refuses, and sets all else for real.

    Kept are device nodes, owners that have no id in the user namespace, and attributes outside ``user.*`` and
    ``system.*`` but ``security.capability``.

    :param inner: the tree as it is stored; closed with this one.
    """

    def __init__(self, inner: Tree) -> None:
        super().__init__(inner)
        # Owners are what they are.
        self._uid = self._gid = 0

    def stored_xattr(self, name: str) -> str:
        return stored_xattr(name, partial=True)

    def _adopt(self, path: StrOrBytesPath, follow: bool) -> None:
        """What is new is what it is."""

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        self._inner.symlink(target, path)
        self._set_link_owner(path, None)

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        if stat.S_IFMT(mode) in (stat.S_IFCHR, stat.S_IFBLK):
            super().mknod(path, mode, device)
        else:
            self._inner.mknod(path, mode, device)

    def _has_override(self, path: StrOrBytesPath, follow: bool) -> bool:
        real = self._inner.stat(path, follow_symlinks=follow)
        return self._override(path, real, follow) is not None

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        if self._has_override(path, follow_symlinks):
            super().chmod(path, mode, follow_symlinks=follow_symlinks)
        else:
            self._check_hidden(path)
            self._inner.chmod(path, mode, follow_symlinks=follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        self._check_hidden(path)
        if not self._has_override(path, follow_symlinks):
            try:
                self._inner.chown(path, uid, gid, follow_symlinks=follow_symlinks)
            except OSError as error:
                if error.errno not in _NOT_MINE:
                    raise
            else:
                if not follow_symlinks and self._is_link(path) and (old := self._link_owner(path)) is not None:
                    shown = self._inner.stat(path, follow_symlinks=False)
                    self._set_owner_of_all(path, LinkOwner(shown.st_uid, shown.st_gid, old.xattrs))
                return
        super().chown(path, uid, gid, follow_symlinks=follow_symlinks)

    def _set_link_xattr(self, path: StrOrBytesPath, name: str, value: bytes | None, flags: int) -> None:
        if self._link_owner(path) is None:
            real = self._inner.stat(path, follow_symlinks=False)
            self._set_owner_of_all(path, LinkOwner(real.st_uid, real.st_gid))
        super()._set_link_xattr(path, name, value, flags)
