"""The tree: names, and the attributes of what they name."""

from __future__ import annotations

import errno
import stat
import time
from typing import TYPE_CHECKING

from . import _acl, _xattr
from ._file import drop_privileges, drops_setgid
from ._names import Names
from ._node import MAX_SIZE, Directory, File, Symlink
from ._resolve import failure

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["InodeTree"]


class InodeTree(Names):
    """The tree of a snapshot that has no file system below.

    Permission bits, owners and capabilities of the caller are stored, never enforced: the tree belongs to this process.
    Reading leaves access times alone (``noatime``).
    """

    def seal(self) -> None:
        inodes = self._inodes
        with inodes.lock:
            self._check_open()
            if inodes.writers and not self._readonly:
                inodes.refuse()
            self._sealed = True

    def unseal(self) -> None:
        self._sealed = False

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        with self._inodes.writing:
            self._check_write(path)
            node = self._find(path, follow_symlinks)
            if isinstance(node, Symlink):
                raise failure(errno.EOPNOTSUPP, path)
            node = self._inodes.mine(node.ino)
            node.mode = stat.S_IFMT(node.mode) | mode & 0o7777
            if node.xattrs and _acl.ACCESS in node.xattrs:
                acl = _acl.decode(node.xattrs[_acl.ACCESS])
                assert acl is not None
                node.xattrs = {**node.xattrs, _acl.ACCESS: _acl.encode(_acl.chmod(acl, mode))}
            node.ctime = time.time_ns()

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        for value in (uid, gid):
            if not -1 <= value < 1 << 32:
                raise OverflowError(f"no uid or gid: {value}")
        with self._inodes.writing:
            self._check_write(path)
            node = self._inodes.mine(self._find(path, follow_symlinks).ino)
            if uid not in (-1, 0xFFFFFFFF):
                node.uid = uid
            if gid not in (-1, 0xFFFFFFFF):
                node.gid = gid
            if not isinstance(node, Directory):
                _xattr.drop(node, _xattr.CAPABILITY)
                node.mode &= ~stat.S_ISUID
                if drops_setgid(node, self._inodes.caller):
                    node.mode &= ~stat.S_ISGID
            node.ctime = time.time_ns()

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        with self._inodes.writing:
            self._check_write(path)
            now = time.time_ns()
            node = self._inodes.mine(self._find(path, follow_symlinks).ino)
            node.atime, node.mtime = ns or (now, now)
            node.ctime = now

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        with self._inodes.writing:
            self._check_write(path)
            found = self._find(path, True)
            if length < 0:
                raise failure(errno.EINVAL, path)
            if not isinstance(found, File):
                raise failure(errno.EISDIR if isinstance(found, Directory) else errno.EINVAL, path)
            if length > MAX_SIZE:
                raise failure(errno.EFBIG, path)
            node = self._inodes.file(found.ino)
            drop_privileges(node, self._inodes.caller)
            node.truncate(length)
            node.mtime = node.ctime = time.time_ns()

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        with self._inodes.writing:
            self._check_write(path)
            found = self._find(path, follow_symlinks)
            name = _xattr.check_set(name, value, flags, path)
            twin = found.copy()
            _xattr.set_(twin, name, bytes(value), flags, path)
            node = self._inodes.mine(found.ino)
            node.xattrs, node.mode, node.ctime = twin.xattrs, twin.mode, time.time_ns()

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        with self._inodes.writing:
            self._check_write(path)
            found = self._find(path, follow_symlinks)
            name = _xattr.check_name(name, path)
            twin = found.copy()
            _xattr.remove(twin, name, path)
            node = self._inodes.mine(found.ino)
            node.xattrs, node.ctime = twin.xattrs, time.time_ns()
