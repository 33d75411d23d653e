"""A tree that is a directory of this machine, held by its descriptor."""

from __future__ import annotations

import errno
import functools
import io
import os
import warnings

from .. import errors
from ..values import value_class
from ._entry import TreeEntry
from ._operations import from_root, rmtree
from ._tree import RenameFlag, StrOrBytesPath, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

__all__ = ["HostTree"]

_PATH_MAX = 4095
"""The most bytes of a path that a system call takes."""

_XATTR_MAX = 65536
"""The most bytes of an extended attribute's value, and of a list of names (xattr(7))."""

RESOLVE_NO_SYMLINKS = 0x04

_SMALL = 1 << 16
"""Files below this size are read in one call of the native module."""


@value_class
class _Native:
    """What of the native module every operation needs, looked up once."""

    lib: Any
    ffi: Any
    stat: Any
    allocate: Any


@functools.cache
def _native() -> _Native:
    from ..linux._lib import load

    ffi = load().ffi
    return _Native(load().lib, ffi, ffi.typeof("int64_t[16]"), ffi.new_allocator(should_clear_after_alloc=False))


class HostTree(Tree):
    """The tree below a directory's descriptor, which need not be reachable by any path: a detached mount will do.

    :param fd: a directory's descriptor, opened for reading or with ``O_PATH``. The tree owns it from here on and closes
        it, unless the constructor raises.
    :param readonly: refuse every write with EROFS. This is the tree's own manners; that nobody else writes either is
        a matter of the mount below.
    :raises UnsupportedError: this installation has no native module.

    Every operation is resolved by openat2(2) with ``RESOLVE_IN_ROOT``: nothing that happens to the directory meanwhile
    leads out of it. Paths longer than the kernel takes (4095 bytes) are walked in pieces. An operation that runs while
    another thread closes the tree ends as if it had come before: the descriptor is closed when the last one is done.
    """

    def __init__(self, fd: int, *, readonly: bool = False) -> None:
        self._closed = True
        self._native = native = _native()
        self._lib = native.lib
        self._root = native.ffi.new("struct ok_root *", (fd, 0, 0))
        self._fd = fd
        self._readonly = readonly
        self._sealed = False
        self._sealed_mount = False
        self._closed = False

    def __del__(self) -> None:
        if not self._closed:
            warnings.warn(f"unclosed tree {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"fd={self._fd}{' readonly' if self._readonly else ''}"
        return f"<{type(self).__name__} {state}>"

    # -- the tree itself -----------------------------------------------------------------------------------------

    @property
    def readonly(self) -> bool:
        return self._readonly

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._lib.ok_root_close(self._root)

    def fileno(self) -> int:
        """Return the descriptor of the root directory, which stays the tree's own.

        :raises StoreClosedError: the tree is closed.
        """
        if self._closed:
            self._fail(-errno.EBADF, "")
        return self._fd

    @property
    def host_path(self) -> str:
        """A path of the root, for as long as this process keeps the tree open; see :attr:`Tree.host_path`.

        It names the calling process: a fork that inherited the tree gets a path of its own.
        """
        return f"/proc/{os.getpid()}/fd/{self.fileno()}"

    def seal(self) -> None:
        """Make the tree read-only for good; where it is a mount of its own, by the kernel's word.

        A mount that others see too is left as it is: only this tree refuses writes then.

        :raises LayerInUseError: a file in it is still open, or mapped, for writing, by whomever.
        """
        from .. import linux
        from ._writers import is_detached, writers

        if self._readonly:
            return
        fd = self._open("", os.O_PATH | os.O_DIRECTORY)
        try:
            if is_detached(fd):
                linux.set_readonly(fd)
                self._sealed_mount = True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            users = writers(fd)
            what = ", ".join(users) or "a file mapped into memory, or held by a process that cannot be looked into"
            raise errors.LayerInUseError(
                f"still open for writing: {what}; close it, or end the process that holds it, and try again",
                users=users,
            ) from error
        finally:
            os.close(fd)
        self._readonly = self._sealed = True

    def unseal(self) -> None:
        """Undo :meth:`seal`."""
        if not self._sealed:
            return
        if self._sealed_mount:
            from .. import linux

            fd = self._open("", os.O_PATH | os.O_DIRECTORY)
            try:
                linux.set_writable(fd)
            finally:
                os.close(fd)
        self._readonly = self._sealed = self._sealed_mount = False

    # -- paths and errors ----------------------------------------------------------------------------------------

    def _call(self, function: Any, path: StrOrBytesPath, follow: bool | None, *arguments: Any) -> int:
        """Call the native module with a path in the root; return its result, which is no error.

        :param follow: whether a symbolic link at the end is followed; ``None`` where the path names an entry.
        """
        raw = os.fsencode(path)
        if len(raw) > _PATH_MAX or 0 in raw:
            return self._call_beyond(function, path, raw, follow, arguments)
        # EINTR: the interpreter has run the signal's handler, which did not raise (PEP 475).
        while (result := function(self._root, raw, *arguments)) == -errno.EINTR:
            pass
        if result < 0:
            self._fail(result, path)
        return int(result)

    def _call_beyond(
        self, function: Any, path: StrOrBytesPath, raw: bytes, follow: bool | None, arguments: tuple[Any, ...]
    ) -> int:
        """Do :meth:`_call` with a path that no system call takes."""
        root, last = self._parent(path, raw, follow)
        try:
            while (result := function(root, last, *arguments)) == -errno.EINTR:
                pass
        finally:
            self._lib.ok_root_close(root)
        if result < 0:
            self._fail(result, path)
        return int(result)

    def _call_two(self, function: Any, first: StrOrBytesPath, second: StrOrBytesPath, *arguments: Any) -> None:
        """Call the native module with the paths of two entries."""
        self._writable(first, second)
        raws = [os.fsencode(first), os.fsencode(second)]
        roots = [self._root, self._root]
        try:
            for number, path in enumerate((first, second)):
                if len(raws[number]) > _PATH_MAX or 0 in raws[number]:
                    roots[number], raws[number] = self._parent(path, raws[number], None)
            result = function(roots[0], raws[0], roots[1], raws[1], *arguments)
        finally:
            for root in roots:
                if root is not self._root:
                    self._lib.ok_root_close(root)
        if result < 0:
            self._fail(result, first, second)

    def _parent(self, path: StrOrBytesPath, raw: bytes, follow: bool | None) -> tuple[Any, bytes]:
        """Open the directory that too long a path leads to, as a root to be closed, and return what remains."""
        if 0 in raw:
            raise ValueError("embedded null byte")
        from ._longpath import open_parent

        own = self._lib.ok_root_open(self._root, b"/", os.O_PATH | os.O_DIRECTORY, 0)
        if own < 0:
            self._fail(own, path)
        try:
            fd, last = open_parent(own, raw, follow)
        except OSError as error:
            self._fail(-(error.errno or errno.EIO), path)
        finally:
            os.close(own)
        return self._native.ffi.new("struct ok_root *", (fd, 0, 0)), last

    def _fail(self, result: int, path: StrOrBytesPath, second: StrOrBytesPath | None = None) -> NoReturn:
        """Raise what a negative result of the native module stands for."""
        code = -result
        name = os.fspath(path)
        if code == errno.EBADF:
            raise errors.StoreClosedError(f"the tree is closed: {os.fsdecode(name) or '.'}; open it again") from None
        if code == errno.ENOSYS:
            raise errors.UnsupportedError("the kernel has no openat2: overlaykit needs Linux 5.6 or newer") from None
        raise OSError(code, os.strerror(code), name, None, None if second is None else os.fspath(second)) from None

    def _writable(self, path: StrOrBytesPath, second: StrOrBytesPath | None = None) -> None:
        if self._readonly:
            self._fail(-errno.EBADF if self._closed else -errno.EROFS, path, second)

    # -- files ---------------------------------------------------------------------------------------------------

    def _open(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> int:
        """Open a file and return its descriptor."""
        exclusive = os.O_CREAT | os.O_EXCL
        follow = not (flags & os.O_NOFOLLOW or flags & exclusive == exclusive)
        return self._call(self._lib.ok_root_open, path, follow, flags, mode)

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.FileIO:
        creates = flags & os.O_CREAT
        if self._readonly:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
                self._writable(path)
            flags &= ~os.O_CREAT
        try:
            fd = self._open(path, flags, mode)
        except FileNotFoundError:
            if self._readonly and creates:
                self._writable(path)
            raise
        return self._file(fd, path, flags)

    def _file(self, fd: int, path: StrOrBytesPath, flags: int) -> io.FileIO:
        """Wrap a descriptor, which is closed in any case if this fails."""
        access = flags & os.O_ACCMODE
        letters = "r" if access == os.O_RDONLY else "a" if flags & os.O_APPEND else "r" if access == os.O_RDWR else "w"
        name = os.fspath(path)
        try:
            file = io.FileIO(fd, letters + "+" if access == os.O_RDWR else letters)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                error.filename = name
            raise
        file.name = name
        return file

    def read_bytes(self, path: StrOrBytesPath) -> bytes:
        native = self._native
        buffer = native.allocate("char[]", _SMALL)
        rest = native.ffi.new("int *")
        got = self._call(native.lib.ok_root_read, path, True, buffer, _SMALL, rest)
        data = bytes(native.ffi.buffer(buffer, got))
        if rest[0] < 0:
            return data
        with self._file(rest[0], path, os.O_RDONLY) as file:
            return data + file.readall()

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        self._writable(path)
        native = self._native
        view = memoryview(data).cast("B")
        rest = native.ffi.new("int *")
        with native.ffi.from_buffer(view) as buffer:
            put = self._call(native.lib.ok_root_write, path, True, buffer, len(view), rest)
        if rest[0] >= 0:
            with self._file(rest[0], path, os.O_WRONLY) as file:
                while put < len(view):
                    put += file.write(view[put:])
        return put

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        native = self._native
        out = native.ffi.new(native.stat)
        self._call(native.lib.ok_root_stat, path, follow_symlinks, follow_symlinks, out)
        (mode, ino, dev, links, uid, gid, size, rdev, block, blocks, atime, atime_n, mtime, mtime_n, ctime, ctime_n) = (
            native.ffi.unpack(out, 16)
        )
        return os.stat_result(
            (
                mode,
                ino & 0xFFFFFFFFFFFFFFFF,
                dev,
                links,
                uid,
                gid,
                size,
                atime,
                mtime,
                ctime,
                atime + 1e-9 * atime_n,
                mtime + 1e-9 * mtime_n,
                ctime + 1e-9 * ctime_n,
                atime * 1_000_000_000 + atime_n,
                mtime * 1_000_000_000 + mtime_n,
                ctime * 1_000_000_000 + ctime_n,
                block,
                blocks,
                rdev,
            )
        )

    def _list(self, path: StrOrBytesPath) -> tuple[list[str], list[int], list[int]]:
        """Return the names in a directory, their types (``S_IFMT >> 12``) and inode numbers."""
        lib, ffi = self._lib, self._native.ffi
        listing = ffi.new("struct ok_listing *")
        self._call(lib.ok_root_list, path, True, listing)
        try:
            if not listing.count:
                return [], [], []
            # One decoding for all the names: NUL separates, and no encoding of a file system gives it to a name.
            names = os.fsdecode(bytes(ffi.buffer(listing.names, listing.size - 1))).split("\0")
            return names, ffi.unpack(listing.types, listing.count), ffi.unpack(listing.inodes, listing.count)
        finally:
            lib.ok_listing_free(listing)

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        names, types, inodes = self._list(path)
        above = from_root(path)
        prefix = above and above + "/"
        return iter(
            [
                TreeEntry(self, name, prefix + name, kind << 12, inode)
                for name, kind, inode in zip(names, types, inodes, strict=True)
            ]
        )

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        return self._list(path)[0]

    # -- names ---------------------------------------------------------------------------------------------------

    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_mkdir, path, None, mode)

    def rmdir(self, path: StrOrBytesPath) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_rmdir, path, None)

    def unlink(self, path: StrOrBytesPath) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_unlink, path, None)

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        self._call_two(self._lib.ok_root_rename, src, dst, flags)

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        self._call_two(self._lib.ok_root_link, src, dst)

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        self._writable(target, path)
        content = os.fsencode(target)
        if 0 in content:
            raise ValueError("embedded null byte")
        try:
            self._call(self._lib.ok_root_symlink, path, None, content)
        except OSError as error:
            if not isinstance(error, errors.OverlaykitError):
                error.filename, error.filename2 = os.fspath(target), error.filename
            raise

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_mknod, path, None, mode, device)

    def rmtree(self, path: StrOrBytesPath) -> None:
        self._writable(path)
        top = from_root(path)
        try:
            fd = self._open(top, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            if error.filename is not None:
                error.filename = os.fspath(path)
            raise
        # Below here no link is followed at all: one that another process puts in a directory's place leads nowhere.
        with HostTree(fd) as below:
            below._root.resolve = RESOLVE_NO_SYMLINKS
            try:
                rmtree(below, "")
            except OSError as error:
                error.filename = f"{top}/{error.filename}".strip("/")
                raise
        if top:
            self.rmdir(top)

    # -- attributes ----------------------------------------------------------------------------------------------

    def readlink(self, path: StrOrBytesPath) -> str:
        native = self._native
        buffer = native.allocate("char[]", _PATH_MAX + 1)
        size = self._call(native.lib.ok_root_readlink, path, False, buffer, _PATH_MAX + 1)
        return os.fsdecode(bytes(native.ffi.buffer(buffer, size)))

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_chmod, path, follow_symlinks, mode, follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        for value in (uid, gid):
            if not -1 <= value < 1 << 32:
                raise OverflowError(f"no uid or gid: {value}")
        self._writable(path)
        self._call(self._lib.ok_root_chown, path, follow_symlinks, uid, gid, follow_symlinks)

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        self._writable(path)
        ffi = self._native.ffi
        times = ffi.NULL
        if ns is not None:
            times = ffi.new("int64_t[4]", (*divmod(ns[0], 1_000_000_000), *divmod(ns[1], 1_000_000_000)))
        self._call(self._lib.ok_root_utime, path, follow_symlinks, times, follow_symlinks)

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        self._writable(path)
        self._call(self._lib.ok_root_truncate, path, True, length)

    def _visible_xattr(self, name: str) -> bool:
        """Tell whether an extended attribute belongs to the tree; a driver's subclass says which are its own.

        Those that do not are neither listed nor read, and cannot be set or removed (EPERM): here, what XFS shows to
        root of how it stores the ACLs that it shows besides.
        """
        return not name.startswith("trusted.SGI_ACL_")

    def _xattr_name(self, path: StrOrBytesPath, name: str, hidden: int) -> bytes:
        raw = os.fsencode(name)
        if 0 in raw:
            raise ValueError("embedded null byte")
        if not self._visible_xattr(name):
            self._fail(-hidden, path)
        return raw

    def getxattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> bytes:
        key = self._xattr_name(path, name, errno.ENODATA)
        native = self._native
        buffer = native.allocate("char[]", _XATTR_MAX)
        get = native.lib.ok_root_getxattr
        size = self._call(get, path, follow_symlinks, key, buffer, _XATTR_MAX, follow_symlinks)
        return bytes(native.ffi.buffer(buffer, size))

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        self._writable(path)
        key = self._xattr_name(path, name, errno.EPERM)
        data = bytes(value)
        put = self._lib.ok_root_setxattr
        self._call(put, path, follow_symlinks, key, data, len(data), flags, follow_symlinks)

    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        native = self._native
        buffer = native.allocate("char[]", _XATTR_MAX)
        size = self._call(native.lib.ok_root_listxattr, path, follow_symlinks, buffer, _XATTR_MAX, follow_symlinks)
        names = os.fsdecode(bytes(native.ffi.buffer(buffer, size))).split("\0")[:-1]
        return sorted(filter(self._visible_xattr, names))

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        self._writable(path)
        key = self._xattr_name(path, name, errno.EPERM)
        self._call(self._lib.ok_root_removexattr, path, follow_symlinks, key, follow_symlinks)

    def statvfs(self) -> os.statvfs_result:
        fd = self._open("", os.O_PATH | os.O_DIRECTORY)
        try:
            return os.statvfs(fd)
        finally:
            os.close(fd)
