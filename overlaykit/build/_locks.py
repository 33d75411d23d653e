"""One at a time does a step: whoever waited finds what the other one made."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

from ..store import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["KeyLocks"]

_TURN = 0.02
"""Seconds between two looks at a lock of another process."""


class _TakenError(Exception):
    """Somebody else has the lock."""


class KeyLocks:
    """Locks by name between threads and processes; a dying process lets go of its.

    :param directory: where lock files are made, and removed again; ``None`` for a store without a path.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._condition = threading.Condition()
        self._held: set[str] = set()

    @contextlib.contextmanager
    def hold(self, name: str, check: Callable[[], object]) -> Iterator[None]:
        """Have a lock for the length of a ``with``.

        :param name: fits into a file name.
        :param check: called while it waits for others; what it raises ends the waiting.
        """
        with self._condition:
            while name in self._held:
                self._condition.wait(_TURN * 5)
                check()
            self._held.add(name)
        try:
            with self._file(name, check):
                yield
        finally:
            with self._condition:
                self._held.discard(name)
                self._condition.notify_all()

    def try_hold(self, name: str) -> contextlib.ExitStack | None:
        """Have a lock until the stack is closed, or return ``None`` where somebody else has it."""

        def give_up() -> None:
            raise _TakenError

        with contextlib.ExitStack() as stack, contextlib.suppress(_TakenError):
            stack.enter_context(self.hold(name, give_up))
            return stack.pop_all()
        return None

    @contextlib.contextmanager
    def _file(self, name: str, check: Callable[[], object]) -> Iterator[None]:
        if self._directory is None:
            yield
            return
        path = self._directory / name
        descriptor = self._take(path, check)
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            # Closing alone would not do: a child that was forked meanwhile shares the open file.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _take(self, path: Path, check: Callable[[], object]) -> int:
        while True:
            with typed(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            taken = False
            try:
                self._lock(descriptor, check)
                # Removed by who had it before: then this is not the file of that name any more.
                with contextlib.suppress(FileNotFoundError):
                    taken = os.path.samestat(os.fstat(descriptor), os.stat(path))
            finally:
                if not taken:
                    os.close(descriptor)
            if taken:
                return descriptor

    @staticmethod
    def _lock(descriptor: int, check: Callable[[], object]) -> None:
        waiting = threading.Event()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                check()
                waiting.wait(_TURN)
