"""Whether the driver works in a directory, why, and what would help."""

from __future__ import annotations

import os
from pathlib import Path

from overlaykit import linux
from overlaykit.driver import Capability, Probe

from . import _ioctl
from .plugin import CAPABILITIES, FOR_ROOT

__all__ = ["probe"]

_CAP_CHOWN, _CAP_SYS_ADMIN, _CAP_MKNOD = 0, 21, 27


def probe(place: Path | None) -> Probe:
    """Say whether the driver works at ``place``; a few look-ups, and nothing is changed."""
    if not linux.available():
        return Probe(False, "overlaykit's native module is missing", "reinstall overlaykit on Linux with a C compiler")
    if place is None:
        return Probe(False, "it keeps its snapshots in a directory", "give the store a path")
    try:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return Probe(False, f"{place}: {error.strerror}", "take a directory that can be opened")
    try:
        kind, options = _mounted(directory)
        if not _ioctl.is_btrfs(directory):
            return Probe(
                False,
                f"{place} is on {kind}, not on Btrfs",
                "put the store on Btrfs: mkfs.btrfs a disk, a partition or a file, mount it, and take a path in it",
            )
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return Probe(False, f"{place} is on a file system mounted read-only", "mount -o remount,rw it")
    finally:
        os.close(directory)
    if not os.access(place, os.W_OK | os.X_OK):
        return Probe(False, f"no permission to write in {place}", "take a directory of your own, or chown it")
    at_once = os.geteuid() == 0 or "user_subvol_rm_allowed" in options
    return Probe(
        True,
        "subvolumes of Btrfs",
        "" if at_once else "mount it with user_subvol_rm_allowed, and removed snapshots go at once",
        _offered(options),
        {"removal": "one ioctl" if at_once else "entry by entry: not mounted with user_subvol_rm_allowed"},
    )


def _mounted(directory: int) -> tuple[str, frozenset[str]]:
    """Return the type and the options of the file system that a directory is on, as its mount has them.

    By the mount's number and not the device's: each subvolume of Btrfs has a device number of its own.
    """
    about = Path(f"/proc/self/fdinfo/{directory}").read_text()
    number = next(line.split()[1] for line in about.splitlines() if line.startswith("mnt_id:"))
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split()
        if fields[0] == number:
            kind, _, options = fields[fields.index("-") + 1 :][:3]
            return kind, frozenset(options.split(","))
    return "a file system of another mount namespace", frozenset()


def _offered(options: frozenset[str]) -> frozenset[Capability]:
    offered = CAPABILITIES - FOR_ROOT
    if "noacl" in options:
        offered -= {Capability.ACL}
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    effective = int(status["CapEff"], 16)
    # Of a user namespace's root the kernel takes owners that are mapped there, but neither devices nor trusted.*.
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return offered
    for capability, number in (
        (Capability.OWNERSHIP, _CAP_CHOWN),
        (Capability.TRUSTED_XATTRS, _CAP_SYS_ADMIN),
        (Capability.DEVICE_NODES, _CAP_MKNOD),
    ):
        if effective >> number & 1:
            offered |= {capability}
    return offered
