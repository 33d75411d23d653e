"""Whether directories of snapshots can be kept at a place, and what trees over them offer."""

from __future__ import annotations

import errno
import os
import struct

from .. import linux
from ..driver import Capability, Probe

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["probe_directory"]

_CAP_MKNOD = 27
_HOLE = 1 << 20
_ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1)
"""An access ACL with a named user: what no permission bits can say, so that it is really stored."""

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EISDIR)


def probe_directory(place: Path | None) -> Probe:
    """Say whether directories of snapshots can be kept at a place; what a driver's probe begins with.

    Nothing is changed: what a file system can do for this caller is tried on a file that never gets a name.

    :param place: a driver's root, or the directory in which there will be one; ``None`` for a store without a path.
    :returns: its ``capabilities`` are those that depend on the place and on the caller: ``ACL``, ``DEVICE_NODES``,
        ``EXCHANGE``, ``OWNERSHIP``, ``SPARSE``, ``TMPFILE`` and ``TRUSTED_XATTRS``, as far as a
        :class:`~overlaykit.tree.HostTree` offers them here.
    :raises OSError: what the storage says to a file without a name, such as ENOSPC.
    """
    if not linux.available():
        return Probe(False, "overlaykit's native module is missing", "reinstall overlaykit on Linux with a C compiler")
    if place is None:
        return Probe(False, "it keeps its snapshots in a directory", "give the store a path")
    try:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return Probe(False, f"{place}: {error.strerror}", "take a directory that can be opened")
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return Probe(False, f"{place} is on a read-only file system", "take another directory")
        if not os.access(place, os.W_OK | os.X_OK):
            return Probe(False, f"no permission to write in {place}", "take a directory of your own, or chown it")
        return Probe(True, "directories can be made", capabilities=frozenset(_found(directory)))
    finally:
        os.close(directory)


def _found(directory: int) -> Iterator[Capability]:
    if os.geteuid() == 0 and _makes_devices():
        yield Capability.DEVICE_NODES
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return
    try:
        # A file system that has unnamed files has RENAME_EXCHANGE; to try that takes two names.
        yield Capability.TMPFILE
        yield Capability.EXCHANGE
        yield from _tried(fd)
    finally:
        os.close(fd)


def _tried(fd: int) -> Iterator[Capability]:
    os.ftruncate(fd, _HOLE)
    if os.fstat(fd).st_blocks * 512 < _HOLE // 2:
        yield Capability.SPARSE
    if _takes_xattr(fd, "system.posix_acl_access", _ACL):
        yield Capability.ACL
    if _takes_xattr(fd, "trusted.overlaykit", b"x"):
        yield Capability.TRUSTED_XATTRS
    try:
        os.fchown(fd, os.geteuid() + 1, os.getegid() + 1)
    except OSError:
        return
    yield Capability.OWNERSHIP


def _takes_xattr(fd: int, name: str, value: bytes) -> bool:
    try:
        os.setxattr(fd, name, value)
    except OSError:
        return False
    return True


def _makes_devices() -> bool:
    """Tell whether mknod(2) of a device may work: CAP_MKNOD counts in the first user namespace alone."""
    try:
        with open("/proc/self/status") as status, open("/proc/self/uid_map") as mapping:
            effective = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
            return bool(effective >> _CAP_MKNOD & 1) and mapping.read().split() == ["0", "0", "4294967295"]
    except OSError:
        return False
