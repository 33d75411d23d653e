"""Applies layers to a directory of this machine, as root: straight by descriptors, many files a call."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict

from ._writer import FORMATS, Heirs, LayerWriter, hidden_paths

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ._writer import FileRun, FileSink, NodeAttributes, NodeKind

    _T = TypeVar("_T")

__all__ = ["HostWriter"]


_OPEN = 64
"""Descriptors of directories that are kept open."""

_CAPABILITY = b"security.capability"


def _directory_flags() -> int:
    # Asked for when used: this module is imported where no flag of them is known.
    return os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _create_flags() -> int:
    return os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class HostWriter(LayerWriter):
    """A writer below a directory in which hiding is removing; whoever stores that in another way overrides it.

    The caller may give files to any owner. No path is followed but by descriptors of directories, opened one below
    the other, so that whatever else happens to the directory meanwhile, nothing outside is reached.

    :param root: a descriptor of the directory; closed with the writer.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._heirs = Heirs()

    # -- making ------------------------------------------------------------------------------------------------------

    def directory(self, path: bytes, attributes: NodeAttributes) -> None:
        if not path:
            self._give(self._root, b".", attributes, clear=True)
        else:
            parent, name = self._at(path)
            there = False
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                there = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
                if not there:
                    os.unlink(name, dir_fd=parent)
                    os.mkdir(name, 0o700, dir_fd=parent)
            self._give(parent, name, attributes, clear=there or self._heirs.reaches(path))
        self._heirs.note(path, attributes)

    def file(self, path: bytes, attributes: NodeAttributes, size: int) -> FileSink:
        parent, name = self._at(path)
        fd = self._place(parent, name, lambda: os.open(name, _create_flags(), 0o600, dir_fd=parent))
        return _Sink(self, fd, attributes, clear=self._heirs.reaches(path))

    def files(self, directory: bytes, run: FileRun) -> None:
        if self._heirs.holds(directory):
            super().files(directory, run)
        else:
            run.write_to(self._directory(directory))

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        parent, name = self._at(path)
        self._place(parent, name, lambda: os.symlink(target, name, dir_fd=parent))
        os.chown(name, attributes.uid, attributes.gid, dir_fd=parent, follow_symlinks=False)
        for key, value in attributes.xattrs:
            os.setxattr(_path(parent, name), self.attribute(key), value, follow_symlinks=False)
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=parent, follow_symlinks=False)

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        parent, name = self._at(path)
        self._place(parent, name, lambda: os.mknod(name, FORMATS[kind] | 0o600, device, dir_fd=parent))
        self._give(parent, name, attributes, clear=self._heirs.reaches(path))
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=parent, follow_symlinks=False)

    def link(self, path: bytes, target: bytes) -> None:
        above, old = self._at(target)
        # The cache may close descriptors: the second look-up must not take the first one's away.
        source = os.dup(above)
        try:
            parent, name = self._at(path)
            self._place(
                parent,
                name,
                lambda: os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False),
            )
        finally:
            os.close(source)

    # -- taking away -------------------------------------------------------------------------------------------------

    def hide(self, path: bytes) -> None:
        self.remove(path)

    def hide_children(self, path: bytes, keep: Iterable[bytes]) -> None:
        for child in hidden_paths(path, keep, self._listing):
            self.remove(child)

    def remove(self, path: bytes) -> None:
        self.forget()
        parent, name = self._at(path)
        self._clear(parent, name)

    # -- ending ------------------------------------------------------------------------------------------------------

    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        for path, mtime in directories:
            if path:
                parent, name = self._at(path)
                os.utime(name, ns=(mtime, mtime), dir_fd=parent, follow_symlinks=False)
            else:
                os.utime(_path(self._root, b"."), ns=(mtime, mtime))

    def close(self) -> None:
        self.forget()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    # -- for those who store it in another way -----------------------------------------------------------------------

    def attribute(self, name: bytes) -> bytes:
        """Return the name under which an extended attribute is stored."""
        return name

    def finish(self, fd: int, attributes: NodeAttributes, *, clear: bool) -> None:
        """Give a regular file that was written its attributes and its time.

        :param clear: it may have inherited attributes.
        """
        os.fchown(fd, attributes.uid, attributes.gid)
        self._give_xattrs(fd, attributes, clear=clear)
        os.fchmod(fd, attributes.mode)
        self._give_capability(fd, attributes)
        os.utime(fd, ns=(attributes.mtime, attributes.mtime))

    def locate(self, path: bytes) -> tuple[int, bytes]:
        """Return the descriptor of a path's parent, good until the next call, and its name there."""
        return self._at(path)

    def forget(self) -> None:
        """Close the directories that are kept open: something may be in the place of one."""
        while self._open:
            os.close(self._open.popitem()[1])

    # -- below -------------------------------------------------------------------------------------------------------

    def _directory(self, path: bytes) -> int:
        if not path:
            return self._root
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        parent, _, name = path.rpartition(b"/")
        above = self._directory(parent)
        fd = os.open(name, _directory_flags(), dir_fd=above)
        if len(self._open) >= _OPEN:
            os.close(self._open.popitem(last=False)[1])
        self._open[path] = fd
        return fd

    def _listing(self, path: bytes) -> list[tuple[bytes, bool]]:
        with os.scandir(f"/proc/self/fd/{self._directory(path)}") as listing:
            return [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in listing]

    def _at(self, path: bytes) -> tuple[int, bytes]:
        parent, _, name = path.rpartition(b"/")
        return self._directory(parent), name

    def _place(self, parent: int, name: bytes, make: Callable[[], _T]) -> _T:
        """Make something, where needed in the place of what is there."""
        try:
            return make()
        except FileExistsError:
            self._clear(parent, name)
            return make()

    def _clear(self, parent: int, name: bytes) -> None:
        from ..linux import remove_tree

        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            # Nothing of it is kept open: it is of a layer below, or remove() has let go.
            remove_tree(parent, os.fsdecode(name))

    def _give(self, parent: int, name: bytes, attributes: NodeAttributes, *, clear: bool) -> None:
        os.chown(name, attributes.uid, attributes.gid, dir_fd=parent, follow_symlinks=False)
        path = _path(parent, name)
        self._give_xattrs(path, attributes, clear=clear)
        os.chmod(path, attributes.mode)
        self._give_capability(path, attributes)

    def _give_xattrs(self, target: bytes | int, attributes: NodeAttributes, *, clear: bool) -> None:
        given = [(self.attribute(name), value) for name, value in attributes.xattrs if name != _CAPABILITY]
        if clear:
            names = {name for name, _ in given}
            for old in os.listxattr(target):
                if os.fsencode(old) not in names:
                    with contextlib.suppress(FileNotFoundError):
                        _remove(target, old)
        for name, value in given:
            os.setxattr(target, name, value)

    def _give_capability(self, target: bytes | int, attributes: NodeAttributes) -> None:
        for name, value in attributes.xattrs:
            if name == _CAPABILITY:
                os.setxattr(target, name, value)


def _remove(target: bytes | int, name: str) -> None:
    try:
        os.removexattr(target, name)
    except OSError as error:
        # Shown by the system and not to be taken away, as security.selinux is.
        if error.errno not in (errno.ENODATA, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP):
            raise


def _path(parent: int, name: bytes) -> bytes:
    # The system calls for extended attributes take no descriptor of a directory.
    return b"/proc/self/fd/%d/%s" % (parent, name)


class _Sink:
    def __init__(self, writer: HostWriter, fd: int, attributes: NodeAttributes, *, clear: bool) -> None:
        self._writer = writer
        self._fd = fd
        self._attributes = attributes
        self._clear = clear
        self._hole = False

    def write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        self._hole = False
        while view:
            view = view[os.write(self._fd, view) :]

    def skip(self, length: int) -> None:
        os.lseek(self._fd, length, os.SEEK_CUR)
        self._hole = True

    def close(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if self._hole:
                os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR))
            self._writer.finish(fd, self._attributes, clear=self._clear)
        finally:
            os.close(fd)
