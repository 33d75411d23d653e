"""The processes of a container, as the machine has them."""

from __future__ import annotations

import os
import pwd
import time

from .. import errors
from ..values import value_class
from ._process import child_of

__all__ = ["ProcessInfo", "first_process", "list_processes", "processes_in"]


@value_class
class ProcessInfo:
    """One process of a container; the numbers are those of this machine.

    :param user: its user's name, or number where there is none of this name here.
    :param started: seconds since the epoch.
    :param terminal: as ``pts/0``; ``""`` for none.
    :param processor: seconds of a processor that it has used.
    :param command: its arguments, or in brackets its name.
    """

    user: str
    pid: int
    parent: int
    started: float
    terminal: str
    processor: float
    command: str


def first_process(pid: int) -> int:
    """Return the first process of a container.

    :param pid: the process of this machine that stands for it (:attr:`RunningProcess.pid`).
    :raises RunError: it has ended.
    """
    found = child_of(pid)
    if found is None:
        raise errors.RunError("the container is not running: it has just ended")
    return found


def processes_in(first: int) -> list[int]:
    """Return all processes that are in the same process namespace, in the order of their numbers.

    :param first: the container's first process.
    """
    namespace = _namespace(first)
    numbers = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    return [pid for pid in numbers if namespace and _namespace(pid) == namespace]


def list_processes(pid: int) -> list[ProcessInfo]:
    """Return what runs in a container.

    :param pid: the process of this machine that stands for its first one.
    :raises RunError: it has ended.
    """
    found = []
    for one in processes_in(first_process(pid)):
        try:
            found.append(_describe(one))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:  # it has ended, or is somebody else's
        return ""


def _describe(pid: int) -> ProcessInfo:
    with open(f"/proc/{pid}/stat", "rb") as file:
        head, _, rest = file.read().rpartition(b")")
    fields = rest.split()
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().rstrip(b"\0").split(b"\0")
    uid = os.stat(f"/proc/{pid}").st_uid
    tick = os.sysconf("SC_CLK_TCK")
    text = b" ".join(words) or b"[" + head.partition(b"(")[2] + b"]"
    return ProcessInfo(
        _user(uid),
        pid,
        int(fields[1]),
        time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[19]) / tick,
        _terminal(int(fields[4])),
        (int(fields[11]) + int(fields[12])) / tick,
        text.decode("utf-8", "surrogateescape"),
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _terminal(number: int) -> str:
    if not number:
        return ""
    major, minor = os.major(number), os.minor(number)
    # 136 to 143: Unix98 terminals (Documentation/admin-guide/devices.txt).
    return f"pts/{(major - 136) * 256 + minor}" if 136 <= major <= 143 else f"{major}:{minor}"
