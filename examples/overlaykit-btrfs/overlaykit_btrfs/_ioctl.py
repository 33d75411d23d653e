"""The ioctls of Btrfs that a driver needs, after ``linux/btrfs.h``; ctypes lays out their arguments, no compiler does.

The descriptors are those of directories opened for reading: the kernel takes none opened with ``O_PATH`` here.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

__all__ = ["create", "delete", "has_subvolumes", "is_btrfs", "is_readonly", "set_readonly", "snapshot"]

_NAME_MAX = 4039  # BTRFS_SUBVOL_NAME_MAX
_READONLY = 1 << 1  # BTRFS_SUBVOL_RDONLY
_NOT_BTRFS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class _VolumeArguments(ctypes.Structure):  # struct btrfs_ioctl_vol_args_v2
    _fields_ = (
        ("fd", ctypes.c_int64),
        ("transid", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 4),
        ("name", ctypes.c_char * (_NAME_MAX + 1)),
    )


class _RootReference(ctypes.Structure):
    _fields_ = (("treeid", ctypes.c_uint64), ("dirid", ctypes.c_uint64))


class _RootReferences(ctypes.Structure):  # struct btrfs_ioctl_get_subvol_rootref_args
    _fields_ = (
        ("min_treeid", ctypes.c_uint64),
        ("rootref", _RootReference * 255),
        ("num_items", ctypes.c_uint8),
        ("align", ctypes.c_uint8 * 7),
    )


def _request(direction: int, number: int, size: int) -> int:
    """Return an ioctl's number as ``_IOW`` (1), ``_IOR`` (2) and ``_IOWR`` (3) of ``asm-generic/ioctl.h`` make it."""
    return direction << 30 | size << 16 | 0x94 << 8 | number


_SNAP_CREATE_V2 = _request(1, 23, ctypes.sizeof(_VolumeArguments))
_SUBVOL_CREATE_V2 = _request(1, 24, ctypes.sizeof(_VolumeArguments))
_SUBVOL_GETFLAGS = _request(2, 25, 8)
_SUBVOL_SETFLAGS = _request(1, 26, 8)
_GET_SUBVOL_ROOTREF = _request(3, 61, ctypes.sizeof(_RootReferences))
_SNAP_DESTROY_V2 = _request(1, 63, ctypes.sizeof(_VolumeArguments))


def _call(fd: int, request: int, argument: ctypes.Structure | ctypes.c_uint64, name: str | None = None) -> None:
    # Through a plain buffer: fcntl.ioctl fills a bytearray, and releases the interpreter's lock meanwhile.
    buffer = bytearray(argument)
    try:
        fcntl.ioctl(fd, request, buffer, True)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), name) from None
    ctypes.memmove(ctypes.addressof(argument), bytes(buffer), len(buffer))


def is_btrfs(directory: int) -> bool:
    """Tell whether a directory is on Btrfs."""
    references = _RootReferences()
    try:
        _call(directory, _GET_SUBVOL_ROOTREF, references)
    except OSError as error:
        if error.errno in _NOT_BTRFS:
            return False
        # EOVERFLOW: more subvolumes than fit.
        if error.errno != errno.EOVERFLOW:
            raise
    return True


def create(directory: int, name: str) -> None:
    """Make an empty subvolume in a directory; any user may who may make a directory there."""
    _call(directory, _SUBVOL_CREATE_V2, _VolumeArguments(name=os.fsencode(name)), name)


def snapshot(source: int, directory: int, name: str) -> None:
    """Make a writable snapshot of a subvolume, whose inode numbers and times are the source's.

    :raises OSError: EPERM: the source belongs to another user.
    """
    _call(directory, _SNAP_CREATE_V2, _VolumeArguments(fd=source, name=os.fsencode(name)), name)


def delete(directory: int, name: str) -> None:
    """Delete a subvolume with all in it, in one step; the file system frees the space by itself later.

    :raises OSError: EPERM: the caller is not root, and the file system is not mounted with ``user_subvol_rm_allowed``;
        ENOTEMPTY: there are subvolumes in it; EINVAL: it is a plain directory.
    """
    _call(directory, _SNAP_DESTROY_V2, _VolumeArguments(name=os.fsencode(name)), name)


def is_readonly(subvolume: int) -> bool:
    """Tell whether a subvolume is read-only."""
    return bool(_flags(subvolume) & _READONLY)


def set_readonly(subvolume: int, readonly: bool) -> None:
    """Make a subvolume read-only, for root too, or writable again; its owner may do both."""
    flags = _flags(subvolume)
    wanted = flags | _READONLY if readonly else flags & ~_READONLY
    if wanted != flags:
        _call(subvolume, _SUBVOL_SETFLAGS, ctypes.c_uint64(wanted))


def _flags(subvolume: int) -> int:
    flags = ctypes.c_uint64()
    _call(subvolume, _SUBVOL_GETFLAGS, flags)
    return flags.value


def has_subvolumes(directory: int) -> bool:
    """Tell whether there are further subvolumes in the one that a directory is in."""
    references = _RootReferences()
    _call(directory, _GET_SUBVOL_ROOTREF, references)
    return bool(references.num_items)
