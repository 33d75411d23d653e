"""What this machine and this file system let the driver offer."""

from __future__ import annotations

import fcntl
import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from overlaykit import errors, linux
from overlaykit.directories import open_directory, probe_directory
from overlaykit.driver import Capability, Probe

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ALWAYS", "can_clone", "probe"]

ALWAYS = frozenset(
    {
        Capability.DEEP_STACK,
        Capability.HOST_MOUNT,
        Capability.HOST_PATH,
        Capability.PERMISSIONS,
        Capability.PERSISTENT,
        Capability.VERIFY,
    }
)
"""What the driver offers anywhere."""

_FICLONE = 0x40049409


def probe(root: Path | None) -> Probe:
    """Say whether the driver works for a store at ``root``, or where that does not exist yet, below it.

    Nothing is changed: what a file system can do is tried on files that never get a name.
    """
    found = probe_directory(root)
    if not found.usable or root is None:
        return found
    with open_directory(root.resolve()) as directory:
        reflink = _can_reflink(directory)
    details = {
        "copies": "reflink" if reflink else "full",
        "views": "mounts of their own" if can_clone(root) else "plain directories: read-only by good manners alone",
    }
    return Probe(
        usable=True,
        reason="copies share blocks (reflink)" if reflink else "copies every file: this file system has no reflinks",
        fix="" if reflink else "put the store on XFS or Btrfs for cheap copies",
        capabilities=found.capabilities | ALWAYS,
        details=MappingProxyType(details),
    )


def _can_reflink(directory: int) -> bool:
    try:
        source = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory)
    except OSError:
        return False
    try:
        os.write(source, b"x" * 4096)
        target = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory)
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            return False
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True


def can_clone(directory: Path) -> bool:
    """Tell whether a directory can be shown through a mount of its own that is attached nowhere."""
    try:
        os.close(linux.clone_directory(directory, readonly=True))
    except (OSError, errors.UnsupportedError):
        return False
    return True
