"""A copy as the layer that it makes, where that can be told beforehand: nothing is copied first and compared then, but
goes straight into the archive, and each file is read once.

What is not plain (hard links, attributes, devices, links on the way, something else in the way) is copied and compared.
"""

from __future__ import annotations

import io
import os
import stat
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ...changeset import FilePacker, TarHeader
from ...tree import HostTree
from ._content import open_entry, refusal, xattrs_of
from ._mode import changed_mode
from ._stats import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...changeset import CompressedWriter
    from ...tree import Tree
    from ._copy import CopyOptions
    from ._select import Entry
    from ._stats import StatCache

__all__ = ["CopyPlan", "plan_copy"]

_LATEST: Final = 15_032_385_535_000_000_000
"""The latest time that ext4 can keep, in nanoseconds since the epoch: others may be kept otherwise."""

_CHUNK: Final = 1 << 20
_DEFAULT_ACL: Final = "system.posix_acl_default"


def plan_copy(
    source: Tree,
    entries: Sequence[Sequence[Entry]],
    below: Tree,
    options: CopyOptions,
    *,
    alone: bool,
    stats: StatCache | None = None,
    epoch: int | None = None,
) -> CopyPlan | None:
    """Return the layer that :func:`copy_entries` would make.

    :param below: the tree that it goes over.
    :param alone: whether that has no layers.
    :param stats: what is known of the files, as :func:`content_digest` has found it.
    :param epoch: seconds since the epoch; later times are written as this one.
    :returns: ``None`` where that cannot be told, or would be an error: copy it.
    :raises BuildError: a file changed since it was selected, or may not be read.
    """
    if type(source) is not HostTree:
        return None
    plan = _Plan(source, below, options, stats)
    try:
        for group in entries:
            plan.take(group)
        return plan.made(alone=alone, epoch=epoch)
    except _NotPlainError:
        return None


class CopyPlan:
    """The members of a layer, in their order."""

    def __init__(self, members: Sequence[tuple[bytes, _File | TarHeader]], epoch: int) -> None:
        self._members = members
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._members)

    def write(self, source: Tree, out: CompressedWriter, check: Callable[[], object] = lambda: None) -> int:
        """Write the archive.

        :param source: where the files are.
        :param check: called now and then; what it raises ends the writing.
        :returns: bytes of the archive.
        :raises BuildError: a file changed since it was selected, or may not be read.
        :raises OSError: what writing ``out`` raises.
        """
        assert isinstance(source, HostTree)
        with FilePacker(source.fileno()) as packer:
            for path, member in self._members:
                if isinstance(member, TarHeader):
                    packer.add(member)
                    continue
                entry, mode, owner = member
                mtime = min(entry.status.st_mtime_ns, self._epoch)
                at = os.fsencode(entry.source)
                packer.add_file(path, mode, owner, mtime, at, entry.status, follow=entry.named)
            try:
                return packer.write(out, check)
            except OSError as error:
                refused = None if packer.failed is None else refusal(packer.failed, error.errno)
                if refused is None:
                    raise
                raise refused from error


class _NotPlainError(Exception):
    """It has to be copied to know what comes of it."""


class _File(NamedTuple):
    entry: Entry
    mode: int
    owner: tuple[int, int]


class _Directory:
    """A directory that is copied, or that something is copied into.

    :ivar below: as it is before; ``None`` for a new one.
    :ivar mtime: nanoseconds since the epoch; ``None`` where nobody sets it.
    :ivar touched: whether names are made in it.
    """

    __slots__ = ("below", "mode", "mtime", "owner", "touched")

    def __init__(self, below: os.stat_result | None, owner: tuple[int, int]) -> None:
        self.below = below
        self.mode = 0o755 if below is None else stat.S_IMODE(below.st_mode)
        self.owner = owner if below is None else (below.st_uid, below.st_gid)
        self.mtime: int | None = None
        self.touched = False

    def touch(self) -> None:
        self.mtime, self.touched = None, True

    def time(self, now: int) -> int:
        if self.mtime is not None:
            return self.mtime
        return now if self.below is None or self.touched else self.below.st_mtime_ns

    def changed(self, now: int) -> bool:
        if self.below is None:
            return True
        was = stat.S_IMODE(self.below.st_mode), (self.below.st_uid, self.below.st_gid), self.below.st_mtime_ns
        return was != (self.mode, self.owner, self.time(now))


class _Plan:
    """Does in thought what copying does; paths have no slash in front, and the root is ``""``."""

    def __init__(self, source: HostTree, below: Tree, options: CopyOptions, stats: StatCache | None) -> None:
        self._source = source
        self._below = below
        self._options = options
        self._stats = stats
        self._target = options.target.strip("/")
        self._directories: dict[str, _Directory] = {}
        self._files: dict[str, _File] = {}
        self._unchanged: set[str] = set()
        self._times: list[tuple[_Directory, int]] = []
        self._linked: set[tuple[int, int]] = set()
        self._names: dict[str, set[str]] = {}

    def take(self, group: Sequence[Entry]) -> None:
        """Take what one source names.

        :raises _NotPlainError: see there.
        """
        self._linked.clear()
        self._times.clear()
        for entry in group:
            kind = stat.S_IFMT(entry.status.st_mode)
            if kind == stat.S_IFSOCK:
                continue
            path = self._path(entry)
            if path.startswith(".wh.") or "/.wh." in path:
                raise _NotPlainError
            if kind == stat.S_IFDIR:
                self._directory(path, entry)
            elif kind in (stat.S_IFREG, stat.S_IFLNK):
                self._file(path, entry)
            else:
                raise _NotPlainError
        # As of copying, when all of the group is there: of two times for one directory, the first stays.
        for directory, mtime in reversed(self._times):
            directory.mtime = mtime

    def _path(self, entry: Entry) -> str:
        is_file = not stat.S_ISDIR(entry.status.st_mode)
        if entry.named and is_file and not (self._options.directory or self._is_directory(self._target)):
            if not self._target:
                raise _NotPlainError
            return self._target
        return f"{self._target}/{entry.target}".strip("/")

    # -- directories ---------------------------------------------------------------------------------------------------

    def _is_directory(self, path: str) -> bool:
        if path in self._directories:
            return True
        found = None if path in self._files else self._look(path)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise _NotPlainError
        return found is not None and stat.S_ISDIR(found.st_mode)

    def _look(self, path: str) -> os.stat_result | None:
        """Return what is at a path below, where no link leads there."""
        if not path:
            return self._below.lstat("")
        above, _, name = path.rpartition("/")
        known = self._directories.get(above)
        if known is None:
            found = self._look(above)
            if found is None:
                return None
            if not stat.S_ISDIR(found.st_mode):
                raise _NotPlainError
        elif known.below is None:
            return None
        if above not in self._names:
            self._names[above] = set(self._below.listdir(above))
        return self._below.lstat(path) if name in self._names[above] else None

    def _enter(self, path: str) -> _Directory:
        """Return a directory that something is made in, itself made where it is missing."""
        found = self._directories.get(path)
        if found is not None:
            return found
        if path in self._files:
            raise _NotPlainError
        status = self._look(path)
        if status is not None and (not stat.S_ISDIR(status.st_mode) or self._has_heirs(path)):
            raise _NotPlainError
        if path:
            above = self._enter(path.rpartition("/")[0])
            if status is None:
                above.touch()
        found = self._directories[path] = _Directory(status, self._options.maker)
        return found

    def _has_heirs(self, path: str) -> bool:
        return _DEFAULT_ACL in self._below.listxattr(path)

    def _directory(self, path: str, entry: Entry) -> None:
        status = entry.status
        missing = path not in self._directories
        found = self._enter(path)
        if entry.target:
            if xattrs_of(self._source, entry):
                raise _NotPlainError
            found.mode = changed_mode(status.st_mode, self._options.mode)
            found.owner = self._options.owner or (status.st_uid, status.st_gid)
        elif not missing or found.below is not None:
            return
        self._times.append((found, self._time(entry)))

    # -- files ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _time(entry: Entry) -> int:
        mtime = entry.status.st_mtime_ns
        if not 0 <= mtime <= _LATEST:
            raise _NotPlainError
        return mtime

    def _file(self, path: str, entry: Entry) -> None:
        status = entry.status
        above = path.rpartition("/")[0]
        parent = self._directories.get(above) or self._enter(above)
        if path in self._files or path in self._directories:
            raise _NotPlainError
        self._time(entry)
        if status.st_nlink > 1:
            inode = status.st_dev, status.st_ino
            if inode in self._linked:
                raise _NotPlainError
            self._linked.add(inode)
        if stat.S_ISREG(status.st_mode) and self._has_xattrs(entry):
            raise _NotPlainError
        made = _File(
            entry,
            changed_mode(status.st_mode, self._options.mode),
            self._options.owner or (status.st_uid, status.st_gid),
        )
        if parent.below is not None:
            was = self._look(path)
            if was is not None and self._is_same(path, was, made):
                self._unchanged.add(path)
        parent.touch()
        self._files[path] = made

    def _has_xattrs(self, entry: Entry) -> bool:
        known = None if self._stats is None else self._stats.find(entry.status)
        return bool(xattrs_of(self._source, entry)) if known is None else known.xattrs != NOTHING

    def _is_same(self, path: str, was: os.stat_result, made: _File) -> bool:
        """Tell whether a file that takes the place of one below is the same one."""
        status = made.entry.status
        if not (stat.S_ISREG(was.st_mode) and stat.S_ISREG(status.st_mode)) or was.st_nlink > 1:
            raise _NotPlainError
        now = made.mode, made.owner, status.st_mtime_ns, status.st_size
        if now != (stat.S_IMODE(was.st_mode), (was.st_uid, was.st_gid), was.st_mtime_ns, was.st_size):
            return False
        if self._below.listxattr(path):
            return False
        with open_entry(self._source, made.entry) as new, self._below.open_raw(path, os.O_RDONLY) as old:
            reader = io.BufferedReader(old)
            while piece := new.read(_CHUNK):
                if reader.read(len(piece)) != piece:
                    return False
        return True

    # -- the layer -----------------------------------------------------------------------------------------------------

    def made(self, *, alone: bool, epoch: int | None) -> CopyPlan:
        """Return what differs of what was taken.

        :param alone: there is no layer below.
        """
        latest = _LATEST if epoch is None else epoch * 1_000_000_000
        now = time.time_ns()
        wanted = {path for path, one in self._directories.items() if one.changed(now)}
        files = [path for path in self._files if path not in self._unchanged]
        for path in [*wanted, *files]:
            # With what is in a layer, all above it is, but for the root.
            above = path.rpartition("/")[0]
            while above and above not in wanted:
                wanted.add(above)
                above = above.rpartition("/")[0]
        if alone and wanted:
            wanted.add("")
        members: list[tuple[bytes, _File | TarHeader]] = [
            (os.fsencode(path), self._directory_header(path, now, latest)) for path in wanted
        ]
        for path in files:
            one = self._files[path]
            is_link = stat.S_ISLNK(one.entry.status.st_mode)
            members.append((os.fsencode(path), self._link_header(path, one, latest) if is_link else one))
        members.sort(key=_tree_order)
        return CopyPlan(members, latest)

    def _directory_header(self, path: str, now: int, latest: int) -> TarHeader:
        one = self._directories[path]
        xattrs = []
        if one.below is not None:
            names = sorted(self._below.listxattr(path))
            xattrs = [(os.fsencode(name), self._below.getxattr(path, name)) for name in names]
        mtime = min(one.time(now), latest)
        name = os.fsencode(path) + b"/" if path else b"./"
        return TarHeader(name, stat.S_IFDIR | one.mode, *one.owner, mtime, xattrs=xattrs)

    def _link_header(self, path: str, one: _File, latest: int) -> TarHeader:
        target = os.fsencode(self._source.readlink(one.entry.source))
        mtime = min(one.entry.status.st_mtime_ns, latest)
        return TarHeader(os.fsencode(path), stat.S_IFLNK | 0o777, *one.owner, mtime, target=target)


def _tree_order(member: tuple[bytes, object]) -> bytes:
    return member[0].replace(b"/", b"\0")
