"""Whether overlayfs works here, by trying it."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from overlaykit import linux
from overlaykit.driver import Capability, Probe

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["capabilities", "probe", "uses_userxattr"]

_PREFIX = ".overlaykit-probe-"

_ALWAYS = frozenset(
    {
        Capability.HOST_PATH,
        Capability.HOST_MOUNT,
        Capability.PERSISTENT,
        Capability.DEEP_STACK,
        Capability.PERMISSIONS,
        Capability.EXCHANGE,
        Capability.SPARSE,
        Capability.VERIFY,
    }
)


def _sets_xattr(path: str, name: str, value: bytes) -> bool:
    try:
        os.setxattr(path, name, value)
        os.removexattr(path, name)
    except OSError as error:
        # ENODATA: another process that asked the same of this directory took it away; it was set.
        return error.errno == errno.ENODATA
    return True


def uses_userxattr(directory: str) -> bool:
    """Tell whether overlayfs must keep its attributes in ``user.overlay.*`` here.

    :param directory: one that the caller may write to.
    """
    return not linux.is_mount_admin() or not _sets_xattr(directory, "trusted.overlaykit.probe", b"1")


# A POSIX ACL in the kernel's form, version 2: user::rwx, user:1:r--, group::r-x, mask::r-x, other::r-x. In a user
# namespace that knows nobody but its owner, user 1 is EINVAL.
_ACL = bytes.fromhex("02000000 01000700ffffffff 0200040001000000 04000500ffffffff 10000500ffffffff 20000500ffffffff")


def capabilities(merged: str) -> frozenset[Capability]:
    """Find out what a mounted overlay offers.

    :param merged: a path of its root, writable.
    """
    found = set(_ALWAYS)
    if linux.is_mount_admin() and os.geteuid() == 0:
        # Without root a layer is written through the merged view, which has to have what is below.
        found |= {Capability.OWNERSHIP, Capability.REBASE}
    if _sets_xattr(merged, "trusted.overlaykit.probe", b"1"):
        found.add(Capability.TRUSTED_XATTRS)
    if _sets_xattr(merged, "system.posix_acl_access", _ACL):
        found.add(Capability.ACL)
    try:
        os.mknod(merged + "/device", 0o020600, os.makedev(1, 3))
        os.unlink(merged + "/device")
        found.add(Capability.DEVICE_NODES)
    except OSError:
        pass
    try:
        os.close(os.open(merged, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC))
        found.add(Capability.TMPFILE)
    except OSError:
        pass
    return frozenset(found)


def _unusable(reason: str, fix: str) -> Probe:
    return Probe(usable=False, reason=reason, fix=fix)


def _try(directory: str) -> Probe:
    """Mount an overlay in a new directory, and do there what driver and kernel must agree on."""
    userxattr = uses_userxattr(directory)
    rootless = not linux.is_mount_admin()
    for name in ("lower", "upper", "work"):
        os.mkdir(f"{directory}/{name}", 0o700)
    os.mkdir(directory + "/lower/directory")
    with open(directory + "/lower/file", "wb"):
        pass
    try:
        os.close(linux.clone_directory(directory, readonly=True, rootless=rootless))
    except OSError as error:
        return _unusable(
            error.strerror or str(error),
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns; seccomp profile of the container), or run as root"
            if rootless
            else "run with CAP_SYS_ADMIN, or use the directory driver",
        )
    try:
        fd = linux.overlay_mount(
            [directory + "/lower"],
            directory + "/upper",
            directory + "/work",
            volatile=True,
            userxattr=userxattr,
            rootless=rootless,
        )
    except OSError as error:
        fix = "put the store on ext4, xfs, btrfs or tmpfs, outside any overlay"
        if error.errno in (errno.ENODEV, errno.ENOSYS):
            fix = "load the module (modprobe overlay), or use a kernel of 5.12 or later"
        elif error.errno == errno.EPERM:
            fix = "use a kernel of 5.11 or later, which lets users mount overlays, or run as root"
        return _unusable(error.strerror or str(error), fix)
    try:
        merged = f"/proc/self/fd/{fd}"
        try:
            os.rmdir(merged + "/directory")
            os.mkdir(merged + "/directory")
            os.unlink(merged + "/file")
        except OSError as error:
            return _unusable(
                f"the file system of {os.path.dirname(directory)} cannot hold an upper directory: {error.strerror}",
                "put the store on ext4, xfs, btrfs or tmpfs",
            )
        found = capabilities(merged)
    finally:
        os.close(fd)
    how = "in user namespaces, without privileges" if rootless else "with CAP_SYS_ADMIN"
    return Probe(
        usable=True,
        reason=f"overlay mounts work {how}",
        capabilities=found,
        details={
            "mode": "rootless" if rootless else "root",
            "attributes": "user.overlay" if userxattr else "trusted.overlay",
            "kernel": os.uname().release,
        },
    )


def probe(path: Path | None) -> Probe:
    """Tell whether the driver works for a store at or below ``path``; leaves nothing behind."""
    if path is None:
        return _unusable("the driver keeps its layers in a directory", "give the store a path")
    if not linux.available():
        return _unusable("overlaykit's native module is missing", "reinstall overlaykit on Linux with a C compiler")
    try:
        parent = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return _closed(path, error)
    try:
        try:
            name, lock = _make(parent)
        except OSError as error:
            return _closed(path, error)
        try:
            return _try(f"{path}/{name}")
        except OSError as error:
            return _unusable(f"trying it in {path} failed: {error.strerror or error}", "use the directory driver")
        finally:
            with suppress(FileNotFoundError):
                linux.remove_tree(parent, name)
            os.close(lock)
    finally:
        os.close(parent)


def _closed(path: Path, error: OSError) -> Probe:
    return _unusable(
        f"cannot write to {path}: {error.strerror}", "choose a directory that is yours, on a disk that is not full"
    )


def _make(parent: int) -> tuple[str, int]:
    """Make a directory to try in and lock it; remove those that killed processes left."""
    for left in os.listdir(parent):
        if left.startswith(_PREFIX):
            with suppress(OSError):
                lock = _lock(parent, left)
                try:
                    linux.remove_tree(parent, left)
                finally:
                    os.close(lock)
    while True:
        name = _PREFIX + os.urandom(8).hex()
        os.mkdir(name, 0o700, dir_fd=parent)
        # Somebody may take it for one that was left, as long as it is not locked.
        with suppress(FileNotFoundError, BlockingIOError):
            return name, _lock(parent, name)


def _lock(parent: int, name: str) -> int:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
