"""Stopping all processes of a container where they are, and letting them go on (cgroup-v2.rst, freezer-subsystem.rst).

A process is frozen by the kernel and does not see it, other than with SIGSTOP. What a runtime made no cgroup for, or
one without a freezer, is moved into one that is made here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from .. import errors
from ._cgroup import ROOT, is_unified
from ._inside import first_process, processes_in

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["freeze", "frozen", "held_still", "thaw"]

_NAME = "overlaykit"
_SECONDS = 10.0
"""Until it is given up: a process that waits for a disk or a network file system cannot be frozen."""


class _Group:
    """A cgroup of a container that can be frozen.

    :param path: its directory.
    :param unified: it is one of the second version of the interface.
    """

    def __init__(self, path: str, *, unified: bool) -> None:
        self.path = path
        self._file = f"{path}/{'cgroup.freeze' if unified else 'freezer.state'}"
        self._words = ("1", "0") if unified else ("FROZEN", "THAWED")
        self._unified = unified

    @property
    def usable(self) -> bool:
        return os.path.exists(self._file)

    def frozen(self) -> bool:
        with contextlib.suppress(OSError), open(self._file, encoding="ascii") as file:
            return file.read().strip() not in ("0", "THAWED")
        return False

    def freeze(self) -> None:
        self._write(self._words[0])
        end = time.monotonic() + _SECONDS
        with open(f"{self.path}/cgroup.events" if self._unified else self._file, encoding="ascii") as file:
            poll = select.poll()
            poll.register(file, select.POLLPRI | select.POLLERR)
            while ("frozen 1" if self._unified else "FROZEN") not in file.read().splitlines():
                if time.monotonic() >= end:
                    self.thaw()
                    raise errors.RunError(
                        f"the container cannot be paused: one of its processes has not stopped for {_SECONDS:g} s, as "
                        "one that waits for a disk does: try again"
                    )
                # The first version of the interface tells nobody.
                poll.poll(1000) if self._unified else time.sleep(0.01)
                file.seek(0)

    def thaw(self) -> None:
        self._write(self._words[1])

    def take(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            _write(f"{self.path}/cgroup.procs", str(pid))

    def _write(self, word: str) -> None:
        _write(self._file, word)


def freeze(pid: int) -> None:
    """Stop all processes of a container.

    :param pid: the process of this machine that stands for its first one.
    :raises UnsupportedError: there is no freezer for it here.
    :raises RunError: it has ended, or one of its processes cannot be stopped.
    """
    first = first_process(pid)
    try:
        group = _group(first) or _gather(first)
        group.freeze()
    except OSError as error:
        if isinstance(error, errors.OverlaykitError):
            raise
        raise errors.UnsupportedError(
            f"the container cannot be paused: its cgroup cannot be frozen ({error.strerror}); it takes root, and "
            f"cgroups below {ROOT} that can be written"
        ) from error


def thaw(pid: int) -> bool:
    """Let a container that was stopped go on.

    :returns: whether it was stopped.
    """
    group = _group(first_process(pid))
    if group is None or not group.frozen():
        return False
    group.thaw()
    return True


def frozen(pid: int) -> bool:
    """Tell whether a container is stopped: by whom does not matter, nor what was recorded."""
    with contextlib.suppress(errors.RunError):
        group = _group(first_process(pid))
        return group is not None and group.frozen()
    return False


@contextlib.contextmanager
def held_still(pid: int) -> Iterator[None]:
    """Stop a container for as long as the body takes: by SIGSTOP where there is no freezer for it.

    One that is stopped already stays so.
    """
    if frozen(pid):
        yield
        return
    try:
        freeze(pid)
    except errors.UnsupportedError:
        with _signalled(first_process(pid)):
            yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(errors.RunError, FileNotFoundError):  # it was killed meanwhile
            thaw(pid)


@contextlib.contextmanager
def _signalled(first: int) -> Iterator[None]:
    stopped: list[int] = []
    try:
        # Again, for those that were started by one that had not been stopped yet.
        while found := [pid for pid in processes_in(first) if pid not in stopped and not _is_stopped(pid)]:
            for pid in found:
                stopped.append(pid)
                _send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            _send(pid, signal.SIGCONT)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t", b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def _group(first: int) -> _Group | None:
    """Return the cgroup that the container alone has, and that can be frozen."""
    for line in _groups_of(first):
        _, controllers, path = line.split(":", 2)
        # A group of somebody else's is not to be frozen: a container without one of its own is in its caller's.
        if os.path.basename(os.path.dirname(path)) != _NAME:
            continue
        if not controllers:
            found = _Group(f"{_unified_root()}{path}", unified=True)
        elif "freezer" in controllers.split(","):
            found = _Group(f"{ROOT}/freezer{path}", unified=False)
        else:
            continue
        if found.usable:
            return found
    return None


def _gather(first: int) -> _Group:
    """Move all processes of a container into a cgroup that can be frozen."""
    unified = os.path.exists(f"{_unified_root()}/cgroup.procs")
    root = _unified_root() if unified else f"{ROOT}/freezer"
    group = _Group(f"{root}/{_NAME}/pause-{first}", unified=unified)
    os.makedirs(group.path, exist_ok=True)
    if not group.usable:
        os.rmdir(group.path)
        raise errors.UnsupportedError(
            "the container cannot be paused: this kernel has no freezer for cgroups (Linux 5.2 has, and before it the "
            f"controller freezer below {ROOT})"
        )
    inside: set[int] = set()
    while missing := [pid for pid in processes_in(first) if pid not in inside]:
        for pid in missing:
            group.take(pid)
            inside.add(pid)
    return group


def _unified_root() -> str:
    return ROOT if is_unified() else f"{ROOT}/unified"


def _groups_of(pid: int) -> list[str]:
    """Return the lines of cgroups(7), those of the second version first: it alone lets what is frozen be killed."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return sorted(file.read().splitlines(), key=lambda line: not line.startswith("0::"))
    except (FileNotFoundError, ProcessLookupError):
        return []


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
