"""A container's process on this command's terminal."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runtime import ExecSession, RunningProcess, Stdio

__all__ = ["on_terminal"]


def on_terminal(begin: Callable[[Stdio], RunningProcess | ExecSession], *, interactive: bool) -> int:
    """Start a process on a new terminal, and show that until the process ends.

    :param begin: starts it with these streams.
    :param interactive: what is typed goes to it: every key, where standard input is a terminal.
    :returns: its exit code.
    :raises OSError: it cannot be started.
    """
    from ..runtime import ExecSession, PtyEnd, Relay, Stdio, open_terminal, resize_inside, size_of

    with contextlib.ExitStack() as held:
        master, slave = open_terminal(size_of(1) or size_of(0))
        held.callback(os.close, master)
        try:
            process: RunningProcess | ExecSession = begin(Stdio(slave, slave, slave))
        finally:
            # Its end is to be seen here.
            os.close(slave)
        held.enter_context(process)
        if isinstance(process, ExecSession):
            ended, resize = process.fileno(), process.resize
        else:
            ended = os.pidfd_open(process.pid)
            held.callback(os.close, ended)
            resize = functools.partial(resize_inside, process.pid)
        far = PtyEnd(master, resize, process.signal)
        Relay(far, stdin=0 if interactive else None, terminal=True).run(ended)
        return process.wait()
