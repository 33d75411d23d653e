"""A mount namespace of a thread's own, and mounts at a path that live and die with it."""

from __future__ import annotations

import os

from ._lib import check, load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["detach", "mount_memory", "own_mounts"]


def own_mounts() -> None:
    """Give the calling thread, and every thread and process that it starts from now on, mounts of its own.

    What is mounted outside still appears in here; what is mounted in here appears nowhere else, and is gone with the
    last process that is in here, however that ends (mount_namespaces(7)). Working directory and umask are the
    thread's own from then on too: threads that were there before keep the old ones.

    :raises OSError: EPERM where the caller may not mount (:func:`is_mount_admin`).
    :raises UnsupportedError: the native module is missing.
    """
    check(load().lib.ok_own_mounts())


def mount_memory(path: StrOrBytesPath, mode: int = 0o700) -> None:
    """Mount an empty file system in memory at a directory.

    :param mode: the permission bits of its root, which belongs to the caller.
    :raises OSError: EPERM where the caller may not mount; ENOENT, ENOTDIR ...
    :raises UnsupportedError: the native module is missing.
    """
    check(load().lib.ok_mount_memory(os.fsencode(path), mode), path)


def detach(path: StrOrBytesPath) -> None:
    """Take the uppermost mount off a path; who has something open in it goes on with it.

    :raises OSError: EINVAL where nothing is mounted there; EPERM where the caller may not mount.
    :raises UnsupportedError: the native module is missing.
    """
    check(load().lib.ok_detach(os.fsencode(path)), path)
