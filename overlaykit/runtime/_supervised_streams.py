"""The standard streams of a container that somebody looks after."""

from __future__ import annotations

import os

from ._supervisor import Streams
from ._terminal import open_terminal
from ._values import Stdio

__all__ = ["close_all", "open_streams"]


def open_streams(
    terminal: bool, interactive: bool, size: tuple[int, int] | None = None
) -> tuple[Streams, Stdio, list[int]]:
    """Make the standard streams: the supervisor's ends, the container's, and what is closed once it has them.

    :param interactive: standard input stays open for who is attached.
    :param size: the terminal's rows and columns.
    """
    if terminal:
        master, slave = open_terminal(size)
        return Streams({master: "stdout"}, master, terminal=True), Stdio(slave, slave, slave), [slave]
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    error_read, error_write = os.pipe2(os.O_CLOEXEC)
    in_read, in_write = os.pipe2(os.O_CLOEXEC) if interactive else (-1, -1)
    for one in (out_read, error_read, in_write):
        if one >= 0:
            os.set_blocking(one, False)
    streams = Streams({out_read: "stdout", error_read: "stderr"}, in_write)
    return streams, Stdio(in_read, out_write, error_write), [in_read, out_write, error_write]


def close_all(*descriptors: int) -> None:
    """Close descriptors, each once; negative ones are none."""
    for one in {*descriptors} - {-1}:
        os.close(one)
