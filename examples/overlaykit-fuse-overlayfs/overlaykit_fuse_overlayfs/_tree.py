"""The merged view, with what fuse-overlayfs leaves out and can be mended."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from overlaykit import linux
from overlaykit.driver import Capability, SnapshotId
from overlaykit.tree import HostTree, RenameFlag, StrOrBytesPath, link_directory, remove_path, set_attributes

from ._upper import Upper

if TYPE_CHECKING:
    from ._driver import FuseOverlayfsDriver

__all__ = ["FuseTree", "Shown"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT
_LONGEST = 255
"""So many bytes a name may have."""
_MOST_LINKS = 40
"""So many symbolic links are followed on one path, as the kernel does."""


class Shown:
    """What the trees of one snapshot in this process have in common.

    :ivar mount: a descriptor of its root.
    :ivar trees: how many are open.
    :ivar changing: held by who changes a name, or copies something up and puts the times of directories back.
    """

    __slots__ = ("changing", "mount", "trees")

    def __init__(self, mount: int) -> None:
        self.mount = mount
        self.trees = 0
        self.changing = threading.RLock()


class FuseTree(HostTree):
    """A tree that shares its mount with the other trees of its snapshot.

    Whatever is changed is first copied up, with the directories above it, and looked at: fuse-overlayfs loses or
    changes some attributes at that, and touches the times of directories. What is there then is the upper directory's
    own, with which it does well.
    """

    def __init__(
        self, shown: Shown, driver: FuseOverlayfsDriver, id: SnapshotId, upper: Upper, *, readonly: bool
    ) -> None:
        super().__init__(os.dup(shown.mount), readonly=readonly)
        self._changing = shown.changing
        self._driver = driver
        self._id = id
        self._upper = upper
        self._ending = threading.Lock()

    def close(self) -> None:
        with self._ending:
            if not self.closed:
                super().close()
                self._upper.close()
                self._driver.let_go(self._id)

    # -- paths without symbolic links ----------------------------------------------------------------------------

    def _directory(self, path: bytes) -> bytes:
        """Return where a directory is, from the root."""
        fd = linux.openat2(self.fileno(), path or b".", os.O_PATH | os.O_DIRECTORY)
        try:
            return os.readlink(b"/proc/self/fd/%d" % fd).lstrip(b"/")
        finally:
            os.close(fd)

    def _locate(self, path: StrOrBytesPath, *, follow: bool) -> bytes | None:
        """Return where an entry is, or would be made; ``None`` where the operation itself will say what is wrong."""
        raw = os.fsencode(path)
        try:
            for _ in range(_MOST_LINKS):
                above, name = os.path.split(raw.rstrip(b"/"))
                if name in (b"", b".", b".."):
                    return self._directory(raw)
                where = os.path.join(self._directory(above), name)
                target = self._target(where) if follow else None
                if target is None:
                    return where
                raw = os.path.join(os.path.dirname(where), target)
        except OSError:
            pass
        return None

    def _target(self, where: bytes) -> bytes | None:
        """Return where a symbolic link points; ``None`` for anything else."""
        try:
            return os.fsencode(self.readlink(where))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def _shown(self, where: bytes) -> os.stat_result | None:
        """Return the attributes that fuse-overlayfs shows of an entry; ``None`` where there is none."""
        try:
            return super().stat(where, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _meet(self, where: bytes | None) -> bool:
        """Let fuse-overlayfs see a socket or block device, which it takes for a directory unless it was listed."""
        with contextlib.suppress(OSError):
            own = None if where is None else self._upper.lstat(where)
            if where is not None and own is not None and (stat.S_ISSOCK(own.st_mode) or stat.S_ISBLK(own.st_mode)):
                self.listdir(os.path.dirname(where))
                return True
        return False

    def _check_length(self, path: StrOrBytesPath) -> None:
        """Refuse a name that is too long to be there, of which fuse-overlayfs says that it is not."""
        above, name = os.path.split(os.fsencode(path).rstrip(b"/"))
        if len(name) > _LONGEST and self.is_dir(above):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)

    # -- attributes ----------------------------------------------------------------------------------------------

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        """Return attributes; of a file with several names, the inode and the count of the upper directory.

        fuse-overlayfs counts the names that it has seen, and numbers a file differently by how it was seen first.
        """
        try:
            status = super().stat(path, follow_symlinks=follow_symlinks)
        except FileNotFoundError:
            self._check_length(path)
            if not self._meet(self._locate(path, follow=follow_symlinks)):
                raise
            status = super().stat(path, follow_symlinks=follow_symlinks)
        if stat.S_ISDIR(status.st_mode):
            return status
        own = None
        with contextlib.suppress(OSError):
            where = self._locate(path, follow=follow_symlinks)
            own = None if where is None else self._upper.lstat(where)
        if own is None or own.st_nlink == 1:
            return _replace(status, status.st_ino, 1)
        return _replace(status, own.st_ino, self._upper.names(own))

    def _xattrs(self, path: bytes) -> dict[str, bytes]:
        names = self.listxattr(path, follow_symlinks=False)
        return {name: self.getxattr(path, name, follow_symlinks=False) for name in names}

    def _up(self, where: bytes | None, given: StrOrBytesPath) -> None:
        """Copy an entry up where it is of a layer below, so that it and what is above it are what they were.

        :param given: the path that an error names.
        """
        if where is None or self.readonly:
            return
        with self._changing, _naming(given):
            missing: list[bytes] = []
            try:
                while where and self._upper.lstat(where) is None:
                    missing.append(where)
                    where = os.path.dirname(where)
                above = self._upper.lstat(where)
                before = [(path, super(FuseTree, self).stat(path, follow_symlinks=False)) for path in missing]
                xattrs = {path: self._xattrs(path) for path in missing}
            except OSError:
                return  # the operation itself will say why
            if not missing or above is None:
                return
            try:
                parent, status = where, above
                for path, wanted in reversed(before):
                    # Who is not root cannot put into some directories what is already shown in them.
                    self._upper.open_up(parent, status)
                    # What changes nothing copies up all the same.
                    super().utime(path, ns=(wanted.st_atime_ns, wanted.st_mtime_ns), follow_symlinks=False)
                    parent, status = path, wanted
            finally:
                for path, wanted in before:
                    now = self._xattrs(path)
                    more = {name: value for name, value in xattrs[path].items() if now.get(name) != value}
                    self._upper.give(path, wanted, more, frozenset(now) - frozenset(xattrs[path]))
                self._upper.give(where, above, {}, frozenset())

    def _change(self, path: StrOrBytesPath, *, follow: bool = True) -> None:
        """Make ready for a change of what is at a path."""
        if not self.readonly:
            where = self._locate(path, follow=follow)
            self._meet(where)
            self._up(where, path)

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        self._change(path, follow=follow_symlinks)
        super().chmod(path, mode, follow_symlinks=follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        self._change(path, follow=follow_symlinks)
        super().chown(path, uid, gid, follow_symlinks=follow_symlinks)

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        self._change(path, follow=follow_symlinks)
        super().utime(path, ns=ns, follow_symlinks=follow_symlinks)

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        if name.startswith("system.posix_acl_") and Capability.ACL not in self._driver.capabilities:
            # In a user namespace fuse-overlayfs would store it, and nobody would keep to it.
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        self._change(path, follow=follow_symlinks)
        super().setxattr(path, name, value, flags, follow_symlinks=follow_symlinks)

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        self._change(path, follow=follow_symlinks)
        super().removexattr(path, name, follow_symlinks=follow_symlinks)

    # -- content -------------------------------------------------------------------------------------------------

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.FileIO:
        if self.readonly or not flags & _WRITES:
            try:
                return super().open_raw(path, flags, mode)
            except FileNotFoundError:
                self._check_length(path)
                raise
        exclusive = os.O_CREAT | os.O_EXCL
        where = self._locate(path, follow=not flags & os.O_NOFOLLOW and flags & exclusive != exclusive)
        with self._writing(where, path, creates=bool(flags & os.O_CREAT)):
            return super().open_raw(path, flags, mode)

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        with self._writing(self._locate(path, follow=True), path, creates=True):
            return super().write_bytes(path, data)

    @contextlib.contextmanager
    def _writing(self, where: bytes | None, path: StrOrBytesPath, *, creates: bool) -> Iterator[None]:
        """Make ready for a file to be written, and hand down to one that is made what it inherits."""
        with self._changing:
            if creates and not self.readonly and where is not None and self._shown(where) is None:
                self._up(os.path.dirname(where), path)
                yield
                self._upper.inherit(where)
                return
            self._up(where, path)
        # Not held here: a FIFO is waited for.
        yield

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        self._change(path)
        super().truncate(path, length)

    # -- names ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _name(self, path: StrOrBytesPath, *, made: bool = False) -> Iterator[None]:
        """Make ready for a change of a name, and hand down to what is made what it inherits."""
        with self._changing:
            where = None if self.readonly else self._locate(path, follow=False)
            self._meet(where)
            if where is not None:
                self._up(os.path.dirname(where), path)
            yield
            if made and where is not None:
                self._upper.inherit(where)

    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        with self._name(path, made=True):
            super().mkdir(path, mode)

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        with self._name(path, made=True):
            super().symlink(target, path)

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        with self._name(path, made=True):
            super().mknod(path, mode, device)

    def rmdir(self, path: StrOrBytesPath) -> None:
        with self._name(path):
            super().rmdir(path)

    def unlink(self, path: StrOrBytesPath) -> None:
        with self._name(path):
            super().unlink(path)

    def rmtree(self, path: StrOrBytesPath) -> None:
        with self._changing:
            self._change(path, follow=False)
            super().rmtree(path)

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        with self._changing:
            self._change(src, follow=False)
            with self._name(dst):
                super().link(src, dst)

    # -- renaming ------------------------------------------------------------------------------------------------

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        """Rename; a directory that comes from a layer below, which fuse-overlayfs refuses, by making it again.

        Everything is checked before, by fuse-overlayfs and here; but other than a rename this takes a while, and a
        process that is killed meanwhile may leave the new directory under a name of its own.
        """
        if self.readonly or self.closed:
            super().rename(src, dst, flags=flags)
            return
        if flags & RenameFlag.EXCHANGE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), src, None, dst)
        with self._changing:
            self._change(src, follow=False)
            with self._name(dst):
                self._rename(src, dst, flags)

    def _rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, flags: RenameFlag) -> None:
        if self._is_one_file(src, dst):
            if flags & RenameFlag.NOREPLACE:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), src, None, dst)
            return
        with self._out_of_the_way(src, dst, flags):
            try:
                super().rename(src, dst, flags=flags)
            except OSError as error:
                if error.errno == errno.EXDEV and self.is_dir(src, follow_symlinks=False):
                    self._move(src, dst)
                elif error.errno == errno.EINVAL and self._is_file(src) and self._is_file(dst):
                    # fuse-overlayfs takes two files for one, by the numbers that it gives them.
                    self.unlink(dst)
                    super().rename(src, dst, flags=flags)
                else:
                    raise
        if self._locate(src, follow=False) != self._locate(dst, follow=False) and self.is_dir(
            src, follow_symlinks=False
        ):
            # Of a directory that was removed and made again, the one below comes back.
            remove_path(self, os.fsdecode(src).rstrip("/"))

    @contextlib.contextmanager
    def _out_of_the_way(self, src: StrOrBytesPath, dst: StrOrBytesPath, flags: RenameFlag) -> Iterator[None]:
        """Remove an empty directory that another one is about to replace, which fuse-overlayfs does not always do."""
        source, target = self._locate(src, follow=False), self._locate(dst, follow=False)
        if (
            not source
            or not target
            or flags & RenameFlag.NOREPLACE
            or source == target
            or target.startswith(source + b"/")
            or not self.is_dir(source, follow_symlinks=False)
            or not self.is_dir(target, follow_symlinks=False)
            or self.listdir(target)
        ):
            yield
            return
        status, xattrs = self.lstat(target), self._xattrs(target)
        self.rmdir(target)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self.mkdir(target, 0o700)
                set_attributes(self, os.fsdecode(target), status, xattrs)
            raise

    def _is_file(self, path: StrOrBytesPath) -> bool:
        return self.exists(path, follow_symlinks=False) and not self.is_dir(path, follow_symlinks=False)

    def _is_one_file(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> bool:
        try:
            one, other = self.lstat(src), self.lstat(dst)
        except OSError:
            return False
        return not stat.S_ISDIR(one.st_mode) and one.st_nlink > 1 and one.st_ino == other.st_ino

    def _move(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        if self.exists(dst, follow_symlinks=False):
            code = errno.ENOTEMPTY if self.is_dir(dst, follow_symlinks=False) else errno.ENOTDIR
            raise OSError(code, os.strerror(code), src, None, dst)
        source = os.fsdecode(src).rstrip("/")
        above = os.path.dirname(os.fsdecode(dst).rstrip("/"))
        beside = os.path.join(above, f".overlaykit-move-{os.urandom(8).hex()}")
        try:
            link_directory(self, source, beside)
            super().rename(beside, dst)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_path(self, beside)
            raise
        remove_path(self, source)


@contextlib.contextmanager
def _naming(path: StrOrBytesPath) -> Iterator[None]:
    """Let errors name a path as the caller gave it."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def _replace(status: os.stat_result, ino: int, names: int) -> os.stat_result:
    """Return attributes with another inode number and count of names."""
    if (status.st_ino, status.st_nlink) == (ino, names):
        return status
    names_of_more = ("atime", "mtime", "ctime", "atime_ns", "mtime_ns", "ctime_ns", "blksize", "blocks", "rdev")
    more = {f"st_{name}": getattr(status, f"st_{name}") for name in names_of_more}
    return os.stat_result((status.st_mode, ino, status.st_dev, names, *status[4:10]), more)
