"""An observer of a driver's storage that does not ask the driver: it walks the directory and hashes what lies there."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Storage", "differences", "observe"]

Storage = dict[str, tuple[object, ...]]
"""Path below the driver's root to all that stat, the content and the extended attributes say of it."""

_CHUNK = 1 << 20


def observe(root: Path | None) -> Storage:
    """Take down everything below a driver's root; nothing for a driver without one.

    Directories are walked by descriptor, since a snapshot may hold paths longer than the system takes in one call.
    """
    found: Storage = {}
    if root is None:
        return found
    stack = [("", os.open(root, os.O_RDONLY | os.O_DIRECTORY))]
    while stack:
        prefix, directory = stack.pop()
        try:
            for name in os.listdir(directory):
                path = prefix + name
                attributes = os.lstat(name, dir_fd=directory)
                found[path] = _describe(directory, name, attributes)
                if stat.S_ISDIR(attributes.st_mode):
                    inner = _open(directory, name, os.O_DIRECTORY)
                    if inner is not None:
                        stack.append((path + "/", inner))
        finally:
            os.close(directory)
    return found


def _open(directory: int, name: str, flags: int) -> int | None:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=directory)
    except PermissionError:
        # An unprivileged observer sees no further than the owner's permission bits let it.
        return None


def _describe(directory: int, name: str, attributes: os.stat_result) -> tuple[object, ...]:
    what: object = None
    if stat.S_ISREG(attributes.st_mode):
        file = _open(directory, name, 0)
        if file is not None:
            what = _digest(file)
    elif stat.S_ISLNK(attributes.st_mode):
        what = os.readlink(name, dir_fd=directory)
    elif stat.S_ISDIR(attributes.st_mode):
        inner = _open(directory, name, os.O_DIRECTORY)
        if inner is not None:
            what = tuple(sorted(os.listdir(inner)))
            os.close(inner)
    return (
        attributes.st_mode,
        attributes.st_uid,
        attributes.st_gid,
        attributes.st_rdev,
        attributes.st_mtime_ns,
        what,
        _xattrs(directory, name),
    )


def _digest(file: int) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    try:
        while block := os.read(file, _CHUNK):
            hasher.update(block)
    finally:
        os.close(file)
    return hasher.hexdigest()


def _xattrs(directory: int, name: str) -> tuple[tuple[str, bytes], ...]:
    if not hasattr(os, "listxattr"):
        return ()
    path = f"/proc/self/fd/{directory}/{name}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple((key, os.getxattr(path, key, follow_symlinks=False)) for key in sorted(names))
    except PermissionError:
        return ()


def differences(before: Storage, after: Storage) -> list[str]:
    """Say, a line each, what of ``before`` is gone or otherwise in ``after``; what came on top does not count."""
    lines = []
    labels = ("mode", "uid", "gid", "device", "mtime", "content", "xattrs")
    for path, old in sorted(before.items()):
        new = after.get(path)
        if new is None:
            lines.append(f"{path}: gone")
        elif new != old:
            what = ", ".join(label for label, one, two in zip(labels, old, new, strict=True) if one != two)
            lines.append(f"{path}: {what}")
    return lines
