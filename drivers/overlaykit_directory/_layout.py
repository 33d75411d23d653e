"""Where things lie below the driver's root, and how they get there in one step.

::

    snapshots/ID/tree          the snapshot's tree
    snapshots/ID/prepared      how it began (Prepared)
    snapshots/ID/inodes        of a copy: which inode was made of which of the parent's
    snapshots/ID/committed     how it was committed (Committed); of an active one, a commit that was cut off
    stage/ID/                  the same, being made; its maker holds a lock on it
    trash/NAME                 removed, to be deleted
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Self, TypeVar

from overlaykit import errors, linux
from overlaykit.driver import SnapshotId
from overlaykit.values import value_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Committed", "Layout", "Prepared", "Record"]

_ACL_DEFAULT = "system.posix_acl_default"


@value_class
class Prepared:
    """How a snapshot began.

    :param parent: the snapshot it started as; ``None`` for an empty one.
    :param method: ``"empty"``, ``"copy"``, or ``"subvolume"`` for a Btrfs snapshot, in which inode numbers and times
        are the parent's.
    :param begun: the file system's clock when it began, in nanoseconds.
    :param done: the same when everything was in its place: what is changed later has a later change time.
    """

    parent: str | None
    method: str
    begun: int
    done: int


@value_class
class Committed:
    """What a snapshot was when it was committed; see :class:`overlaykit.linux.TreeSurvey`.

    :param id: the committed snapshot: the record of a commit that was cut off names another one.
    :param clock: the file system's clock afterwards, in nanoseconds.
    """

    id: str
    clock: int
    bytes: int
    inodes: int
    exact: str
    portable: str
    root: int
    one_device: bool


class Layout:
    """The directories below the driver's root.

    :param root: the driver's root; made into one if it is empty.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshots = root / "snapshots"
        self.staging = root / "stage"
        self.trash = root / "trash"
        for directory in (self.snapshots, self.staging, self.trash):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(0o700)
                _make_neutral(directory)

    def directory(self, id: SnapshotId) -> Path:
        """Return the directory of a snapshot."""
        return self.snapshots / id

    def tree(self, id: SnapshotId) -> Path:
        """Return the root directory of a snapshot's tree."""
        return self.snapshots / id / "tree"

    def ids(self) -> Iterator[SnapshotId]:
        """Yield the snapshots there are."""
        for name in os.listdir(self.snapshots):
            yield SnapshotId(name)

    # -- making ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stage(self, id: SnapshotId) -> Iterator[Path]:
        """Make a directory for a snapshot to be; it becomes one at the end of the ``with``, whole, or is removed."""
        path = self.staging / id
        with _locked(self.staging, fcntl.LOCK_SH):
            path.mkdir(0o700)
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            try:
                yield path
                os.rename(path, self.directory(id))
            except BaseException:
                with _opened(self.staging) as directory:
                    linux.remove_tree(directory, id)
                raise
        finally:
            os.close(lock)

    def rename(self, id: SnapshotId, new: SnapshotId) -> None:
        """Give a snapshot another id."""
        os.rename(self.directory(id), self.directory(new))

    # -- removing --------------------------------------------------------------------------------------------------

    def discard(self, id: SnapshotId) -> None:
        """Take a snapshot away; :meth:`empty_trash` deletes it."""
        os.rename(self.directory(id), self.trash / f"{id}-{os.urandom(4).hex()}")

    def empty_trash(self) -> None:
        """Delete what was discarded, and what was being made by a process that is gone.

        :raises OSError: something cannot be deleted; the rest is.
        """
        self._discard_stale()
        failed: OSError | None = None
        with _opened(self.trash) as directory:
            for name in os.listdir(directory):
                try:
                    _delete(directory, name)
                except OSError as error:
                    failed = failed or error
        if failed is not None:
            raise failed

    def _discard_stale(self) -> None:
        with _locked(self.staging, fcntl.LOCK_EX):
            for name in os.listdir(self.staging):
                path = self.staging / name
                try:
                    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        os.rename(path, self.trash / f"{name}-{os.urandom(4).hex()}")
                except (BlockingIOError, FileNotFoundError):
                    continue  # its maker is at work, or has just finished

    # -- records ---------------------------------------------------------------------------------------------------

    def prepared(self, id: SnapshotId) -> Prepared:
        """Return how a snapshot began."""
        return _read(self.directory(id) / "prepared", Prepared)

    def inodes(self, id: SnapshotId, prepared: Prepared) -> bytes | None:
        """Return which inode of a snapshot was made of which of its parent; see :func:`overlaykit.linux.differ`."""
        return None if prepared.method == "subvolume" else (self.directory(id) / "inodes").read_bytes()

    def committed(self, id: SnapshotId) -> Committed | None:
        """Return how a snapshot was committed; ``None`` where it is active."""
        try:
            record = _read(self.directory(id) / "committed", Committed)
        except FileNotFoundError:
            self.directory(id).stat()
            return None
        return record if record.id == id else None

    def sync(self, directory: Path, *, system: bool = False) -> None:
        """Write a directory, or with ``system`` the whole file system, to the disk."""
        with _opened(directory) as fd:
            if system:
                linux.syncfs(fd)
            else:
                os.fsync(fd)


class Record:
    """A record to be written, which tells the file system's time: that of its own creation.

    It takes its name when it is whole, so that a process killed in the middle leaves none that looks damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        with contextlib.suppress(FileNotFoundError):
            self._partial.unlink()
        self._fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.clock = os.fstat(self._fd).st_ctime_ns

    def write(self, value: Prepared | Committed, *, durable: bool) -> None:
        """Write the record."""
        data = json.dumps(asdict(value)).encode()
        if os.write(self._fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        if durable:
            os.fsync(self._fd)
        self._partial.rename(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


_R = TypeVar("_R", Prepared, Committed)


def _read(path: Path, kind: type[_R]) -> _R:
    try:
        return kind(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise errors.SnapshotDamagedError(
            f"the record {path} is damaged: restore it from a backup, or remove the snapshot", filename=path
        ) from error


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    with _opened(directory) as fd:
        fcntl.flock(fd, how)
        yield


def _make_neutral(directory: Path) -> None:
    """Take from a directory what the trees made in it would inherit from above: its group, a default ACL."""
    os.chown(directory, -1, os.getegid())
    directory.chmod(0o700)
    try:
        os.removexattr(directory, _ACL_DEFAULT)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise


def _delete(directory: int, name: str) -> None:
    if linux.is_btrfs(directory):
        # Where this is no subvolume, not ours to delete as a whole, has others inside, or is gone: entry by entry.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
            stack.callback(os.close, inside)
            linux.delete_subvolume(inside, "tree")
    linux.remove_tree(directory, name)
