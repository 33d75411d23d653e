"""The half of a tree that makes, removes and renames."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from ..tree import RenameFlag
from . import _acl
from ._file import InodeFile, drop_privileges
from ._node import Directory, File, Symlink, encode
from ._rename import rename
from ._resolve import Last, Place, failure, is_long, locate, text, walk
from ._view import View

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath
    from ._node import Node
    from ._resolve import Given

__all__ = ["Names"]

_LINK_MAX = 65000
_TARGET_MAX = 4095
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
# Flags that some platform lacks have there the value 0: nobody can ask for them.
_O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
_O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_O_TMPFILE: int = getattr(os, "O_TMPFILE", 0)
_O_TRUNC: int = os.O_TRUNC
#: What asks for a write, and so is refused by a read-only tree.
_WRITES: int = os.O_WRONLY | os.O_RDWR | os.O_TRUNC


class Names(View):
    """What a tree does to names: files, directories and links come, go and move."""

    def _check_write(self, path: StrOrBytesPath, other: StrOrBytesPath | None = None) -> None:
        """Refuse a write to a tree that is closed or read-only. In a writing bracket."""
        if self._readonly or self._sealed or self._closed or self._inodes.frozen:
            self._check_open()
            raise failure(errno.EROFS, path, other)

    def _parent(self, path: StrOrBytesPath, given: Given | None = None) -> Place:
        """Return where a path leads whose last component is not to be followed. In a writing bracket.

        :param given: the paths that an error names, where that is not this one.
        """
        return walk(self._inodes, path, given or (path,), follow=False, slash_follows=False)

    def _named(self, path: StrOrBytesPath) -> Place:
        """Return the place of a name that is to be removed. In a writing bracket."""
        place = self._parent(path)
        if is_long(place.name):
            raise failure(errno.ENAMETOOLONG, path)
        return place

    def _check_vacant(self, place: Place, given: Given, *, directory: bool = False) -> Place:
        """Check that something can be made at a place; return it.

        :raises OSError: EEXIST: something is there; ENOENT: slashes follow the name of what is no directory.
        """
        if place.node is not None:
            raise failure(errno.EEXIST, *given)
        if is_long(place.name):
            raise failure(errno.ENAMETOOLONG, *given)
        if place.slash and not directory:
            raise failure(errno.ENOENT, *given)
        return place

    def _make(self, place: Place, mode: int) -> Node:
        """Make an inode and name it. In a writing bracket."""
        inodes = self._inodes
        caller = inodes.caller
        above = inodes.directory(place.directory.ino)
        gid = caller.gid
        if above.mode & stat.S_ISGID:
            gid = above.gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        xattrs = None
        if above.xattrs and _acl.DEFAULT in above.xattrs and not stat.S_ISLNK(mode):
            mode, xattrs = _inherit(above.xattrs[_acl.DEFAULT], mode)
        elif not stat.S_ISLNK(mode):
            mode &= ~caller.umask
        now = time.time_ns()
        node = inodes.make(mode, gid, now, (above.ino, place.name))
        node.xattrs = xattrs
        above.entries[place.name] = node.ino
        if stat.S_ISDIR(mode):
            above.nlink += 1
        above.mtime = above.ctime = now
        return node

    # -- making --------------------------------------------------------------------------------------------------

    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        with self._inodes.writing:
            self._check_write(path)
            self._make(self._check_vacant(self._parent(path), (path,), directory=True), stat.S_IFDIR | mode & 0o1777)

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        with self._inodes.writing:
            self._check_write(path)
            place = self._parent(path)
            if kind == stat.S_IFDIR or (kind == stat.S_IFCHR and device == 0):
                raise failure(errno.EPERM, path)
            if kind not in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
                raise failure(errno.EINVAL, path)
            node = self._make(self._check_vacant(place, (path,)), kind | mode & 0o7777)
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                node.rdev = device

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        given: Given = (target, path)
        with self._inodes.writing:
            self._check_write(target, path)
            place = self._parent(path, given)
            content = text(target)
            if not content:
                raise failure(errno.ENOENT, *given)
            if len(encode(content)) > _TARGET_MAX:
                raise failure(errno.ENAMETOOLONG, *given)
            node = self._make(self._check_vacant(place, given), stat.S_IFLNK | 0o777)
            assert isinstance(node, Symlink)
            node.target = content

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        with self._inodes.writing:
            inodes = self._inodes
            self._check_write(src, dst)
            source = walk(inodes, src, (src, dst), follow=False, slash_follows=True)
            if is_long(source.name):
                raise failure(errno.ENAMETOOLONG, src, dst)
            if source.node is None:
                raise failure(errno.ENOENT, src, dst)
            if source.slash and not isinstance(source.node, Directory):
                raise failure(errno.ENOTDIR, src, dst)
            # The kernel looks for the new name's directory only when it has found the old name.
            place = self._parent(dst, (src, dst))
            self._check_vacant(place, (src, dst))
            if isinstance(source.node, Directory):
                raise failure(errno.EPERM, src, dst)
            if source.node.nlink >= _LINK_MAX:
                raise failure(errno.EMLINK, src, dst)
            now = time.time_ns()
            node = inodes.mine(source.node.ino)
            node.nlink += 1
            node.ctime = now
            above = inodes.directory(place.directory.ino)
            node.add_name((above.ino, place.name))
            above.entries[place.name] = node.ino
            above.mtime = above.ctime = now

    # -- removing and renaming -----------------------------------------------------------------------------------

    def unlink(self, path: StrOrBytesPath) -> None:
        with self._inodes.writing:
            self._check_write(path)
            place = self._named(path)
            node = place.node
            if node is None:
                raise failure(errno.ENOENT, path)
            if isinstance(node, Directory):
                raise failure(errno.EISDIR, path)
            if place.slash:
                raise failure(errno.ENOTDIR, path)
            now = time.time_ns()
            above = self._inodes.directory(place.directory.ino)
            del above.entries[place.name]
            above.mtime = above.ctime = now
            self._inodes.lose_name(node, (above.ino, place.name), now)

    def rmdir(self, path: StrOrBytesPath) -> None:
        with self._inodes.writing:
            self._check_write(path)
            place = self._named(path)
            if place.last is not Last.NAME:
                codes = {Last.ROOT: errno.EBUSY, Last.DOT: errno.EINVAL, Last.DOTDOT: errno.ENOTEMPTY}
                raise failure(codes[place.last], path)
            node = place.node
            if node is None:
                raise failure(errno.ENOENT, path)
            if not isinstance(node, Directory):
                raise failure(errno.ENOTDIR, path)
            if node.entries:
                raise failure(errno.ENOTEMPTY, path)
            above = self._inodes.directory(place.directory.ino)
            del above.entries[place.name]
            above.nlink -= 1
            above.mtime = above.ctime = time.time_ns()
            self._inodes.forget(node.ino)

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        with self._inodes.writing:
            self._check_write(src, dst)
            rename(self._inodes, src, dst, flags)

    # -- files ---------------------------------------------------------------------------------------------------

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> InodeFile:
        """Open a file; see :meth:`Tree.open_raw`.

        :raises OSError: ENXIO for a FIFO, a socket or a device: there is no kernel behind it that could serve it.
        """
        inodes = self._inodes
        writes = flags & (_WRITES | os.O_CREAT) and not self.readonly
        with inodes.writing if writes else inodes.reading:
            self._check_open()
            if flags & _WRITES:
                self._check_write(path)
            node = self._open(path, flags, mode)
            if flags & _O_TRUNC:
                node = inodes.file(node.ino)
                drop_privileges(node, inodes.caller)
                node.truncate(0)
                node.mtime = node.ctime = time.time_ns()
            return self._file(node.ino, flags, path if type(path) is str else os.fspath(path))

    def _file(self, ino: int, flags: int, name: str | bytes) -> InodeFile:
        return InodeFile(self._inodes, ino, flags, name)

    def _open(self, path: StrOrBytesPath, flags: int, mode: int) -> File:
        """Return the file that is to be opened, made where that is asked for. In a writing bracket."""
        if flags & _ACCESS == _ACCESS or (flags & os.O_CREAT and flags & _O_DIRECTORY):
            raise failure(errno.EINVAL, path)
        if _O_TMPFILE and flags & _O_TMPFILE == _O_TMPFILE:
            raise failure(errno.EOPNOTSUPP, path)
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL and not self.readonly
        if flags & (os.O_CREAT | _O_NOFOLLOW):
            place = locate(
                self._inodes,
                path,
                (path,),
                follow=not (exclusive or flags & _O_NOFOLLOW),
                slash_follows=not flags & os.O_CREAT,
            )
            if flags & os.O_CREAT and place.slash:
                raise failure(errno.EISDIR, path)
            if place.node is None:
                if not flags & os.O_CREAT:
                    raise failure(errno.ENOENT, path)
                self._check_write(path)
                node = self._make(place, stat.S_IFREG | mode & 0o7777)
                assert isinstance(node, File)
                return node
            if exclusive:
                raise failure(errno.EEXIST, path)
            found = place.node
            if place.slash and not isinstance(found, Directory):
                raise failure(errno.ENOTDIR, path)
        else:
            found = self._find(path, True)
        if isinstance(found, File):
            if flags & _O_DIRECTORY:
                raise failure(errno.ENOTDIR, path)
            return found
        if isinstance(found, Directory):
            raise failure(errno.EISDIR, path)
        if flags & _O_DIRECTORY:
            raise failure(errno.ENOTDIR, path)
        raise failure(errno.ELOOP if isinstance(found, Symlink) else errno.ENXIO, path)


def _inherit(default: bytes, mode: int) -> tuple[int, dict[str, bytes] | None]:
    """Return the mode and the attributes that a directory's default list gives to what is made in it."""
    entries = _acl.decode(default)
    assert entries is not None
    access, mode = _acl.inherit(entries, mode)
    xattrs = {}
    if access is not None:
        xattrs[_acl.ACCESS] = _acl.encode(access)
    if stat.S_ISDIR(mode):
        xattrs[_acl.DEFAULT] = default
    return mode, xattrs or None
