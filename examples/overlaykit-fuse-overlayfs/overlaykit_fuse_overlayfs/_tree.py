"""The merged view, with what fuse-overlayfs leaves out and can be mended."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from overlaykit import linux
from overlaykit.driver import Capability, SnapshotId
from overlaykit.tree import HostTree, RenameFlag, StrOrBytesPath

if TYPE_CHECKING:
    from ._driver import FuseOverlayfsDriver

__all__ = ["FuseTree"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT


class FuseTree(HostTree):
    """A tree that shares its mount with the other trees of its snapshot.

    When fuse-overlayfs copies a file up, the directories on the way to it get the time of that moment, which is seen
    through the mount. What is done by this object puts their times back.
    """

    def __init__(self, fd: int, driver: FuseOverlayfsDriver, id: SnapshotId, *, readonly: bool) -> None:
        super().__init__(fd, readonly=readonly)
        self._driver = driver
        self._id = id
        self._ending = threading.Lock()

    def close(self) -> None:
        with self._ending:
            if not self.closed:
                super().close()
                self._driver.let_go(self._id)

    # -- times ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _times(self, *paths: StrOrBytesPath, named: bool = False) -> Iterator[None]:
        """Keep the times of the directories on the way to paths.

        :param named: names come or go: the directories that hold them feel it.
        """
        if self.readonly:
            yield
            return
        above: dict[bytes, os.stat_result] = {}
        felt: set[bytes] = set()
        with self._driver.changing:
            for path in paths:
                parts = [part for part in os.fsencode(path).split(b"/") if part]
                ways = [b"/".join(parts[:count]) for count in range(len(parts))]
                for way in ways:
                    with contextlib.suppress(OSError):
                        above.setdefault(way, self.stat(way))
                if named and ways:
                    felt.add(ways[-1])
            try:
                yield
            finally:
                for way, before in above.items():
                    with contextlib.suppress(OSError):
                        if way not in felt and self.stat(way).st_mtime_ns != before.st_mtime_ns:
                            super().utime(way, ns=(before.st_atime_ns, before.st_mtime_ns))

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.FileIO:
        if not flags & _WRITES:
            return super().open_raw(path, flags, mode)
        made = bool(flags & os.O_CREAT) and not self.exists(path)
        with self._times(path, named=made):
            return super().open_raw(path, flags, mode)

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        with self._times(path, named=not self.exists(path)):
            return super().write_bytes(path, data)

    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        with self._times(path, named=True):
            super().mkdir(path, mode)

    def rmdir(self, path: StrOrBytesPath) -> None:
        with self._times(path, named=True):
            super().rmdir(path)

    def unlink(self, path: StrOrBytesPath) -> None:
        with self._times(path, named=True):
            super().unlink(path)

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        with self._times(src), self._times(dst, named=True):
            super().link(src, dst)

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        with self._times(path, named=True):
            super().symlink(target, path)

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        with self._times(path, named=True):
            super().mknod(path, mode, device)

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        with self._times(path):
            super().chmod(path, mode, follow_symlinks=follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        with self._times(path):
            super().chown(path, uid, gid, follow_symlinks=follow_symlinks)

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        with self._times(path):
            super().utime(path, ns=ns, follow_symlinks=follow_symlinks)

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        with self._times(path):
            super().truncate(path, length)

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        if name.startswith("system.posix_acl_") and Capability.ACL not in self._driver.capabilities:
            # In a user namespace fuse-overlayfs would store it, and nobody would keep to it.
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        with self._times(path):
            super().setxattr(path, name, value, flags, follow_symlinks=follow_symlinks)

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        with self._times(path):
            super().removexattr(path, name, follow_symlinks=follow_symlinks)

    # -- renaming ------------------------------------------------------------------------------------------------

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        """Rename; a directory that comes from a layer below, which fuse-overlayfs refuses, by copying it.

        Everything is checked before, by fuse-overlayfs and here; but other than a rename this takes a while, a process
        that is killed meanwhile may leave the copy under a name of its own, and files in it get new inode numbers.
        """
        with self._times(src, dst, named=True):
            try:
                super().rename(src, dst, flags=flags)
            except OSError as error:
                if error.errno != errno.EXDEV or not self.is_dir(src, follow_symlinks=False):
                    raise
            else:
                return
            if self.exists(dst, follow_symlinks=False):
                code = errno.EEXIST if flags & RenameFlag.NOREPLACE else errno.ENOTEMPTY if self.listdir(dst) else 0
                if code:
                    raise OSError(code, os.strerror(code), src, None, dst)
                self.rmdir(dst)
            self._copy(src, dst)
            self.rmtree(src)

    def _copy(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        above = os.path.dirname(os.fsencode(dst).rstrip(b"/"))
        beside = os.path.join(above, b".overlaykit-move-" + os.urandom(8).hex().encode())
        super().mkdir(beside, 0o700)
        try:
            with self._directory(src) as source, self._directory(beside) as copy:
                linux.copy_tree(source, copy)
            super().rename(beside, dst)
        except BaseException:
            with contextlib.suppress(OSError):
                self.rmtree(beside)
            raise

    @contextlib.contextmanager
    def _directory(self, path: StrOrBytesPath) -> Iterator[int]:
        fd = linux.openat2(self.fileno(), path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)
