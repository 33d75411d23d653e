"""Entries of one tree copied into another one."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from typing import TYPE_CHECKING

from ... import errors
from ...tree import HostTree
from ...values import value_class
from ._content import look_again, open_entry, xattrs_of
from ._mode import changed_mode
from ._stats import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...tree import Tree
    from ._select import Entry
    from ._stats import StatCache, Status

__all__ = ["CopyOptions", "copy_entries"]

_CHUNK = 1 << 20


@value_class
class CopyOptions:
    """How entries are copied.

    :param target: the absolute path where they go.
    :param directory: whether that is a directory, whatever the sources are.
    :param owner: what they belong to; ``None`` to keep their own.
    :param maker: whose the directories are that are made on the way.
    :param mode: as ``--chmod`` says it; ``""`` for their own.
    """

    target: str
    directory: bool
    owner: tuple[int, int] | None
    maker: tuple[int, int] = (0, 0)
    mode: str = ""


def copy_entries(
    source: Tree,
    entries: Sequence[Sequence[Entry]],
    into: Tree,
    options: CopyOptions,
    check: Callable[[], object] = lambda: None,
    stats: StatCache | None = None,
) -> None:
    """Copy them: files replace what is there, directories merge (Dockerfile reference, "COPY").

    :param check: called now and then; what it raises ends the copying.
    :param stats: what is known of the files, as :func:`content_digest` has found it.
    :raises BuildError: a directory is to go where something else is, or the other way round; a file changed since it
        was selected.
    """
    _Copy(source, into, options, check, stats).run(entries)


class _Copy:
    def __init__(
        self, source: Tree, into: Tree, options: CopyOptions, check: Callable[[], object], stats: StatCache | None
    ) -> None:
        self._source = source
        self._into = into
        self._options = options
        self._check = check
        self._stats = stats
        # Files of this machine, whose attributes are what the tree shows: not where owners are kept beside them.
        self._direct = isinstance(into, HostTree)
        self._there: set[str] = set()
        # Whose something new is in a directory: of one, it is so of all.
        self._given: dict[str, tuple[int, int]] = {}
        self._links: dict[tuple[int, int], str] = {}
        self._times: list[tuple[str, Status]] = []

    def run(self, entries: Sequence[Sequence[Entry]]) -> None:
        for group in entries:
            self._links.clear()
            for entry in group:
                self._check()
                self._entry(entry)
        for path, status in reversed(self._times):
            self._into.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _path(self, entry: Entry) -> str:
        target = self._options.target
        is_file = not stat.S_ISDIR(entry.status.st_mode)
        if entry.named and is_file and not (self._options.directory or self._into.is_dir(target)):
            return target.rstrip("/") or "/"
        return posixpath.join(target, entry.target).rstrip("/") or "/"

    def _entry(self, entry: Entry) -> None:
        path = self._path(entry)
        status = entry.status
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return
        self._parents(posixpath.dirname(path))
        if kind == stat.S_IFDIR:
            self._directory(path, entry)
            return
        try:
            self._make(path, entry)
        except FileExistsError:
            self._make_room(path)
            self._make(path, entry)

    def _make(self, path: str, entry: Entry) -> None:
        status = entry.status
        kind = stat.S_IFMT(status.st_mode)
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and inode in self._links:
            self._into.link(self._links[inode], path)
            return
        if kind == stat.S_IFREG:
            self._file(entry, path)
        else:
            if kind == stat.S_IFLNK:
                self._into.symlink(self._source.readlink(entry.source), path)
            else:
                self._node(path, entry)
            self._attributes(path, entry, new=True)
            self._times_of(path, entry)
        if status.st_nlink > 1:
            self._links[inode] = path

    def _node(self, path: str, entry: Entry) -> None:
        status = entry.status
        kind = stat.S_IFMT(status.st_mode)
        try:
            self._into.mknod(path, kind | 0o600, status.st_rdev if kind != stat.S_IFIFO else 0)
        except PermissionError as error:
            raise errors.BuildError(
                f"{entry.source[:200]!r} is a device, which cannot be made here without privileges: build as root, or "
                "leave it out with a .dockerignore"
            ) from error

    def _parents(self, path: str) -> None:
        missing = []
        while path != "/" and path not in self._there and not self._into.is_dir(path):
            if self._into.exists(path, follow_symlinks=False):
                raise errors.BuildError(
                    f"{path} is no directory, and something is to be copied into it: copy elsewhere"
                )
            missing.append(path)
            path = posixpath.dirname(path)
        self._there.add(path)
        for one in reversed(missing):
            self._into.mkdir(one)
            self._into.chmod(one, 0o755)
            self._own(one, self._options.maker, new=True)
            self._there.add(one)

    def _directory(self, path: str, entry: Entry) -> None:
        if not entry.target:
            # What is in it is copied, not it (reference, "COPY"): one that is missing is made as parents are.
            missing = not self._into.is_dir(path)
            self._parents(path)
            if missing:
                self._times.append((path, entry.status))
            return
        new = False
        try:
            self._into.mkdir(path)
            new = True
        except FileExistsError:
            if not self._into.is_dir(path):
                raise errors.BuildError(
                    f"{path} is no directory, and a directory is to be copied there: copy it elsewhere"
                ) from None
        self._there.add(path)
        self._attributes(path, entry, new=new)
        self._times.append((path, entry.status))

    def _make_room(self, path: str) -> None:
        try:
            status = self._into.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise errors.BuildError(f"{path} is a directory, and a file is to be copied there: copy it elsewhere")
        self._into.unlink(path)

    def _file(self, entry: Entry, path: str) -> None:
        with (
            open_entry(self._source, entry) as reading,
            self._into.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as writing,
        ):
            while piece := reading.read(_CHUNK):
                left = memoryview(piece)
                while left:
                    left = left[writing.write(left) or 0 :]
                self._check()
            look_again(reading, entry)
            if self._direct:
                self._finish(writing.fileno(), path, entry)
        if not self._direct:
            self._attributes(path, entry, new=True)
            self._times_of(path, entry)

    def _finish(self, descriptor: int, path: str, entry: Entry) -> None:
        """Give a new file its attributes by its descriptor, which is a fraction of what it takes by its path."""
        status = entry.status
        made = os.fstat(descriptor)
        owner = self._options.owner or (status.st_uid, status.st_gid)
        if (made.st_uid, made.st_gid) != owner:
            self._chown(path, owner)
        for name, value in self._xattrs(entry):
            with contextlib.suppress(OSError):  # as for the others
                os.setxattr(descriptor, name, value)
        os.fchmod(descriptor, changed_mode(status.st_mode, self._options.mode))
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _times_of(self, path: str, entry: Entry) -> None:
        status = entry.status
        self._into.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    def _attributes(self, path: str, entry: Entry, *, new: bool) -> None:
        status = entry.status
        self._own(path, self._options.owner or (status.st_uid, status.st_gid), new=new)
        if stat.S_ISLNK(status.st_mode):
            return
        for name, value in self._xattrs(entry):
            # What the file system or the caller's rights do not allow is left out, as BuildKit does it.
            with contextlib.suppress(OSError):
                self._into.setxattr(path, name, value)
        # After the owner, which takes set-uid bits away.
        self._into.chmod(path, changed_mode(status.st_mode, self._options.mode))

    def _xattrs(self, entry: Entry) -> list[tuple[str, bytes]]:
        known = None
        if self._stats is not None and stat.S_ISREG(entry.status.st_mode):
            known = self._stats.find(entry.status)
        return [] if known is not None and known.xattrs == NOTHING else xattrs_of(self._source, entry)

    def _own(self, path: str, owner: tuple[int, int], *, new: bool) -> None:
        above = posixpath.dirname(path)
        has = self._given.get(above) if new else None
        if has is None:
            status = self._into.lstat(path)
            has = status.st_uid, status.st_gid
            if new:
                self._given[above] = has
        if has != owner:
            self._chown(path, owner)

    def _chown(self, path: str, owner: tuple[int, int]) -> None:
        try:
            self._into.chown(path, *owner, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            raise errors.BuildError(
                f"{path} cannot be given to {owner[0]}:{owner[1]} without privileges here: build as root, or leave "
                "--chown out"
            ) from error
