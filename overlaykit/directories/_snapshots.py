"""Where the directories of snapshots lie, and how they come and go whole."""

from __future__ import annotations

import contextlib
import fcntl
import os

from .. import errors, linux
from ..driver import Durability, SnapshotId
from ._make import make_directory
from ._open import open_directory

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..driver import DriverConfig

__all__ = ["SnapshotDirectories"]


def _mkdir(directory: int, name: str) -> None:
    os.mkdir(name, 0o700, dir_fd=directory)


class SnapshotDirectories:
    """The directories of a driver's snapshots, and how they come and go.

    ::

        snapshots/ID    a snapshot; what is in it is the driver's business
        stage/ID        one in the making; its maker holds a lock on it
        trash/NAME      removed, to be deleted

    They pass nothing on that a tree would show; see :func:`make_directory`. All methods may be called from many
    threads, and by several processes over one root, as those of a :class:`~overlaykit.driver.Driver`.

    :param config: the driver's: where, and what must be on the disk when.
    :param delete: called with the descriptor of a directory and a name in it, deletes that and all below, and says
        nothing where another process is faster. :func:`overlaykit.linux.remove_tree` unless there is something better.
    :raises DriverUnavailableError: the configuration has no root.
    :raises OSError: the directories are not there and cannot be made.
    """

    def __init__(self, config: DriverConfig, *, delete: Callable[[int, str], None] = linux.remove_tree) -> None:
        if config.root is None:
            raise errors.DriverUnavailableError(
                "the driver keeps its snapshots in a directory: give the store a path",
                reason="no directory was given",
                fix="give the store a path",
            )
        self.root = config.root.absolute()
        self.snapshots = self.root / "snapshots"
        self.stage = self.root / "stage"
        self.trash = self.root / "trash"
        self._durability = config.durability
        self._delete = delete
        for directory in (self.snapshots, self.stage, self.trash):
            make_directory(directory)

    def path(self, id: SnapshotId) -> Path:
        """Return the directory of a snapshot."""
        return self.snapshots / id

    def ids(self) -> Iterator[SnapshotId]:
        """Yield the snapshots there are, for :meth:`Driver.ids() <overlaykit.driver.Driver.ids>`.

        :raises OSError: what the storage says.
        """
        return map(SnapshotId, os.listdir(self.snapshots))

    @contextlib.contextmanager
    def prepare(self, id: SnapshotId, *, make: Callable[[int, str], None] = _mkdir) -> Iterator[Path]:
        """Make a snapshot, for :meth:`Driver.prepare() <overlaykit.driver.Driver.prepare>`.

        .. code-block:: python

            with self._directories.prepare(id) as path:
                ...  # fill it

        At the end of the ``with`` it is there, whole, and on the disk with :attr:`Durability.FULL
        <overlaykit.driver.Durability.FULL>`; where the ``with`` fails, nothing is. Until then :meth:`ids` does not know
        it, and :meth:`cleanup` leaves it alone while this process lives.

        :param id: its id.
        :param make: called with the descriptor of a directory and a name, makes a directory of that name in it, in one
            step: what makes no plain one, such as a subvolume.
        :returns: where to fill it.
        :raises OSError: what the storage says, such as ENOSPC; there is no such snapshot then.
        """
        path = self.stage / id
        with contextlib.ExitStack() as stack:
            # Who cleans up waits until there is a lock on what was made.
            with _locked(self.stage, fcntl.LOCK_SH) as stage:
                make(stage, id)
                stack.enter_context(_locked(path, fcntl.LOCK_EX))
            try:
                yield path
                full = self._durability is Durability.FULL
                if full:
                    _sync_file_system(path)
                self._rename(path, self.path(id), durable=full)
            except BaseException:
                # What cannot be deleted now is deleted by a cleanup, and says no more than what went wrong.
                with contextlib.suppress(OSError), open_directory(self.stage) as stage:
                    self._delete(stage, id)
                raise

    def sync(self) -> None:
        """Write the file system to the disk, unless the durability is :attr:`~overlaykit.driver.Durability.NONE`.

        :meth:`commit` does. Before, it is for who counts the blocks of what is to be committed.

        :raises OSError: what the storage says, such as EIO.
        """
        if self._durability is not Durability.NONE:
            _sync_file_system(self.snapshots)

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        """Give a snapshot its id as a committed one, for :meth:`Driver.commit() <overlaykit.driver.Driver.commit>`.

        All in it is on the disk before, and its new id at the end, unless the durability is
        :attr:`~overlaykit.driver.Durability.NONE`. What is noted in the directory before may be found in one
        that is active still, where the process was killed: note the new id with it.

        :param id: the active snapshot; no tree of it is open.
        :param new: the id of the committed one.
        :raises OSError: what the storage says; the snapshot is there as it was.
        """
        self.sync()
        self._rename(self.path(id), self.path(new), durable=self._durability is not Durability.NONE)

    def remove(self, id: SnapshotId) -> None:
        """Take a snapshot away, for :meth:`Driver.remove() <overlaykit.driver.Driver.remove>`: one rename.

        :param id: a snapshot of either kind; no tree of it is open.
        :raises OSError: what the storage says; the snapshot is there as it was.
        """
        self._rename(self.path(id), self._grave(id), durable=self._durability is Durability.FULL)

    def cleanup(self) -> None:
        """Delete what was removed, and what a process that is gone was making, for :meth:`Driver.cleanup()
        <overlaykit.driver.Driver.cleanup>`.

        :raises OSError: something cannot be deleted; everything else is.
        """
        self._discard_stale()
        failed: OSError | None = None
        with open_directory(self.trash) as trash:
            for name in os.listdir(trash):
                try:
                    self._delete(trash, name)
                except OSError as error:
                    failed = failed or error
        if failed is not None:
            raise failed

    def _discard_stale(self) -> None:
        with _locked(self.stage, fcntl.LOCK_EX):
            for name in os.listdir(self.stage):
                path = self.stage / name
                try:
                    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        os.rename(path, self._grave(name))
                except (BlockingIOError, FileNotFoundError):
                    continue  # its maker is at work, or has just finished

    def _grave(self, name: str) -> Path:
        return self.trash / f"{name}-{os.urandom(4).hex()}"

    def _rename(self, source: Path, target: Path, *, durable: bool) -> None:
        os.rename(source, target)
        if durable:
            try:
                with open_directory(self.snapshots) as directory:
                    os.fsync(directory)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.rename(target, source)  # what fails has not happened
                raise


def _sync_file_system(directory: Path) -> None:
    with open_directory(directory) as fd:
        linux.syncfs(fd)


@contextlib.contextmanager
def _locked(directory: Path, how: int) -> Iterator[int]:
    with open_directory(directory) as fd:
        fcntl.flock(fd, how)
        yield fd
