"""What the first process of a namespace has to say on a signal: the kernel drops what it does not care for."""

from __future__ import annotations

import signal
import time

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["deliver"]

_BLOCKABLE = 0x7FFFFFFF & ~(1 << signal.SIGKILL - 1 | 1 << signal.SIGSTOP - 1)
"""The signals that have names, as a mask, but for those that nobody can block."""

_BUSY_SECONDS = 1.0
"""How long a program that blocks all signals may go on working before that counts as its will."""

_PENDING_SECONDS = 0.1
"""How long a signal may wait for the end of the system call in which a process is, as execve(2) is one."""

_PROGRAMS = 50
"""How many programs that a process becomes in a row are told."""

_STARTSTACK = 28
"""The number of a field of ``/proc/PID/stat``, counted from 1 (proc_pid_stat(5))."""


def _takes_signal(pid: int, number: int) -> bool:
    """Tell whether a process has something to say on a signal: it catches, ignores or blocks it.

    A C library blocks all signals while it makes a process or a thread. That is no interest in one, and the kernel
    drops what came meanwhile: a program that works is asked again. One that blocks them to wait for them sleeps.
    """
    bit = 1 << number - 1
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        state = _signal_state(pid)
        if state is None:
            return True  # it has ended meanwhile
        handled, blocked, _, asleep = state
        if handled & bit:
            return True
        if not blocked & bit:
            return False
        if asleep or blocked & _BLOCKABLE != _BLOCKABLE or time.monotonic() > until:
            return True
        time.sleep(0.001)


def deliver(pid: int, number: int, send: Callable[[], None]) -> bool:
    """Send a signal to a process unless the kernel would drop it.

    One that is becoming another program has lost its handlers before the kernel looks for them, and nobody sees whether
    it heard of the signal before: the new program is asked, and told, as well.

    :returns: whether it was sent; if not, the process does not care for it.
    """
    for _ in range(_PROGRAMS):
        mark = _program_mark(pid)
        if not _takes_signal(pid, number):
            return False
        send()
        until = time.monotonic() + _PENDING_SECONDS
        while _is_pending(pid, number) and time.monotonic() < until:
            time.sleep(0.001)
        if _program_mark(pid) == mark:
            break
    return True


def _program_mark(pid: int) -> bytes:
    """Return what becomes another value when a process becomes another program by execve(2).

    :returns: where its stack begins, which is random for each program; always the same where that is not to be seen,
        as for one that another user may not trace.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return b""  # it has ended
    return fields[_STARTSTACK - 3]


def _signal_state(pid: int) -> tuple[int, int, int, bool] | None:
    """Return as masks what it takes by a handler or ignores, what it blocks, what waits; and whether it sleeps."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file if line.startswith((b"State", b"Sig", b"ShdPnd")))
    except OSError:
        return None  # it has ended
    masks = {name: int(text, 16) for name, text in lines.items() if name not in (b"State", b"SigQ")}
    return (
        masks[b"SigCgt"] | masks[b"SigIgn"],
        masks[b"SigBlk"],
        masks[b"SigPnd"] | masks[b"ShdPnd"],
        lines[b"State"].strip().startswith(b"S"),
    )


def _is_pending(pid: int, number: int) -> bool:
    state = _signal_state(pid)
    return state is not None and bool(state[2] & ~state[1] & 1 << number - 1)
