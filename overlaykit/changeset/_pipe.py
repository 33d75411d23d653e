"""Writing to a pipe whose reader may never come, from a thread that can be told to give up."""

from __future__ import annotations

import os
import select
import stat
from typing import Final

from ._channel import Closed

__all__ = ["PipeWriter", "pipe_writer"]

_PIECE: Final = 4096
"""What fits into a pipe that poll(2) says is writable: pipe(7), one page."""

_LOOK: Final = 200
"""Milliseconds: a signal between Python's last look for one and the wait is seen when that ends."""


class PipeWriter:
    """Writes to a pipe, a socket or a terminal until it is stopped.

    A write that blocks is not ended by closing the file, nor by a signal that Python's main thread gets.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stop, self._stopping = os.pipe()

    def write(self, data: memoryview) -> int:
        """Write some bytes, waiting for room.

        :returns: how many.
        :raises Closed: it was stopped.
        :raises OSError: writing failed.
        """
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._descriptor, select.POLLOUT)
        done = 0
        while done < len(data):
            ready = [descriptor for descriptor, _ in poll.poll(_LOOK)]
            if self._stop in ready:
                raise Closed
            if ready:
                done += os.write(self._descriptor, data[done : done + _PIECE])
        return done

    def stop(self) -> None:
        """Let a write that is under way raise, and each that comes."""
        os.write(self._stopping, b"\0")

    def close(self) -> None:
        """Give the descriptors back, once nobody writes."""
        os.close(self._stop)
        os.close(self._stopping)


def pipe_writer(out: object) -> PipeWriter | None:
    """Return a writer for what a file writes to, ``None`` where writing to it cannot block for ever.

    :param out: a file, or anything else with ``write``; what it holds back is written out first.
    """
    if not hasattr(out, "fileno") or not hasattr(out, "flush"):
        return None
    try:
        descriptor: int = out.fileno()
    except OSError:  # io.UnsupportedOperation: a file in memory
        return None
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
        return None
    out.flush()
    return PipeWriter(descriptor)
