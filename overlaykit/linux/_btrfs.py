"""Btrfs subvolumes: directories of which the file system makes a writable copy at once, whatever their size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._lib import check, load

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["create_subvolume", "delete_subvolume", "is_btrfs", "is_subvolume", "snapshot_subvolume"]


def is_btrfs(fd: int) -> bool:
    """Tell whether a descriptor is of something on Btrfs."""
    return check(load().lib.ok_btrfs(fd)) == 1


def is_subvolume(fd: int) -> bool:
    """Tell whether a descriptor is of the root of a Btrfs subvolume."""
    return check(load().lib.ok_btrfs_is_subvolume(fd)) == 1


def create_subvolume(directory: int, name: StrOrBytesPath) -> None:
    """Make an empty subvolume; any user may where they may make a directory.

    :param directory: descriptor of the directory to make it in.
    :param name: one name.
    :raises OSError: ENOTTY: not on Btrfs.
    """
    check(load().lib.ok_btrfs_create(directory, os.fsencode(name)), name)


def snapshot_subvolume(source: int, directory: int, name: StrOrBytesPath) -> None:
    """Make a writable snapshot of a subvolume: all inode numbers and times stay. Subvolumes inside are left out.

    :param source: descriptor of the subvolume's root.
    :param directory: descriptor of the directory to make it in.
    :param name: one name.
    :raises OSError: ENOTTY: not on Btrfs; EPERM: the source belongs to somebody else; EXDEV: another file system.
    """
    check(load().lib.ok_btrfs_snapshot(source, directory, os.fsencode(name)), name)


def delete_subvolume(directory: int, name: StrOrBytesPath) -> None:
    """Delete a subvolume with all in it.

    :param directory: descriptor of the directory that holds it.
    :param name: one name.
    :raises OSError: EPERM where the caller may not (without ``user_subvol_rm_allowed``): :func:`remove_tree` can.
        ENOTEMPTY where other subvolumes are inside. EINVAL, ENOTTY: it is none.
    """
    check(load().lib.ok_btrfs_delete(directory, os.fsencode(name)), name)
