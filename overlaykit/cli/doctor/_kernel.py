"""Checks of the kernel: version, overlayfs, user namespaces, limits."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ._check import Check, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_kernel"]


def check_kernel() -> Iterator[Check]:
    """Yield the checks of the kernel; on another system than Linux one line that says so."""
    if sys.platform != "linux":
        yield Check(
            "kernel",
            Status.WARN,
            f"{platform.system()} is not Linux: of our drivers only memory works",
            "use Linux for the other drivers",
        )
        return
    yield _version()
    yield _overlay()
    yield _user_namespaces()
    yield _ids()
    yield _mounts()
    yield _descriptors()


def _version() -> Check:
    release = platform.release()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if version >= (6, 7):
        return Check("kernel", Status.OK, f"Linux {release}")
    if version >= (5, 11):
        return Check(
            "kernel",
            Status.WARN,
            f"Linux {release}: layers are given to overlayfs the old way",
            "Linux 6.7 has the new way",
        )
    return Check(
        "kernel", Status.BAD, f"Linux {release} is too old for overlayfs without root", "use Linux 5.11 or later"
    )


def _overlay() -> Check:
    if re.search(r"^(nodev)?\s+overlay$", _read("/proc/filesystems"), re.MULTILINE):
        return Check("overlayfs", Status.OK, "the kernel has it")
    module = Path("/lib/modules", platform.release(), "kernel/fs/overlayfs")
    if module.is_dir():
        return Check("overlayfs", Status.WARN, "its module is not loaded", "modprobe overlay, as root")
    return Check(
        "overlayfs",
        Status.WARN,
        "the kernel does not list it",
        "use a kernel with CONFIG_OVERLAY_FS, or the driver directory",
    )


def _user_namespaces() -> Check:
    if os.geteuid() == 0:
        return Check("user namespaces", Status.OK, "not needed: this is root")
    most = _read("/proc/sys/user/max_user_namespaces").strip()
    if most == "0":
        return Check("user namespaces", Status.BAD, "switched off", "sysctl user.max_user_namespaces=10000, as root")
    if _read("/proc/sys/kernel/unprivileged_userns_clone").strip() == "0":
        return Check(
            "user namespaces",
            Status.BAD,
            "not for ordinary users",
            "sysctl kernel.unprivileged_userns_clone=1, as root",
        )
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip() == "1":
        return Check(
            "user namespaces",
            Status.WARN,
            "AppArmor takes their privileges away unless a profile allows it",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, as root, or a profile for this program",
        )
    return Check("user namespaces", Status.OK, f"for ordinary users, at most {most or 'as many as they like'}")


def _ids() -> Check:
    from ...linux import missing_ids

    if os.geteuid() == 0:
        return Check("user ids", Status.OK, "all: this is root")
    missing = missing_ids()
    if missing is None:
        return Check("user ids", Status.OK, "those of /etc/subuid: containers have other users than root")
    what, _, fix = missing.partition(": ")
    return Check("user ids", Status.WARN, f"one, and so have containers: {what}", fix)


def _mounts() -> Check:
    most = _read("/proc/sys/fs/mount-max").strip()
    now = _read("/proc/self/mountinfo").count("\n")
    if not most:
        return Check("mount limit", Status.OK, f"{now} mounts here, limit unknown")
    if now > int(most) * 9 // 10:
        return Check(
            "mount limit", Status.WARN, f"{now} mounts of at most {most} here", "unmount some, or sysctl fs.mount-max"
        )
    return Check("mount limit", Status.OK, f"{now} mounts of at most {most} here")


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{_limit(soft)} open files a process, {_limit(hard)} at most"
    if soft != resource.RLIM_INFINITY and soft < 256:
        return Check("open files", Status.WARN, f"{text}: each open tree takes some", "ulimit -n 1024")
    return Check("open files", Status.OK, text)


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
