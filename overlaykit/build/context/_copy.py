"""Entries of one tree copied into another one."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import errors
from ._mode import changed_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...tree import Tree
    from ._select import Entry

__all__ = ["CopyOptions", "copy_entries"]

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
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
) -> None:
    """Copy them: files replace what is there, directories merge (Dockerfile reference, "COPY").

    :param check: called now and then; what it raises ends the copying.
    :raises BuildError: a directory is to go where something else is, or the other way round.
    """
    _Copy(source, into, options, check).run(entries)


class _Copy:
    def __init__(self, source: Tree, into: Tree, options: CopyOptions, check: Callable[[], object]) -> None:
        self._source = source
        self._into = into
        self._options = options
        self._check = check
        self._links: dict[tuple[int, int], str] = {}
        self._times: list[tuple[str, os.stat_result]] = []

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
        self._make_room(path)
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and inode in self._links:
            self._into.link(self._links[inode], path)
            return
        if kind == stat.S_IFREG:
            self._file(entry.source, path)
        elif kind == stat.S_IFLNK:
            self._into.symlink(self._source.readlink(entry.source), path)
        else:
            self._into.mknod(path, kind | 0o600, status.st_rdev if kind != stat.S_IFIFO else 0)
        if status.st_nlink > 1:
            self._links[inode] = path
        self._attributes(path, entry)
        self._into.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    def _parents(self, path: str) -> None:
        missing = []
        while path != "/" and not self._into.is_dir(path):
            if self._into.exists(path, follow_symlinks=False):
                raise errors.BuildError(
                    f"{path} is no directory, and something is to be copied into it: copy elsewhere"
                )
            missing.append(path)
            path = posixpath.dirname(path)
        for one in reversed(missing):
            self._into.mkdir(one)
            self._into.chmod(one, 0o755)
            self._own(one, self._options.maker)

    def _directory(self, path: str, entry: Entry) -> None:
        if entry.named and (entry.source == "." or self._options.directory):
            self._parents(path)
        if self._into.is_dir(path):
            if entry.named:
                return  # what is in it is copied, not it
        else:
            self._make_room(path)
            self._into.mkdir(path)
        self._attributes(path, entry)
        self._times.append((path, entry.status))

    def _make_room(self, path: str) -> None:
        try:
            status = self._into.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise errors.BuildError(f"{path} is a directory, and a file is to be copied there: copy it elsewhere")
        self._into.unlink(path)

    def _file(self, source: str, path: str) -> None:
        with (
            self._source.open_raw(source, os.O_RDONLY) as reading,
            self._into.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as writing,
        ):
            while piece := reading.read(_CHUNK):
                left = memoryview(piece)
                while left:
                    left = left[writing.write(left) or 0 :]
                self._check()

    def _attributes(self, path: str, entry: Entry) -> None:
        status = entry.status
        self._own(path, self._options.owner or (status.st_uid, status.st_gid))
        if stat.S_ISLNK(status.st_mode):
            return
        for name in self._source.listxattr(entry.source):
            # What the file system or the caller's rights do not allow is left out, as BuildKit does it.
            with contextlib.suppress(OSError):
                self._into.setxattr(path, name, self._source.getxattr(entry.source, name))
        # After the owner, which takes set-uid bits away.
        self._into.chmod(path, changed_mode(status.st_mode, self._options.mode))

    def _own(self, path: str, owner: tuple[int, int]) -> None:
        status = self._into.lstat(path)
        if (status.st_uid, status.st_gid) != owner:
            try:
                self._into.chown(path, *owner, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise
                raise errors.BuildError(
                    f"{path} cannot be given to {owner[0]}:{owner[1]} without privileges here: build as root, or leave "
                    "--chown out"
                ) from error
