"""Checks of the place where the store is, and of who uses it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import psutil

from .._text import size
from ._check import Check, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_storage"]

_GOOD = {"ext4", "xfs", "btrfs", "tmpfs", "bcachefs", "f2fs", "zfs", "ext3", "ext2"}
_REFLINK = {"xfs", "btrfs", "bcachefs", "zfs"}
_POOR = {
    "nfs": "locks and overlayfs's upper directory do not work on NFS",
    "nfs4": "locks and overlayfs's upper directory do not work on NFS",
    "vfat": "it has no owners, modes or links",
    "exfat": "it has no owners, modes or links",
    "msdos": "it has no owners, modes or links",
    "9p": "it keeps neither xattrs nor hard links reliably",
    "fuse": "what it keeps depends on its server",
    "cifs": "it keeps no owners or modes",
    "overlay": "overlayfs cannot have its upper directory on another overlayfs",
}


def check_storage(store: Path, existing: Path) -> Iterator[Check]:
    """Yield the checks of a store's place.

    :param store: the directory of the store, which need not exist.
    :param existing: it or the nearest directory above it that exists.
    """
    yield _marker(store)
    yield _writable(existing)
    yield _file_system(existing)
    yield from _space(existing)
    yield _holders(store)
    yield _leftover_mounts(store)


def _marker(store: Path) -> Check:
    marker = store / "overlaykit.json"
    try:
        content = json.loads(marker.read_bytes())
        text = f"{store}: format {content['format']}, driver {content['driver']}"
    except FileNotFoundError:
        if store.is_dir() and any(store.iterdir()):
            return Check("store", Status.BAD, f"{store} holds something else than a store", "name another --store")
        return Check("store", Status.OK, f"none at {store} yet")
    except OSError as error:
        return Check("store", Status.BAD, f"{marker} cannot be read: {error.strerror}", "open it as its owner")
    except (ValueError, KeyError, TypeError):
        return Check("store", Status.BAD, f"{marker} is damaged", "bring it back from a backup")
    return Check("store", Status.OK, text)


def _writable(existing: Path) -> Check:
    if os.access(existing, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return Check("permission", Status.OK, f"{existing} can be written")
    return Check("permission", Status.BAD, f"{existing} cannot be written", "name another --store, or change its owner")


def _file_system(existing: Path) -> Check:
    place = os.path.realpath(existing)
    mounts = [part for part in psutil.disk_partitions(all=True) if _is_below(place, part.mountpoint)]
    if not mounts:
        return Check("file system", Status.WARN, f"that of {place} is unknown")
    # Of two mounts at one place the later one is on top.
    part = max(enumerate(mounts), key=lambda pair: (len(pair[1].mountpoint), pair[0]))[1]
    kind, where = part.fstype, f"{part.fstype} at {part.mountpoint}"
    if "ro" in part.opts.split(","):
        return Check("file system", Status.BAD, f"{where} is read-only", "name another --store, or remount it")
    poor = _POOR.get(kind) or (_POOR["fuse"] if kind.startswith("fuse") else "")
    if poor:
        return Check("file system", Status.WARN, f"{where}: {poor}", "put the store on ext4, XFS or Btrfs")
    if kind in _GOOD:
        copies = "copies share blocks" if kind in _REFLINK else "copies are real copies"
        return Check("file system", Status.OK, f"{where}; {copies}")
    return Check(
        "file system", Status.WARN, f"{where} is not known to us", "overlaykit conformance NAME tries a driver on it"
    )


def _space(existing: Path) -> Iterator[Check]:
    disk = psutil.disk_usage(str(existing))
    text = f"{size(disk.free)} free of {size(disk.total)}"
    fix = "free some, or name a --store elsewhere"
    if disk.free < 64 * 2**20:
        yield Check("free space", Status.BAD, text, fix)
    elif disk.free < 2**30:
        yield Check("free space", Status.WARN, text, fix)
    else:
        yield Check("free space", Status.OK, text)
    inodes = os.statvfs(existing)
    # Btrfs and others make inodes as they need them and say 0.
    if inodes.f_files and inodes.f_favail < max(10_000, inodes.f_files // 100):
        yield Check("free inodes", Status.WARN, f"{inodes.f_favail} free of {inodes.f_files}", fix)


def _holders(store: Path) -> Check:
    inside = os.path.realpath(store)
    holders, hidden = [], 0
    for process in psutil.process_iter(["pid", "name"]):
        if process.pid == os.getpid():
            continue
        try:
            if any(_is_below(file.path, inside) for file in process.open_files()):
                holders.append(f"{process.info['name']} ({process.pid})")
        except psutil.AccessDenied:
            hidden += 1
        except psutil.NoSuchProcess:
            continue
    note = f" ({hidden} of other users cannot be looked into)" if hidden else ""
    if holders:
        return Check("open by", Status.OK, ", ".join(holders) + note)
    return Check("open by", Status.OK, "no process has a file of the store open" + note)


def _leftover_mounts(store: Path) -> Check:
    inside = os.path.realpath(store)
    found = [
        part.mountpoint
        for part in psutil.disk_partitions(all=True)
        if _is_below(part.mountpoint, inside) or (part.fstype == "overlay" and f"={inside}/" in part.opts)
    ]
    if not found:
        return Check("mounts", Status.OK, "nothing of the store is mounted at a path")
    return Check(
        "mounts", Status.WARN, f"of the store, at {', '.join(found)}: overlaykit leaves none", f"umount {found[-1]}"
    )


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
