"""Terminals: a new one for a container, and the user's own while it shows that one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import termios
import tty

from .. import linux
from ._process import child_of

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PTY_SIZE", "open_terminal", "raw_terminal", "resize_inside", "set_size", "size_of"]

PTY_SIZE = (24, 80)
"""Rows and columns of a terminal that nobody looks at: a detached container's."""


def open_terminal(size: tuple[int, int] | None = None) -> tuple[int, int]:
    """Make a terminal.

    :param size: rows and columns.
    :returns: the master, non-blocking, and the side that programs have; both closed on exec.
    """
    master, slave = os.openpty()
    try:
        # The runtime makes the container's own; this one carries bytes, from the first on, and means nothing by them.
        tty.setraw(slave)
        set_size(master, *(size or PTY_SIZE))
        os.set_blocking(master, False)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def size_of(descriptor: int) -> tuple[int, int] | None:
    """Return a terminal's rows and columns; ``None`` where it is none, or does not know."""
    try:
        rows, columns = os.get_terminal_size(descriptor)[::-1]
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


def set_size(descriptor: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; who runs in its foreground gets SIGWINCH (ioctl_tty(2)).

    :raises ValueError: that is no size.
    """
    if not (0 < rows <= _MOST and 0 < columns <= _MOST):
        raise ValueError(f"{columns} by {rows} is no size of a terminal")
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def resize_inside(pid: int, rows: int, columns: int) -> None:
    """Tell the terminal of a program in a container its size.

    The runtime stands between that terminal and the one that it was given, and not every runtime looks at the size of
    the latter again: crun 1.8 passes SIGWINCH on, and nothing else.

    :param pid: the process of this machine that stands for the program (:attr:`RunningProcess.pid`).
    """
    program = child_of(pid)
    if program is not None:
        # It may have ended, or never had a terminal.
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{program}/stat", "rb") as file:
                number = int(file.read().rpartition(b")")[2].split()[4])
            root = os.open(f"/proc/{program}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Whatever the container has made of its /dev: nothing but this terminal is opened.
                flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
                resolve = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_SYMLINKS
                terminal = linux.openat2(root, f"dev/pts/{os.minor(number)}", flags, resolve=resolve)
            finally:
                os.close(root)
            try:
                if os.fstat(terminal).st_rdev == number:
                    set_size(terminal, rows, columns)
                    return
            finally:
                os.close(terminal)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGWINCH)


_MOST = 0xFFFF


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Have a terminal pass every key on as it is, and set it back at the end, whatever ends it.

    A descriptor that is no terminal is left alone.
    """
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error:
        yield
        return
    try:
        # What was typed ahead is for the program that is about to start.
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        # A terminal that hung up cannot be set.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
