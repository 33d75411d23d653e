"""The merged view, with what the kernel's overlayfs leaves out."""

from __future__ import annotations

import errno
import os
import stat

from overlaykit.tree import HostTree, RenameFlag, StrOrBytesPath, TreeEntry

from ._links import finish_stuck, join_names
from ._move import exchange, move_directory, remake_name

TYPE_CHECKING = False

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from ._shared import Shared

__all__ = ["OverlayTree"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC


class OverlayTree(HostTree):
    """The tree of a snapshot.

    Over :class:`HostTree` it renames directories of the layers below, and keeps the names of a file one file when it is
    copied up. What other programs do by :attr:`host_path` has the kernel's own rules: EXDEV, and links that part.

    :param fd: the root of the merged view, which the tree owns.
    :param shared: what the trees of the snapshot have in common.
    :ivar writer: whether it was opened for writing.
    :ivar touched: whether a file in it may be open for writing.
    """

    def __init__(self, fd: int, shared: Shared, *, writer: bool) -> None:
        self._shared = shared
        self.writer = writer
        self.touched = False
        super().__init__(fd, readonly=not writer)

    def close(self) -> None:
        self._shared.close_tree(self)

    def close_descriptor(self) -> None:
        """Close the tree's descriptor; for :class:`Shared`, which does the rest."""
        super().close()

    def show(self, fd: int) -> None:
        """Show another mount from now on, in the descriptor that the tree has; for :class:`Shared`."""
        os.dup2(fd, self.fileno(), inheritable=False)

    @property
    def host_path(self) -> str:
        self.touched = True
        return super().host_path

    def fileno(self) -> int:
        self.touched = True
        return super().fileno()

    # -- listing -------------------------------------------------------------------------------------------------

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        names = super().listdir(path)
        if self._shared.hides:
            token = self._shared.journal.token
            names = [name for name in names if not name.startswith(token)]
        return names

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        entries = super().scandir(path)
        if self._shared.hides:
            token = self._shared.journal.token
            return (entry for entry in entries if not entry.name.startswith(token))
        return entries

    # -- hard links ----------------------------------------------------------------------------------------------

    def _keep_links(self, path: StrOrBytesPath, follow_symlinks: bool = True) -> None:
        """Copy a file of a layer up with all its names, before it is changed."""
        if self.readonly or not self._shared.links:
            return
        if self._shared.journal.stuck:
            raw = self._shared.raw()
            with self._shared.naming:
                finish_stuck(raw, self._shared.journal)
        try:
            status = self.stat(path, follow_symlinks=follow_symlinks)
        except OSError:
            return  # the operation itself will say why
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            raw = self._shared.raw()
            with self._shared.naming:
                join_names(raw, self._shared.links, self._shared.journal, status)

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.FileIO:
        if flags & _WRITES:
            self._keep_links(path, not flags & os.O_NOFOLLOW)
            self.touched = True
        return super().open_raw(path, flags, mode)

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        self._keep_links(path)
        return super().write_bytes(path, data)

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        self._keep_links(path)
        super().truncate(path, length)

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        self._keep_links(path, follow_symlinks)
        super().chmod(path, mode, follow_symlinks=follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        self._keep_links(path, follow_symlinks)
        super().chown(path, uid, gid, follow_symlinks=follow_symlinks)

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        self._keep_links(path, follow_symlinks)
        super().utime(path, ns=ns, follow_symlinks=follow_symlinks)

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        if self._shared.rootless and name.startswith("system.posix_acl_"):
            # In a user namespace the kernel takes an ACL that names the caller alone; others are EINVAL. So: no ACLs.
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), os.fspath(path))
        self._keep_links(path, follow_symlinks)
        super().setxattr(path, name, value, flags, follow_symlinks=follow_symlinks)

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        self._keep_links(path, follow_symlinks)
        super().removexattr(path, name, follow_symlinks=follow_symlinks)

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        self._keep_links(src, False)
        super().link(src, dst)
        if self._shared.rootless:
            self._mend_link(src, dst)

    def _mend_link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        """Give both names one inode number.

        In a user namespace the kernel goes on showing a file that it copied up for a link under its old number, but
        the new name under that of the copy. So the old name is made anew. (To rename a link over it will not do: at
        that the kernel warns of itself.)
        """
        old, new = self.lstat(src), self.lstat(dst)
        if old.st_ino != new.st_ino:
            raw = self._shared.raw()
            with self._shared.naming:
                remake_name(raw, self._shared.journal, os.fsdecode(src).rstrip("/"), os.fsdecode(dst).rstrip("/"))

    # -- renaming ------------------------------------------------------------------------------------------------

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        self._keep_links(src, False)
        if flags & RenameFlag.EXCHANGE:
            self._keep_links(dst, False)
        try:
            super().rename(src, dst, flags=flags)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
        source, target = (os.fsdecode(path).rstrip("/") for path in (src, dst))
        raw, journal = self._shared.raw(), self._shared.journal
        with self._shared.naming:
            try:
                if flags & RenameFlag.EXCHANGE:
                    exchange(raw, journal, self._join, source, target)
                else:
                    move_directory(raw, journal, self._join, source, target, flags)
            except OSError as error:
                # The paths below are ours; the caller knows those it gave.
                raise OSError(error.errno, error.strerror, os.fspath(src), None, os.fspath(dst)) from error

    def _join(self, path: str) -> None:
        self._keep_links(path, False)
