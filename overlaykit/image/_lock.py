"""Who takes images in may do so at once with others; who collects what nothing uses is alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading

from .. import errors
from ..store import typed, wait_for

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ImageLock"]

_WAIT = 30.0
"""Seconds to wait for the others."""


class ImageLock:
    """A lock between threads and processes; a dying process lets go of it.

    :param path: the lock file, made where it is missing; ``None`` for a store without a path.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._condition = threading.Condition()
        self._adding = 0
        self._alone = False

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """Take something in that nothing refers to yet, or send what must stay meanwhile.

        :raises StoreBusyError: another process has been collecting for too long.
        """
        with self._file(fcntl.LOCK_SH):
            with self._condition:
                self._wait(lambda: not self._alone)
                self._adding += 1
            try:
                yield
            finally:
                with self._condition:
                    self._adding -= 1
                    self._condition.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Collect what nothing refers to.

        :raises StoreBusyError: somebody takes an image in, or sends one.
        """
        with self._file(fcntl.LOCK_EX):
            with self._condition:
                self._wait(lambda: not self._alone and not self._adding)
                self._alone = True
            try:
                yield
            finally:
                with self._condition:
                    self._alone = False
                    self._condition.notify_all()

    def _wait(self, free: Callable[[], bool]) -> None:
        if not self._condition.wait_for(free, _WAIT):
            raise self._busy()

    def _busy(self) -> errors.StoreBusyError:
        return errors.StoreBusyError(
            "images are being taken in, sent or collected by others: try again when that is done"
        )

    @contextlib.contextmanager
    def _file(self, kind: int) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with typed(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                wait_for(descriptor, kind, self._path, _WAIT)
            except errors.StoreBusyError:
                raise self._busy() from None
            yield
        finally:
            # Closing alone would not do: a child that was forked meanwhile shares the open file.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
