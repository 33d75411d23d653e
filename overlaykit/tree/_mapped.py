"""Trees whose owners, modes and devices are kept in extended attributes: ownership without root."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from ._change import Aspect, Change, ChangeKind, change_order
from ._entry import TreeEntry
from ._link_owners import NO_ATTRIBUTE, LinkOwners
from ._operations import from_root
from ._override import OVERRIDE, OVERRIDE_OF_FUSE, LinkOwner, Override, stored_xattr, unescape
from ._tree import RenameFlag, StrOrBytesPath, Tree

TYPE_CHECKING = False

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["MappedTree", "mapped_changes"]


class MappedTree(Tree):
    """A tree that keeps what its storage refuses to an unprivileged caller, and shows it as if it were so.

    The root directory's real owner, who owns all of the store, is shown as 0:0. Another owner, set-uid, set-gid and
    sticky bits, permissions that would lock the caller out, device nodes, FIFOs and sockets are kept in
    ``user.containers.override_stat``; attributes outside ``user.*`` by another name (``_override``). Devices, FIFOs and
    sockets are empty files for real, which nobody can open here.

    What a process changes through :attr:`~Tree.host_path` is what it can change without root. A mode changed there
    holds, and replaces the one kept.

    :param inner: the tree as it is stored; closed with this one.
    :param foreign: containers/storage or fuse-overlayfs wrote it, whose modes for real say nothing.
    """

    def __init__(self, inner: Tree, *, foreign: bool = False) -> None:
        self._inner = inner
        self._foreign = foreign
        # Whoever looks: all that is stored belongs to the user whose store it is.
        root = inner.stat()
        self._uid, self._gid = root.st_uid, root.st_gid
        self._links = LinkOwners(inner)

    # -- the tree itself -----------------------------------------------------------------------------------------

    @property
    def inner(self) -> Tree:
        """The tree as it is stored."""
        return self._inner

    @property
    def readonly(self) -> bool:
        return self._inner.readonly

    @property
    def closed(self) -> bool:
        return self._inner.closed

    def close(self) -> None:
        self._inner.close()

    def seal(self) -> None:
        self._inner.seal()

    def unseal(self) -> None:
        self._inner.unseal()

    @property
    def host_path(self) -> str:
        return self._inner.host_path

    def statvfs(self) -> os.statvfs_result:
        return self._inner.statvfs()

    # -- looking -------------------------------------------------------------------------------------------------

    def _attribute(self, path: StrOrBytesPath, follow: bool) -> tuple[Override | None, bool]:
        """Return what an object's attribute says, and whether a real mode that does not fit it is newer."""
        for name in (OVERRIDE_OF_FUSE, OVERRIDE) if self._foreign else (OVERRIDE,):
            try:
                value = self._inner.getxattr(path, name, follow_symlinks=follow)
            except OSError as error:
                if error.errno in NO_ATTRIBUTE:
                    continue
                raise
            return Override.decode(value), not self._foreign
        return None, False

    def _override(self, path: StrOrBytesPath, real: os.stat_result, follow: bool) -> Override | None:
        kind = stat.S_IFMT(real.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            return None
        found, ours = self._attribute(path, follow)
        if found is None:
            return None
        fake = found.format and kind == stat.S_IFREG and found.format not in (stat.S_IFDIR, stat.S_IFLNK)
        found = Override(found.uid, found.gid, found.mode, found.format if fake else kind, found.device)
        if ours and stat.S_IMODE(real.st_mode) & 0o777 != found.real_mode:
            # Someone changed it for real since.
            found = Override(found.uid, found.gid, stat.S_IMODE(real.st_mode), found.format, found.device)
        return found

    def _shown(self, path: StrOrBytesPath, real: os.stat_result, follow: bool) -> os.stat_result:
        uid = 0 if real.st_uid == self._uid else real.st_uid
        gid = 0 if real.st_gid == self._gid else real.st_gid
        if stat.S_ISLNK(real.st_mode):
            owner = self._link_owner(path)
            return (
                _status(real, real.st_mode, owner.uid, owner.gid, 0) if owner else _status(real, real.st_mode, uid, gid)
            )
        found = self._override(path, real, follow)
        if found is None:
            return _status(real, real.st_mode, uid, gid)
        return _status(real, found.format | found.mode, found.uid, found.gid, found.device)

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        self._check_hidden(path)
        return self._shown(path, self._inner.stat(path, follow_symlinks=follow_symlinks), follow_symlinks)

    def _check_hidden(self, path: StrOrBytesPath) -> None:
        if self._links.hides(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        return self._entries(self._inner.scandir(path))

    def _entries(self, found: Iterator[TreeEntry]) -> Iterator[TreeEntry]:
        for entry in found:
            kind = entry.format
            if kind == stat.S_IFREG:
                if self._links.hides(entry.path):
                    continue
                try:
                    override, _ = self._attribute(entry.path, False)
                except FileNotFoundError:
                    override = None
                if override is not None and override.format not in (0, stat.S_IFDIR, stat.S_IFLNK):
                    kind = override.format
            yield TreeEntry(self, entry.name, entry.path, kind, entry.ino)

    def readlink(self, path: StrOrBytesPath) -> str:
        return self._inner.readlink(path)

    # -- what needs no mapping -----------------------------------------------------------------------------------

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.RawIOBase:
        self._check_hidden(path)
        follow = not flags & getattr(os, "O_NOFOLLOW", 0)
        made = bool(flags & os.O_CREAT)
        if not flags & (getattr(os, "O_DIRECTORY", 0) | os.O_EXCL):
            try:
                real = self._inner.stat(path, follow_symlinks=follow)
            except OSError:
                pass
            else:
                made = False
                if stat.S_ISREG(real.st_mode):
                    found = self._override(path, real, follow)
                    if found is not None and found.format != stat.S_IFREG:
                        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), os.fspath(path))
        file = self._inner.open_raw(path, flags, mode)
        if made:
            try:
                self._adopt(path, follow)
            except BaseException:
                file.close()
                raise
        return file

    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        self._inner.mkdir(path, mode)
        self._adopt(path, False)

    def _adopt(self, path: StrOrBytesPath, follow: bool) -> None:
        """Keep what something new has: for other readers of the form, all of a layer has the attribute."""
        mode = self._inner.stat(path, follow_symlinks=follow).st_mode
        group = self._group(path)
        inherited = stat.S_ISGID if group is not None and stat.S_ISDIR(mode) else 0
        self._keep(path, Override(0, group or 0, stat.S_IMODE(mode) | inherited, stat.S_IFMT(mode)), follow)

    def _group(self, path: StrOrBytesPath) -> int | None:
        """Return the group of a set-group-id directory, for what is made in it (inode(7)); ``None`` of another."""
        above = self.stat(posixpath.split(from_root(path))[0])
        return above.st_gid if above.st_mode & stat.S_ISGID else None

    def rmdir(self, path: StrOrBytesPath) -> None:
        try:
            self._inner.rmdir(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self._links.clear(path):
                raise
            self._inner.rmdir(path)

    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        self._inner.truncate(path, length)

    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        self._inner.utime(path, ns=ns, follow_symlinks=follow_symlinks)

    # -- names ---------------------------------------------------------------------------------------------------

    def unlink(self, path: StrOrBytesPath) -> None:
        self._check_hidden(path)
        link = self._is_link(path)
        self._inner.unlink(path)
        if link:
            self._set_link_owner(path, None)

    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        self._check_hidden(src)
        self._check_hidden(dst)
        here = self._link_owner(src) if self._is_link(src) else None
        there = self._link_owner(dst) if self._is_link(dst) else None
        self._inner.rename(src, dst, flags=flags)
        if here != there:
            self._set_link_owner(dst, here)
            self._set_link_owner(src, there if flags & RenameFlag.EXCHANGE else None)

    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        self._check_hidden(src)
        self._inner.link(src, dst)
        if self._is_link(dst):
            self._set_link_owner(dst, self._link_owner(src))

    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        self._inner.symlink(target, path)
        self._set_link_owner(path, LinkOwner(0, self._group(path) or 0))

    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        if kind == stat.S_IFREG or kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
            self._inner.mknod(path, mode, device)
            self._adopt(path, False)
            return
        if kind == stat.S_IFCHR and device == 0:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), os.fspath(path))
        self._inner.mknod(path, stat.S_IFREG | 0o600)
        try:
            # The umask is what the storage takes off, which only a mode tells.
            self._keep(path, Override(0, self._group(path) or 0, stat.S_IMODE(mode), kind, device), False)
        except BaseException:
            self._inner.unlink(path)
            raise

    # -- attributes ----------------------------------------------------------------------------------------------

    def _keep(self, path: StrOrBytesPath, override: Override, follow: bool) -> None:
        # The mode first: whoever may not write to a file may not set its attributes either.
        real = self._inner.stat(path, follow_symlinks=follow)
        if stat.S_IMODE(real.st_mode) != override.real_mode:
            self._inner.chmod(path, override.real_mode, follow_symlinks=follow)
        self._inner.setxattr(path, OVERRIDE, override.encode(), follow_symlinks=follow)
        if self._foreign:
            try:
                self._inner.removexattr(path, OVERRIDE_OF_FUSE, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in NO_ATTRIBUTE:
                    raise

    def dress(
        self, path: StrOrBytesPath, uid: int, gid: int, mode: int, mtime: int, xattrs: Iterable[tuple[str, bytes]]
    ) -> None:
        """Give a new regular file or directory all its attributes, with as few calls as there can be.

        :param mtime: in nanoseconds since the epoch.
        """
        kind = stat.S_IFMT(self._inner.stat(path, follow_symlinks=False).st_mode)
        kept = Override(uid, gid, stat.S_IMODE(mode), kind)
        self._inner.chmod(path, kept.real_mode)
        self._inner.setxattr(path, OVERRIDE, kept.encode(), follow_symlinks=False)
        for name, value in xattrs:
            self._inner.setxattr(path, self.stored_xattr(name), value, follow_symlinks=False)
        self._inner.utime(path, ns=(mtime, mtime), follow_symlinks=False)

    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        shown = self.stat(path, follow_symlinks=follow_symlinks)
        kind = stat.S_IFMT(shown.st_mode)
        if kind == stat.S_IFLNK or not self._is_kept(path, follow_symlinks):
            self._inner.chmod(path, mode, follow_symlinks=follow_symlinks)
            return
        kept = Override(shown.st_uid, shown.st_gid, stat.S_IMODE(mode), kind, shown.st_rdev)
        self._keep(path, kept, follow_symlinks)

    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        shown = self.stat(path, follow_symlinks=follow_symlinks)
        uid, gid = shown.st_uid if uid == -1 else uid, shown.st_gid if gid == -1 else gid
        kind = stat.S_IFMT(shown.st_mode)
        if kind == stat.S_IFLNK:
            old = self._link_owner(path) or LinkOwner()
            self._set_owner_of_all(path, LinkOwner(uid, gid, old.xattrs))
            return
        if not self._is_kept(path, follow_symlinks):
            if (uid, gid) != (shown.st_uid, shown.st_gid):
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), os.fspath(path))
            return
        mode = stat.S_IMODE(shown.st_mode)
        self._keep(path, Override(uid, gid, mode, kind, shown.st_rdev), follow_symlinks)

    def _is_kept(self, path: StrOrBytesPath, follow: bool) -> bool:
        """Tell whether an object can have attributes of its own: a file or directory for real."""
        return stat.S_IFMT(self._inner.stat(path, follow_symlinks=follow).st_mode) in (stat.S_IFREG, stat.S_IFDIR)

    def stored_xattr(self, name: str) -> str:
        """Return the name by which an attribute is stored."""
        return stored_xattr(name)

    def getxattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> bytes:
        if not follow_symlinks and self._is_link(path):
            owner = self._link_owner(path)
            if owner is None or name not in owner.xattrs:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), os.fspath(path))
            return owner.xattrs[name]
        return self._inner.getxattr(path, self.stored_xattr(name), follow_symlinks=follow_symlinks)

    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        if not follow_symlinks and self._is_link(path):
            self._set_link_xattr(path, name, bytes(value), flags)
            return
        self._inner.setxattr(path, self.stored_xattr(name), value, flags, follow_symlinks=follow_symlinks)

    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        if not follow_symlinks and self._is_link(path):
            owner = self._link_owner(path)
            return sorted(owner.xattrs) if owner else []
        names = self._inner.listxattr(path, follow_symlinks=follow_symlinks)
        return sorted(shown for name in names if (shown := unescape(name)) is not None)

    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        if not follow_symlinks and self._is_link(path):
            self._set_link_xattr(path, name, None, 0)
            return
        self._inner.removexattr(path, self.stored_xattr(name), follow_symlinks=follow_symlinks)

    # -- symbolic links ------------------------------------------------------------------------------------------

    def _is_link(self, path: StrOrBytesPath) -> bool:
        try:
            return stat.S_ISLNK(self._inner.stat(path, follow_symlinks=False).st_mode)
        except OSError:
            return False

    def links(self, directory: StrOrBytesPath) -> Mapping[str, LinkOwner]:
        """Return what is kept of the symbolic links in a directory, by their names; some may be none any more."""
        return self._links.of(directory)

    def set_links(self, directory: StrOrBytesPath, table: Mapping[str, LinkOwner]) -> None:
        """Keep what all symbolic links of a directory have, in place of what is kept of them."""
        self._links.replace(directory, table)

    def hides(self, path: StrOrBytesPath) -> bool:
        """Tell whether something is stored at a path that is not shown."""
        return self._links.hides(path)

    def _link_owner(self, path: StrOrBytesPath) -> LinkOwner | None:
        directory, name = posixpath.split(from_root(path))
        return self.links(directory).get(name)

    def _set_link_owner(self, path: StrOrBytesPath, owner: LinkOwner | None) -> None:
        directory, name = posixpath.split(from_root(path))
        self._links.put(directory, name, owner)

    def _set_owner_of_all(self, path: StrOrBytesPath, owner: LinkOwner) -> None:
        """Keep what a symbolic link has by each of its names: hard links are one object."""
        self._set_link_owner(path, owner)
        real = self._inner.stat(path, follow_symlinks=False)
        left = real.st_nlink - 1
        if left <= 0:
            return
        # What a table says, it says of a name; where the others are, only a look at all tells.
        own = from_root(path)
        for _, _, others in self._inner.walk():
            for entry in others:
                if entry.is_symlink() and entry.path != own:
                    status = entry.stat(follow_symlinks=False)
                    if (status.st_dev, status.st_ino) == (real.st_dev, real.st_ino):
                        self._set_link_owner(entry.path, owner)
                        left -= 1
                        if not left:
                            return

    def _set_link_xattr(self, path: StrOrBytesPath, name: str, value: bytes | None, flags: int) -> None:
        old = self._link_owner(path) or LinkOwner()
        missing = name not in old.xattrs
        if value is None or name.startswith("user."):
            code = errno.ENODATA if value is None and missing else 0 if value is None else errno.EPERM
        else:
            code = errno.ENODATA if flags & 2 and missing else errno.EEXIST if flags & 1 and not missing else 0
        if code:
            raise OSError(code, os.strerror(code), os.fspath(path))
        xattrs = {key: kept for key, kept in old.xattrs.items() if key != name}
        if value is not None:
            xattrs[name] = value
        self._set_owner_of_all(path, LinkOwner(old.uid, old.gid, xattrs))


def _status(real: os.stat_result, mode: int, uid: int, gid: int, device: int | None = None) -> os.stat_result:
    return os.stat_result(
        (
            *(mode, real.st_ino, real.st_dev, real.st_nlink, uid, gid, real.st_size),
            *(int(real.st_atime), int(real.st_mtime), int(real.st_ctime)),
            *(real.st_atime, real.st_mtime, real.st_ctime),
            *(real.st_atime_ns, real.st_mtime_ns, real.st_ctime_ns),
            *(real.st_blksize, real.st_blocks, real.st_rdev if device is None else device),
        )
    )


def mapped_changes(found: Iterable[Change], before: MappedTree | None, after: MappedTree) -> Iterator[Change]:
    """Yield how two mapped trees differ, from how the trees below them do.

    :param found: the changes of the trees as they are stored, in tree order.
    :param before: ``None`` is an empty snapshot.
    """
    from ._compare import difference

    changes: dict[str, Change] = {}
    directories = []
    for change in found:
        if after.hides(change.path) or (before is not None and before.hides(change.path)):
            continue
        if change.kind is not ChangeKind.MODIFIED:
            changes[change.path] = change
            continue
        if before is None:
            aspects = _fresh_root(after)
        else:
            aspects = difference(before, after, change.path)
            if aspects != Aspect.TYPE:
                aspects |= change.aspects & Aspect.LINKS
        if aspects:
            changes[change.path] = Change(ChangeKind.MODIFIED, change.path, aspects)
        if before is not None and change.aspects & Aspect.XATTRS and stat.S_ISDIR(after.lstat(change.path).st_mode):
            directories.append(change.path)
    for directory in directories:
        assert before is not None
        old, new = before.links(directory), after.links(directory)
        for name in old.keys() | new.keys():
            path = name if directory == "." else f"{directory}/{name}"
            if (
                old.get(name) != new.get(name)
                and path not in changes
                and before.is_symlink(path)
                and after.is_symlink(path)
            ):
                aspects = difference(before, after, path)
                if aspects:
                    changes[path] = Change(ChangeKind.MODIFIED, path, aspects)
    yield from sorted(changes.values(), key=lambda change: change_order(change.path))


def _fresh_root(after: MappedTree) -> Aspect:
    status = after.stat()
    aspects = Aspect.NONE
    if stat.S_IMODE(status.st_mode) != 0o755:
        aspects |= Aspect.MODE
    if (status.st_uid, status.st_gid) != (0, 0):
        aspects |= Aspect.OWNER
    if after.listxattr():
        aspects |= Aspect.XATTRS
    return aspects
