"""Answers what commands ask of a container that runs in the foreground of this process."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from .. import errors
from ._exec_spec import exec_spec
from ._ready import Readiness
from ._stop import stop_signal
from ._supervisor import Streams, Supervisor

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from ._logs import LogWriter
    from ._presence import Run

__all__ = ["Output", "serve"]


class Output:
    """What a container writes, on its way to the log and to who runs it.

    :param streams: this side's ends.
    :param user: the connection of who runs it, non-blocking.
    :param stop: the signal that stops it, if one was named, and the seconds until it is killed then.
    """

    def __init__(self, streams: Streams, log: LogWriter, user: socket.socket, stop: tuple[str | None, float]) -> None:
        self.streams = streams
        self.log = log
        self.user = user
        self.stop = stop

    def abandon(self) -> None:
        """Wait no more for who runs it: what has not been read by now is in the log."""
        with contextlib.suppress(OSError):  # it has been closed already
            self.user.shutdown(socket.SHUT_RDWR)


def serve(run: Run, listener: _socket.socket, ended: Callable[[], int]) -> None:
    """Look after a container until it has ended, and tell all who wait for that.

    :param listener: where clients come; it is closed.
    :param ended: records the end, and returns the exit code.
    """
    output = run.output
    with contextlib.closing(Readiness(run.process.pid, run.place, signals=False)) as ready:
        supervisor = Supervisor(
            run.process,
            Streams() if output is None else output.streams,
            None if output is None else output.log,
            socket.socket(fileno=listener.detach()),
            exec_spec=lambda asked, terminal: exec_spec(run.tree, run.options, run.config, asked, terminal),
            ready=ready,
            tree=run.tree,
            stubs=lambda: run.stubs.made,
            watch=os.dup(run.watch),
            signals=False,
            stop_signal=stop_signal(None if output is None else output.stop[0], run.config),
            stop_timeout=10.0 if output is None else output.stop[1],
        )
        if output is not None:
            supervisor.adopt(output.user)
        with contextlib.suppress(errors.RunError):  # whoever started it is told, and the end recorded
            supervisor.run()
    answer: dict[str, Any] = {"exit_code": ended()}
    supervisor.finish(answer)
