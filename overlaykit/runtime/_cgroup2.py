"""Control groups of the second version of the interface: one tree has all controllers (cgroup-v2.rst)."""

from __future__ import annotations

import contextlib
import os
import warnings

from .. import errors, linux
from ._cgroup import ROOT
from ._config import DEVICES

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._values import Limits

__all__ = ["UnifiedCgroup", "limit_files"]

_NAME = "overlaykit"
_PERIOD = 100_000

# Nodes may be made, as Docker has it; to open them is another matter.
_ALLOWED = [(kind, -1, -1, "m") for kind in ("c", "b")]
_ALLOWED += [(kind, major, minor, "rwm") for kind, major, minor in DEVICES]


class UnifiedCgroup:
    """The group of one container, ``overlaykit/ID``.

    :ivar descriptors: of its ``cgroup.procs``.
    :ivar guards_devices: whether the container opens only the devices that every container has.
    """

    def __init__(self, id: str, limits: Limits, *, root: str = ROOT, devices: bool = True) -> None:
        """Make it.

        :param id: the container's.
        :param limits: a limit for which there is no controller here is a :class:`RuntimeWarning`.
        :param root: where the tree is mounted, or a group of it that is the caller's.
        :param devices: guard the devices too, which takes root.
        :raises RunError: a limit is refused.
        """
        self.descriptors: list[int] = []
        self.guards_devices = False
        self._path: str | None = None
        wanted = limit_files(limits)
        parent = f"{root}/{_NAME}"
        path = f"{parent}/{id}"
        try:
            with contextlib.suppress(OSError):  # what is missing for it is found below, one by one
                _make(parent)
                _enable(root, wanted)
                _enable(parent, wanted)
                _make(path)
                self._path = path
                self.descriptors.append(os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
                self.guards_devices = devices and _guard(path)
            for controller, (name, values) in wanted.items():
                if self._path is None or not os.path.exists(f"{path}/{values[0][0]}"):
                    warnings.warn(
                        f"the limit of {name} does not hold: the controller {controller} cannot be used below {parent} "
                        "(in a container, or without root)",
                        RuntimeWarning,
                        stacklevel=4,
                    )
                    continue
                for file, value in values:
                    _write(path, file, value)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove it; what still runs in it keeps it."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self._path)
            self._path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def limit_files(limits: Limits) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return what is written for limits: by controller what is limited, and the files with their values."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    if limits.memory is not None:
        # As much swap again, as Docker gives it.
        found["memory"] = "memory", [("memory.max", str(limits.memory)), ("memory.swap.max", str(limits.memory))]
    if limits.cpus is not None:
        found["cpu"] = "processors", [("cpu.max", f"{int(limits.cpus * _PERIOD)} {_PERIOD}")]
    if limits.pids is not None:
        found["pids"] = "processes", [("pids.max", str(limits.pids))]
    return found


def _guard(path: str) -> bool:
    """Tell whether the kernel takes a guard; what it is for, a container does without where it does not."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        linux.guard_devices(directory, _ALLOWED)
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def _make(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)


def _enable(path: str, controllers: dict[str, tuple[str, list[tuple[str, str]]]]) -> None:
    """Hand controllers on to the groups below; a group with processes of its own, other than the root, may not."""
    with open(f"{path}/cgroup.subtree_control", encoding="utf-8") as file:
        enabled = file.read().split()
    for one in controllers:
        if one not in enabled:
            with contextlib.suppress(OSError):
                _write_file(f"{path}/cgroup.subtree_control", f"+{one}")


def _write(path: str, name: str, value: str) -> None:
    try:
        _write_file(f"{path}/{name}", value)
    except FileNotFoundError:
        if name != "memory.swap.max":  # a kernel without an account of swap
            raise
    except OSError as error:
        raise errors.RunError(
            f"the kernel refuses {value!r} for {path}/{name} ({error.strerror}): ask for another limit"
        ) from error


def _write_file(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
