"""Work in a few threads: of :mod:`concurrent.futures` what a build needs, without the modules that comes with."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Task", "Tasks"]

_T = TypeVar("_T")


class Task(Generic[_T]):
    """Something that is done in a thread."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._ended = threading.Event()
        self._made: list[_T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._made.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait until it has ended, well or not."""
        self._ended.wait()

    def result(self) -> _T:
        """Wait for what it returns, or raise what it raised."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._made[0]


class Tasks:
    """Does what it is given, in its order; leaving the context manager waits for all of it.

    :param threads: how many do it, at the most.
    :param name: of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[Task[Any]] = deque()
        self._working = 0
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], _T]) -> Task[_T]:
        """Have something done."""
        task = Task(work)
        with self._lock:
            self._waiting.append(task)
            if self._working == self._most:
                return task
            self._working += 1
        thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}")
        self._threads.append(thread)
        thread.start()
        return task

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working -= 1
                    return
                task = self._waiting.popleft()
            task.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self._threads:
            # One whose start was cut off by Ctrl-C cannot be joined: whoever gave it work must see to that.
            with contextlib.suppress(RuntimeError):
                thread.join()
