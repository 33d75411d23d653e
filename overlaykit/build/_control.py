"""Ends all threads of a build when one of them fails, or when the caller gives up."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Control", "StoppedError"]


class StoppedError(Exception):
    """Another step has failed, or the caller has given up."""


class Control:
    """Whether a build goes on."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Condition()
        self._working = 0
        self._enders: list[Callable[[], object]] = []
        #: What failed first; the rest may be a consequence.
        self.failure: BaseException | None = None

    def check(self) -> None:
        """Go on, or not.

        :raises StoppedError: not.
        """
        if self._stopped.is_set():
            raise StoppedError

    def fail(self, error: BaseException) -> None:
        """Keep what failed first, and stop."""
        with self._lock:
            if self.failure is None and not self._stopped.is_set():
                self.failure = error
        self.stop()

    def stop(self) -> None:
        """Stop: what is registered by :meth:`ending` is called."""
        with self._lock:
            self._stopped.set()
            enders = list(self._enders)
        for end in enders:
            end()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Be one whom :meth:`finish` waits for.

        :raises StoppedError: it has stopped already.
        """
        with self._lock:
            self.check()
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                self._lock.notify_all()

    def finish(self) -> None:
        """Stop, and wait until nobody works any more.

        Who starts threads does not know of one that it was starting when Ctrl-C came.
        """
        self.stop()
        with self._lock:
            self._lock.wait_for(lambda: not self._working)

    @contextlib.contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """Have something called for the length of a ``with``, from another thread, where the build stops.

        :raises StoppedError: it has stopped already.
        """
        with self._lock:
            if self._stopped.is_set():
                raise StoppedError
            self._enders.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._enders.remove(end)
