"""``config.json`` of a bundle, by the OCI runtime specification 1.0, with Docker's defaults."""

from __future__ import annotations

import os

from ._privileges import Privileges
from ._values import BindMount, FileMount, TmpfsMount

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ._values import Limits, ProcessSpec, RunMount

__all__ = ["DEVICES", "MOUNT_POINTS", "Parts", "bundle_config", "process_section"]

#: What the file systems that every container has are mounted on, below its root.
MOUNT_POINTS = ("proc", "dev", "sys")

_MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_PERIOD = 100_000
"""Microseconds over which the kernel shares processors out, as Docker and Kubernetes set it."""

#: Devices that every container has, by type, major and minor number; the rest is denied. -1 is any.
DEVICES = [("c", 1, 3), ("c", 1, 5), ("c", 1, 7), ("c", 1, 8), ("c", 1, 9), ("c", 5, 0), ("c", 5, 1), ("c", 5, 2)]
DEVICES += [("c", 136, -1), ("c", 10, 200)]


class Parts:
    """The mounts of a bundle while its document is made: which descriptors and files it needs besides.

    :ivar sources: descriptors, in the order of ``mounts/N``.
    :ivar files: files, in the order of ``files/N``.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self.sources: list[int] = []
        self.files: list[FileMount] = []

    def mounts(self, wanted: Iterable[RunMount]) -> list[dict[str, Any]]:
        """Return entries of ``mounts``, in their order."""
        return [self._entry(one) for one in wanted]

    def _entry(self, mount: RunMount) -> dict[str, Any]:
        if isinstance(mount, TmpfsMount):
            options = ["nosuid", "nodev", *mount.options, f"mode={mount.mode:o}"]
            if mount.size is not None:
                options.append(f"size={mount.size}")
            return {"destination": mount.target, "type": "tmpfs", "source": "tmpfs", "options": options}
        if isinstance(mount, FileMount):
            self.files.append(mount)
            source, options = f"{self._place}/files/{len(self.files) - 1}", ["bind", "nosuid", "nodev"]
        elif isinstance(mount.source, int):
            self.sources.append(mount.source)
            source, options = f"{self._place}/mounts/{len(self.sources) - 1}", ["rbind", "nodev"]
        else:
            source, options = os.path.realpath(mount.source), ["rbind", "nodev"]
        options += ["rprivate", "ro" if _readonly(mount) else "rw"]
        return {"destination": mount.target, "type": "bind", "source": source, "options": options}


def _readonly(mount: BindMount | FileMount) -> bool:
    return mount.readonly


def process_section(process: ProcessSpec) -> dict[str, Any]:
    """Return ``process``: of a bundle, or of an exec."""
    names = list(process.capabilities)
    # As Docker has it: root has them; who is not root may gain them by set-uid programs and file capabilities.
    own = names if process.uid == 0 else []
    size = process.size if process.terminal else None
    return {
        "terminal": process.terminal,
        **({} if size is None else {"consoleSize": {"height": size[0], "width": size[1]}}),
        "user": {"uid": process.uid, "gid": process.gid, "additionalGids": list(process.groups)},
        "args": list(process.args),
        "env": [f"{name}={value}" for name, value in process.env.items()],
        "cwd": process.cwd,
        "capabilities": {"bounding": names, "effective": own, "permitted": own, "inheritable": [], "ambient": []},
        "noNewPrivileges": process.no_new_privileges,
    }


def bundle_config(
    process: ProcessSpec,
    mounts: Sequence[dict[str, Any]],
    *,
    place: str,
    hostname: str,
    own_network: bool,
    readonly: bool,
    privileges: Privileges,
    seccomp: dict[str, Any] | None,
    limits: Limits,
    cgroup: str,
    annotations: Mapping[str, str],
    unmasked: bool = False,
) -> dict[str, Any]:
    """Return the document.

    :param mounts: entries besides those that every container has.
    :param own_network: a network namespace of its own.
    :param privileges: of whoever starts it.
    :param cgroup: the path of its cgroup, for runtimes that make it; ``""`` for none.
    :param unmasked: hide and protect nothing of what the kernel shows.
    """
    namespaces = ["pid", "ipc", "uts", "mount", *(["network"] if own_network else [])]
    linux: dict[str, Any] = {
        "namespaces": [{"type": one} for one in namespaces],
        "maskedPaths": [] if unmasked else _MASKED,
        "readonlyPaths": [] if unmasked else _READONLY,
    }
    if seccomp is not None:
        linux["seccomp"] = seccomp
    if privileges is Privileges.ROOT:
        linux["resources"] = _resources(limits)
        if cgroup:
            linux["cgroupsPath"] = cgroup
    made: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process_section(process),
        "root": {"path": f"{place}/rootfs", "readonly": readonly},
        "hostname": hostname,
        "mounts": [*_basic_mounts(privileges, own_network), *mounts],
        "linux": linux,
    }
    if annotations:
        made["annotations"] = dict(annotations)
    return made


def _resources(limits: Limits) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    # Nodes may be made, as Docker has it; to open them is another matter.
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    rules += [
        {"allow": True, "type": kind, "major": major, "access": "rwm", **({} if minor < 0 else {"minor": minor})}
        for kind, major, minor in DEVICES
    ]
    made: dict[str, Any] = {"devices": rules}
    if limits.memory is not None:
        made["memory"] = {"limit": limits.memory}
    if limits.cpus is not None:
        made["cpu"] = {"quota": int(limits.cpus * _PERIOD), "period": _PERIOD}
    if limits.pids is not None:
        made["pids"] = {"limit": limits.pids}
    return made


def _basic_mounts(privileges: Privileges, own_network: bool) -> list[dict[str, Any]]:
    safe = ["nosuid", "noexec", "nodev"]
    # The group tty of every distribution; in a user namespace with one group there is none.
    tty = [] if privileges is Privileges.USER else ["gid=5"]
    sysfs: dict[str, Any] = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*safe, "ro"]}
    if privileges is not Privileges.ROOT and not own_network:
        # A new sysfs shows a network namespace, and is for who rules over that.
        sysfs = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rslave", *safe, "ro"]}
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": safe},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *tty],
        },
        sysfs,
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": safe},
        {
            "destination": "/dev/shm",  # noqa: S108 -- the container's
            "type": "tmpfs",
            "source": "shm",
            "options": [*safe, "mode=1777", "size=65536k"],
        },
    ]
