"""When a container can be asked something: crun and runc answer for one only after they have recorded it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

__all__ = ["READY_SIGNAL", "Readiness"]

READY_SIGNAL = signal.SIGIO
"""What the kernel sends when a directory changes (F_NOTIFY in fcntl(2)); the supervisor's loop catches it."""

_RECORDS = {"status", "state.json"}
"""The record of a container: crun's, runc's."""

_CHANGES = fcntl.DN_CREATE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT


class Readiness:
    """Watches the directory in which a runtime records its container, in the mount namespace of the container alone.

    :param pid: the process that stands for the container.
    :param place: the bundle's.
    :param signals: :data:`READY_SIGNAL` comes when the answer may have changed; without, nothing tells.
    """

    def __init__(self, pid: int, place: str | os.PathLike[str], *, signals: bool = True) -> None:
        self._signals = signals
        self._top = f"/proc/{pid}/root{os.path.realpath(place)}/state"
        self._watched: dict[str, int] = {}
        # A runner without such a directory is one that returns only when the container runs.
        self._over = not self._watch(self._top)

    def __call__(self) -> bool:
        """Tell whether it can be asked."""
        if not self._over and self._recorded():
            self.close()
        return self._over

    def close(self) -> None:
        """Look no more: whatever it was is over."""
        self._over = True
        while self._watched:
            os.close(self._watched.popitem()[1])

    def _recorded(self) -> bool:
        for name in self._list(self._top):
            directory = f"{self._top}/{name}"
            if directory not in self._watched:
                self._watch(directory)
            if _RECORDS & {*self._list(directory)}:
                return True
        return False

    def _watch(self, directory: str) -> bool:
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if self._signals:
                fcntl.fcntl(descriptor, fcntl.F_NOTIFY, _CHANGES)
        except OSError:  # a kernel without it
            os.close(descriptor)
            return False
        self._watched[directory] = descriptor
        return True

    @staticmethod
    def _list(directory: str) -> list[str]:
        with contextlib.suppress(OSError):  # it is gone, with the container
            return os.listdir(directory)
        return []
