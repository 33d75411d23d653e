"""One more program in a container, as whoever started it has it."""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
import threading

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Self

    from ._control import Connection

__all__ = ["ExecSession"]

_KILLED = 128 + signal.SIGKILL


class ExecSession:
    """One more program in a container. Leaving it as a context manager kills what still runs.

    :param pid: the process of this machine that stands for it.
    """

    def __init__(self, connection: Connection, pid: int, name: str) -> None:
        self._connection = connection
        self._name = name
        self._lock = threading.Lock()
        self._failure: errors.OverlaykitError | None = None
        self.pid = pid
        self.returncode: int | None = None

    def fileno(self) -> int:
        """Return a descriptor that can be read from once it has ended."""
        return self._connection.socket.fileno()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        :returns: its exit code.
        :raises subprocess.TimeoutExpired: it still runs.
        :raises RunError: it could not be run, or the container has ended.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self.returncode is None:
                if timeout is not None and not select.select([self.fileno()], [], [], max(0.0, timeout))[0]:
                    raise subprocess.TimeoutExpired([self._name], timeout)
                self.returncode = self._receive()
            return self.returncode

    def _receive(self) -> int:
        try:
            answer = self._connection.receive()
        except errors.RunError as error:
            self._failure = error
            raise
        # A supervisor that was killed took the container along.
        return _KILLED if answer is None else int(answer["exit_code"])

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._send(f"s{number}".encode("ascii"))

    def kill(self) -> None:
        """Kill it."""
        self.signal(signal.SIGKILL)

    def resize(self, rows: int, columns: int) -> None:
        """Tell it that its terminal has another size now."""
        self._send(f"w{rows} {columns}".encode("ascii"))

    def close(self) -> None:
        """Let go of it; what still runs, and is not detached, is killed."""
        self._connection.close()

    def _send(self, packet: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.socket.send(packet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
