"""Whether the driver works in a directory, why, and what would help."""

from __future__ import annotations

import os
from pathlib import Path

from overlaykit.directories import open_directory, probe_directory
from overlaykit.driver import Probe

from . import _ioctl
from .plugin import ALWAYS, CAPABILITIES

__all__ = ["probe"]


def probe(place: Path | None) -> Probe:
    """Say whether the driver works at ``place``; a few look-ups, and nothing is changed."""
    found = probe_directory(place)
    if not found.usable or place is None:
        return found
    with open_directory(place.resolve()) as directory:
        kind, options = _mounted(directory)
        if not _ioctl.is_btrfs(directory):
            return Probe(
                False,
                f"{place} is on {kind}, not on Btrfs",
                "put the store on Btrfs: mkfs.btrfs a disk, a partition or a file, mount it, and take a path in it",
            )
    at_once = os.geteuid() == 0 or "user_subvol_rm_allowed" in options
    return Probe(
        True,
        "subvolumes of Btrfs",
        "" if at_once else "mount it with user_subvol_rm_allowed, and removed snapshots go at once",
        found.capabilities & CAPABILITIES | ALWAYS,
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
