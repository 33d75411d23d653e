"""What this machine and this file system let the driver offer."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from overlaykit import errors, linux
from overlaykit.driver import Capability, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["can_clone", "offered", "probe"]

_ALWAYS = frozenset(
    {
        Capability.DEEP_STACK,
        Capability.HOST_MOUNT,
        Capability.HOST_PATH,
        Capability.PERMISSIONS,
        Capability.PERSISTENT,
        Capability.VERIFY,
    }
)

_CAP_MKNOD = 27
_HOLE = 1 << 20
_ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1)
"""An access ACL with a named user: what no permission bits can say, so that it is really stored."""

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def probe(root: Path | None) -> Probe:
    """Say whether the driver works for a store at ``root``, or where that does not exist yet, below it.

    Nothing is changed: what a file system can do is tried on a file that never gets a name.
    """
    if not linux.available():
        return Probe(
            usable=False,
            reason="overlaykit's native module is missing",
            fix="reinstall overlaykit on Linux with a C compiler",
        )
    if root is None:
        return Probe(usable=False, reason="it keeps its snapshots in a directory", fix="give the store a path")
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return Probe(usable=False, reason=f"{root}: {error.strerror}", fix="take a directory that can be opened")
    try:
        if os.statvfs(fd).f_flag & os.ST_RDONLY:
            return Probe(usable=False, reason=f"{root} is on a read-only file system", fix="take another directory")
        if not os.access(root, os.W_OK | os.X_OK):
            return Probe(
                usable=False,
                reason=f"no permission to write in {root}",
                fix="take a directory of your own, or chmod it",
            )
        reflink = _can_reflink(fd)
        details = {
            "copies": "reflink" if reflink else "full",
            "views": "mounts of their own" if can_clone(root) else "plain directories: read-only by good manners alone",
        }
        return Probe(
            usable=True,
            reason="copies share blocks (reflink)"
            if reflink
            else "copies every file: this file system has no reflinks",
            fix="" if reflink else "put the store on XFS or Btrfs for cheap copies",
            capabilities=offered(fd),
            details=MappingProxyType(details),
        )
    finally:
        os.close(fd)


def offered(directory: int) -> frozenset[Capability]:
    """Return what trees on the file system of a directory can do for this caller.

    :param directory: descriptor of a directory that the caller may write in.
    """
    found = set(_ALWAYS)
    if os.geteuid() == 0 and _makes_devices():
        found.add(Capability.DEVICE_NODES)
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EISDIR):
            raise
        return frozenset(found)
    try:
        # A file system that has unnamed files has RENAME_EXCHANGE; to try that takes two names.
        found |= {Capability.TMPFILE, Capability.EXCHANGE}
        found.update(_tried(fd))
    finally:
        os.close(fd)
    return frozenset(found)


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
        status = Path("/proc/self/status").read_text()
        mapping = Path("/proc/self/uid_map").read_text().split()
    except OSError:
        return False
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return bool(effective >> _CAP_MKNOD & 1) and mapping == ["0", "0", "4294967295"]


def _can_reflink(directory: int) -> bool:
    import fcntl

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


_FICLONE = 0x40049409


def can_clone(directory: Path) -> bool:
    """Tell whether a directory can be shown through a mount of its own that is attached nowhere."""
    try:
        os.close(linux.clone_directory(directory, readonly=True))
    except (OSError, errors.UnsupportedError):
        return False
    return True
