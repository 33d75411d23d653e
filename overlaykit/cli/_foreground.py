"""A container's process in the foreground: signals go to it, and its exit code is the command's."""

from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from ..runtime import ExecSession, RunningProcess

__all__ = ["follow"]

_FORWARDED = tuple(
    getattr(signal, f"SIG{name}")
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "CONT", "WINCH", "ALRM", "URG")
)


def follow(begin: Callable[[], RunningProcess | ExecSession]) -> int:
    """Start a process and wait for it, with the signals that this process gets passed on.

    One that would end this process, and that the program neither catches nor ignores, ends the program though it is the
    first of its namespace, for which the kernel drops such signals: Ctrl-C works. A second Ctrl-C kills.

    :returns: its exit code.
    :raises OSError: it cannot be started.
    """
    waiting: list[int] = []
    running: RunningProcess | ExecSession | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if running is None:
            waiting.append(number)
        elif number in waiting and number in (signal.SIGINT, signal.SIGTERM):
            running.kill()
        else:
            waiting.append(number)
            running.signal(number)

    with _handled(pass_on), begin() as process:
        running = process
        for number in waiting:
            process.signal(number)
        return process.wait()


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {}
    for number in _FORWARDED:
        # What the shell that started this ignores, as nohup does, goes on being ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
