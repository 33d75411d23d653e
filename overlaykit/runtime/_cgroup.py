"""Control groups for runtimes that are told to leave them alone: what a container may open, and how much it may take.

With the first version of the interface (cgroups(7)) each controller has a tree of its own; the container's group is
made below this process's own one, so that the limits which hold here hold there too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import warnings

from .. import errors
from ._config import DEVICES

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._values import Limits

__all__ = ["ROOT", "Cgroup", "is_unified", "sweep"]

ROOT = "/sys/fs/cgroup"

_NAME = "overlaykit"
_PERIOD = 100_000
_STALE = 60.0
"""Seconds after which an empty group is one whose container was killed with all that could have removed it."""

_ALLOWED = [f"{kind} *:* m" for kind in ("c", "b")]
_ALLOWED += [f"{kind} {major}:{'*' if minor < 0 else minor} rwm" for kind, major, minor in DEVICES]


def is_unified() -> bool:
    """Tell whether all controllers are in one tree (version 2)."""
    return os.path.exists(f"{ROOT}/cgroup.controllers")


class Cgroup:
    """The groups of one container, one a controller.

    :ivar descriptors: of their ``cgroup.procs``.
    :ivar guards_devices: whether the container opens only the devices that every container has.
    """

    def __init__(self, id: str, limits: Limits, *, devices: bool = True) -> None:
        """Make the groups that can be made.

        :param id: the container's.
        :param limits: a limit for which there is no controller here is a :class:`RuntimeWarning`.
        :param devices: guard the devices too.
        :raises RunError: a limit is refused.
        """
        self.descriptors: list[int] = []
        self._paths: list[str] = []
        self.guards_devices = False
        own = _own_groups()
        try:
            device = self._make("devices", id, own) if devices else None
            if device is not None:
                self._write(device, "devices.deny", "a")
                for rule in _ALLOWED:
                    self._write(device, "devices.allow", rule)
                self.guards_devices = True
            for controller, name, values in _settings(limits):
                path = self._make(controller, id, own)
                if path is None:
                    warnings.warn(
                        f"the limit of {name} does not hold: there is no cgroup of the controller {controller} that "
                        f"can be written below {ROOT}",
                        RuntimeWarning,
                        stacklevel=4,
                    )
                    continue
                for file, value in values:
                    self._write(path, file, value)
        except BaseException:
            self.close()
            raise

    def _make(self, controller: str, id: str, own: dict[str, str]) -> str | None:
        base = f"{ROOT}/{controller}"
        above = f"{base}{own.get(controller, '')}".rstrip("/")
        parent = f"{above if os.path.isdir(above) else base}/{_NAME}"
        path = f"{parent}/{id}"
        try:
            try:
                os.mkdir(path)
            except FileNotFoundError:
                os.makedirs(parent, exist_ok=True)
                os.mkdir(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS):
                return None
            raise
        self._paths.append(path)
        self.descriptors.append(os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        sweep(parent)
        return path

    def _write(self, path: str, name: str, value: str) -> None:
        try:
            fd = os.open(f"{path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except FileNotFoundError:
            if not name.startswith("memory.memsw"):  # a kernel without an account of swap
                raise
        except OSError as error:
            raise errors.RunError(
                f"the kernel refuses {value!r} for {path}/{name} ({error.strerror}): ask for another limit"
            ) from error

    def close(self) -> None:
        """Remove the groups; what still runs in them keeps them until the next container comes after its end."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()
        for path in reversed(self._paths):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        self._paths.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _settings(limits: Limits) -> list[tuple[str, str, list[tuple[str, str]]]]:
    found = []
    if limits.memory is not None:
        value = str(limits.memory)
        # Docker gives as much swap again; a container that swaps is no slower than one that is killed.
        both = [("memory.limit_in_bytes", value), ("memory.memsw.limit_in_bytes", str(2 * limits.memory))]
        found.append(("memory", "memory", both))
    if limits.cpus is not None:
        quota = [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(int(limits.cpus * _PERIOD)))]
        found.append(("cpu", "processors", quota))
    if limits.pids is not None:
        found.append(("pids", "processes", [("pids.max", str(limits.pids))]))
    return found


def _own_groups() -> dict[str, str]:
    groups = {}
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                groups[name] = "" if path == "/" else path
    return groups


def sweep(parent: str) -> None:
    """Remove the groups below one that are empty and older than any that is just being filled."""
    old = time.time() - _STALE
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.is_dir() and entry.stat().st_mtime < old:
                with contextlib.suppress(OSError):  # EBUSY: it is in use
                    os.rmdir(entry.path)
