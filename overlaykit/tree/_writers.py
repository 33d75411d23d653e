"""Who writes to a mount."""

from __future__ import annotations

import os
import re

__all__ = ["is_detached", "writers"]


def _mount_of(fdinfo: str) -> tuple[int, int]:
    """Return the mount id and the open flags that a file of ``/proc/PID/fdinfo`` states."""
    with open(fdinfo, encoding="ascii", errors="replace") as file:
        text = file.read()
    mount = re.search(r"^mnt_id:\s*(\d+)", text, re.MULTILINE)
    flags = re.search(r"^flags:\s*([0-7]+)", text, re.MULTILINE)
    return int(mount[1]) if mount else -1, int(flags[1], 8) if flags else 0


def is_detached(fd: int) -> bool:
    """Tell whether a directory is on a mount that is attached nowhere, so that it is its opener's alone.

    One that is attached belongs to the machine: to make it read-only for one tree would be wrong.
    """
    mount, _ = _mount_of(f"/proc/self/fdinfo/{fd}")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return all(int(line.split(" ", 1)[0]) != mount for line in mounts)


def writers(fd: int) -> list[str]:
    """Return what is open for writing on the mount of ``fd``, in every process that the caller may look into.

    :returns: descriptions of one word or few: the path in the mount and the process.
    """
    mount, _ = _mount_of(f"/proc/self/fdinfo/{fd}")
    found: list[str] = []
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            numbers = os.listdir(f"/proc/{process}/fdinfo")
        except OSError:
            continue  # ended meanwhile, or not ours to look into
        for number in numbers:
            try:
                where, flags = _mount_of(f"/proc/{process}/fdinfo/{number}")
                if where == mount and flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_PATH:
                    path = os.readlink(f"/proc/{process}/fd/{number}")
                    found.append(f"{path} (process {process}, descriptor {number})")
            except OSError:
                continue  # closed meanwhile
    return found
