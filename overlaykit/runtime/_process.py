"""A process of this machine that stands for one in a container."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["ENDING", "HostProcess", "child_of", "kill_children"]

ENDING = frozenset(
    getattr(signal, f"SIG{name}") for name in ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "VTALRM", "PROF")
)
"""Signals that end a program that does not care for them (signal(7)) and that somebody sends."""


def child_of(pid: int) -> int | None:
    """Return the first child of a process; ``None`` where it has none, or has ended."""
    return next(iter(_children(pid)), None)


class HostProcess:
    """A child of this process, waited for without polling. Its methods may be called from several threads.

    :param pid: its process id.
    :param ended: called once with its exit code when it has been waited for; returns the one to tell, or raises.
    """

    def __init__(self, pid: int, ended: Callable[[int], int] | None = None) -> None:
        self._pid = pid
        self._ended = ended
        self._returncode: int | None = None
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._fd = os.pidfd_open(pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """See :attr:`RunningProcess.returncode`."""
        if self._returncode is None and self._ready(0):
            self._collect()
        return self._returncode

    def wait(self, timeout: float | None = None) -> int:
        """See :meth:`RunningProcess.wait`."""
        if self._returncode is None:
            if not self._ready(timeout):
                import subprocess

                raise subprocess.TimeoutExpired([str(self._pid)], timeout or 0.0)
            self._collect()
        if self._failure is not None:
            raise self._failure
        assert self._returncode is not None
        return self._returncode

    def _ready(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def _collect(self) -> None:
        with self._lock:
            if self._returncode is not None:
                return
            status = os.waitpid(self._pid, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            if self._ended is not None:
                try:
                    code = self._ended(code)
                except OSError as error:
                    self._failure = error
            self._returncode = code

    def signal(self, number: int) -> None:
        """See :meth:`RunningProcess.signal`."""
        self._send(number)

    def _send(self, number: int) -> None:
        with self._lock:
            if self._returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        """See :meth:`RunningProcess.kill`."""
        self._send(signal.SIGKILL)

    def close(self) -> None:
        """See :meth:`RunningProcess.close`."""
        if self._fd < 0:
            return
        if self._returncode is None:
            self.kill()
            self._collect()
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def kill_children(pid: int) -> bool:
    """Kill the children of a process.

    :returns: whether there was one.
    """
    found = False
    for child in _children(pid):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(child)
            try:
                # What has this number now is still its child, and not another process that got it meanwhile.
                if child in _children(pid):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    found = True
            finally:
                os.close(descriptor)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    return found
