"""Processes that are killed at a step of what they do."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STEPS", "killed_at", "steps_of"]

STEPS = frozenset(
    "execute executemany rollback rename replace mkdir rmdir unlink open write pwrite fsync flock link "  # noqa: SIM905
    "symlink mknod ftruncate truncate fchmod chmod chown utime setxattr removexattr sendfile copy_file_range".split()
)
"""Calls after which something may be different on a disk."""


class _Killer:
    """Kills this process at its n-th step: a call of SQLite, of the system, of the native module, in any thread."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.done = 0

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event == "c_call" and (argument.__name__ in STEPS or argument.__name__.startswith("ok_")):
            self.done += 1
            if self.done == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Run in a child that is killed at a step; tell whether it came so far."""
    return _run(step, action)[0]


def steps_of(action: Callable[[], object]) -> int:
    """Run in a child and return how many steps it took."""
    killed, steps = _run(sys.maxsize, action)
    assert not killed
    return steps


def _run(step: int, action: Callable[[], object]) -> tuple[bool, int]:
    output, end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            killer = _Killer(step)
            threading.setprofile(killer)
            sys.setprofile(killer)
            action()
            sys.setprofile(None)
            os.write(end, struct.pack("q", killer.done))
            code = 0
        except BaseException:
            sys.setprofile(None)
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    os.close(end)
    with open(output, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the child failed with status {status}"
    return status != 0, struct.unpack("q", told)[0] if told else 0
