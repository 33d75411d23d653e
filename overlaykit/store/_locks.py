"""Locks between threads and processes: flock(2) on files of the store, which a dying process lets go of.

Each is let go of by ``LOCK_UN`` and not by closing alone: a child that was forked meanwhile shares the open file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time

from .. import errors
from ._metadata import BUSY_SECONDS

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["FileLock", "OperationLock", "wait_for"]

_CONTENDED = (errno.EWOULDBLOCK, errno.EACCES)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _CONTENDED:
            return False
        raise
    return True


def wait_for(descriptor: int, kind: int, path: Path, seconds: float = BUSY_SECONDS) -> None:
    """Lock a file, waiting for other processes.

    flock(2) itself would wait for ever, and no thread can take a wait back.

    :raises StoreBusyError: another process held it for ``seconds``.
    """
    end = time.monotonic() + seconds
    pause = 0.001
    while not _try(descriptor, kind):
        if time.monotonic() >= end:
            raise errors.StoreBusyError(
                f"{path} was locked by another process for {seconds:g} s: try again, or end that process", filename=path
            )
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


class OperationLock:
    """Who changes the store, and who repairs it; entering it begins an operation, leaving it ends that.

    Any number of operations run at once, in any number of processes; recovery runs only while none does, because it
    takes what an operation is about to finish for what a crash left.

    :param path: the lock file, made where it is missing; ``None`` for a store without a path.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._condition = threading.Condition(threading.Lock())
        self._inside = 0
        self._closed = False
        self._pid = os.getpid()
        self._descriptor = -1 if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        """Begin an operation.

        :raises StoreBusyError: another process has been repairing the store for too long.
        :raises StoreClosedError: the store is closed.
        """
        with self._condition:
            if self._closed:
                raise errors.StoreClosedError("the store is closed: open it again")
            if self._inside == 0 and self._path is not None:
                wait_for(self._descriptor, fcntl.LOCK_SH, self._path)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._condition:
            self._inside -= 1
            if self._inside == 0:
                if self._path is not None:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self._condition.notify_all()

    @contextlib.contextmanager
    def repair(self, *, wait: bool = False) -> Iterator[bool]:
        """Be alone, if that is possible at once.

        :param wait: wait for other processes.
        :returns: whether nobody else is inside an operation.
        :raises StoreBusyError: with ``wait``, and it took too long.
        """
        with self._condition:
            if self._closed or self._inside or self._path is None:
                yield False
                return
            if wait:
                wait_for(self._descriptor, fcntl.LOCK_EX, self._path)
            elif not _try(self._descriptor, fcntl.LOCK_EX):
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Refuse new operations and wait for those inside; a second time does nothing."""
        if os.getpid() == self._pid:
            with self._condition:
                self._closed = True
                self._condition.wait_for(lambda: self._inside == 0)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class FileLock:
    """The lock of one snapshot; see :meth:`take`."""

    def __init__(self, path: Path, descriptor: int, exclusive: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._pid = os.getpid()
        self.exclusive = exclusive

    @classmethod
    def take(cls, path: Path, *, exclusive: bool) -> FileLock | None:
        """Take a lock at once.

        The id in the file's name is never used again, so a file that was removed meanwhile needs no second look: its
        snapshot is gone, which the caller sees in the database.

        :returns: ``None`` where another process, or another store object, holds it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            taken = _try(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        if not taken:
            os.close(descriptor)
            return None
        return cls(path, descriptor, exclusive)

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock.

        :param remove: remove the file: the snapshot is gone.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if os.getpid() == self._pid:
            if remove:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
