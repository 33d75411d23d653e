"""Copying one tree into another, whatever stores them."""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING

from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tree import Tree

__all__ = ["Copied", "copy_tree"]

_CHUNK = 1 << 20
"""Bytes moved at once."""

_BLOCK = 1 << 12
"""What a hole is aligned to on the file systems there are."""

_SMALL = 1 << 16
"""Files up to this size are moved whole."""

_CAPABILITY = "security.capability"
_PRIVILEGED = ("security.", "trusted.")
_NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""copy_file_range(2) cannot do it between these two files; reading and writing can."""


@value_class
class Copied:
    """What :func:`copy_tree` did.

    :param entries: entries made, the root left out; each name of a hard-linked file counts.
    :param bytes: bytes of regular files, holes included; hard-linked files once.
    :param skipped: paths that were left out, and ``path: attribute`` for extended attributes that were.
    """

    entries: int
    bytes: int
    skipped: tuple[str, ...]


def copy_tree(
    source: Tree, target: Tree, *, owners: bool = True, progress: Callable[[str, int], object] | None = None
) -> Copied:
    """Copy all of a tree into another one, which is empty: afterwards :func:`compare` finds nothing.

    Types, owners, extended attributes and ACLs, modes with setuid, setgid and sticky, times to the nanosecond, hard
    links and holes are kept, the root's own attributes included. Sockets are skipped: they mean nothing without their
    process.

    :param owners: without it everything belongs to the caller, and what the caller may not make is left out and listed
        as skipped: device nodes, ``security.*`` and ``trusted.*`` attributes. With it, the default, either is an error.
    :param progress: called with each path, when it is complete, and the bytes of its content.
    :raises FileExistsError: the target has an entry of that name.
    :raises PermissionError: EPERM: the caller may not give away an owner, or make a device node; EACCES: may not read.
    :raises OSError: whatever the two trees raise; the target holds what was copied until then.
    """
    return _Copy(source, target, owners, progress).run()


class _Copy:
    def __init__(self, source: Tree, target: Tree, owners: bool, progress: Callable[[str, int], object] | None) -> None:
        self.source = source
        self.target = target
        self.owners = owners
        self.progress = progress
        self.entries = 0
        self.bytes = 0
        self.skipped: list[str] = []
        # The first name of each file that has several; None where it was skipped.
        self.names: dict[tuple[int, int], str | None] = {}

    def run(self) -> Copied:
        own = set(self.source.listxattr())
        for name in self.target.listxattr():
            # A default ACL that only the target has would be inherited by all that is made in it.
            if name not in own:
                self.target.removexattr("", name)
        # Each directory twice: to make it and find what is in it, then to finish it when all of that is there. Its
        # ACL, setgid bit and times are set only then, for making entries below would inherit or change them.
        todo: list[tuple[str, os.stat_result | None]] = [("", None)]
        while todo:
            path, finish = todo.pop()
            if finish is not None:
                self.finish(path, finish, 0)
                continue
            status = self.source.stat(path, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self.leaf(path, status)
                continue
            if path:
                self.target.mkdir(path, 0o700)
            todo.append((path, status))
            names = [(os.fsencode(entry.name), entry.path) for entry in self.source.scandir(path)]
            todo += [(below, None) for _, below in sorted(names, reverse=True)]
        return Copied(self.entries, self.bytes, tuple(self.skipped))

    def leaf(self, path: str, status: os.stat_result) -> None:
        """Make anything but a directory."""
        file = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and file in self.names:
            first = self.names[file]
            if first is None:
                self.skipped.append(path)
            else:
                self.target.link(first, path)
                self.done(path, 0)
            return
        made = self.make(path, status)
        if status.st_nlink > 1:
            self.names[file] = path if made else None
        if made:
            self.finish(path, status, status.st_size if stat.S_ISREG(status.st_mode) else 0)
        else:
            self.skipped.append(path)

    def make(self, path: str, status: os.stat_result) -> bool:
        """Make a file, link or node without its attributes; tell whether it was made."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self.content(path, status)
        elif kind == stat.S_IFLNK:
            self.target.symlink(self.source.readlink(path), path)
        elif kind == stat.S_IFIFO:
            self.target.mknod(path, stat.S_IFIFO | 0o600)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            try:
                self.target.mknod(path, kind | 0o600, status.st_rdev)
            except PermissionError as error:
                if self.owners or error.errno != errno.EPERM:
                    raise
                return False
        else:
            return False
        return True

    def done(self, path: str, size: int) -> None:
        self.entries += bool(path)
        self.bytes += size
        if self.progress is not None:
            self.progress(path or ".", size)

    # -- attributes ----------------------------------------------------------------------------------------------

    def finish(self, path: str, status: os.stat_result, size: int) -> None:
        """Give an entry its attributes. The order matters: each step may undo what a later one sets.

        A change of owner clears setuid and the capability; extended attributes may need the permission to write that
        the mode takes away; all of them change times.
        """
        target = self.target
        if self.owners:
            target.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
        names = self.source.listxattr(path, follow_symlinks=False)
        for name in names:
            if name != _CAPABILITY:
                self.xattr(path, name)
        if not stat.S_ISLNK(status.st_mode):
            target.chmod(path, stat.S_IMODE(status.st_mode), follow_symlinks=False)
        if _CAPABILITY in names:
            self.xattr(path, _CAPABILITY)
        target.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        self.done(path, size)

    def xattr(self, path: str, name: str) -> None:
        value = self.source.getxattr(path, name, follow_symlinks=False)
        try:
            self.target.setxattr(path, name, value, follow_symlinks=False)
        except PermissionError:
            if self.owners or not name.startswith(_PRIVILEGED):
                raise
            self.skipped.append(f"{path or '.'}: {name}")

    # -- content -------------------------------------------------------------------------------------------------

    def content(self, path: str, status: os.stat_result) -> None:
        sparse = status.st_blocks * 512 < status.st_size
        # Nobody else may open it before it has its own mode: O_EXCL and 0600, not write_bytes and the umask.
        with (
            self.source.open_raw(path, os.O_RDONLY) as old,
            self.target.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as new,
        ):
            if status.st_size <= _SMALL and not sparse:
                _write(new, old.readall())
                return
            try:
                reads, writes = old.fileno(), new.fileno()
            except io.UnsupportedOperation:
                reads = writes = -1
            if not sparse:
                _range(old, new, 0, status.st_size, reads, writes)
                return
            for start, end in _extents(old, status.st_size):
                _range(old, new, start, end, reads, writes)
            new.truncate(status.st_size)


def _extents(file: io.RawIOBase, size: int) -> list[tuple[int, int]]:
    """Return where a sparse file has data, as its file system says, or else as its bytes do."""
    found: list[tuple[int, int]] = []
    end = 0
    try:
        fd = file.fileno()
        while end < size:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
            found.append((start, end))
    except io.UnsupportedOperation:
        return _nonzero(file)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data behind this position
            raise
    return found


def _nonzero(file: io.RawIOBase) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    zeros = bytes(_BLOCK)
    position = 0
    file.seek(0)
    while block := file.read(_BLOCK):
        end = position + len(block)
        if block != zeros[: len(block)]:
            if found and found[-1][1] == position:
                found[-1] = (found[-1][0], end)
            else:
                found.append((position, end))
        position = end
    return found


def _range(old: io.RawIOBase, new: io.RawIOBase, start: int, end: int, reads: int, writes: int) -> None:
    """Copy the bytes from ``start`` to ``end``, in the kernel where both files are its own."""
    position = start
    if reads >= 0 and hasattr(os, "copy_file_range"):
        try:
            while position < end:
                moved = os.copy_file_range(reads, writes, end - position, position, position)
                if not moved:
                    break
                position += moved
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    old.seek(position)
    new.seek(position)
    while position < end:
        chunk = old.read(min(_CHUNK, end - position))
        if not chunk:
            break  # it became shorter meanwhile
        _write(new, chunk)
        position += len(chunk)


def _write(file: io.RawIOBase, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
