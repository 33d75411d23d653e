"""Detached mounts: overlay views and read-only directories that are attached nowhere.

Such a mount is in no mount table, needs no mount point, is seen by nobody else, and lives exactly as long as a
descriptor inside it is open: a process that is killed leaves none. Where the caller may not mount, a process that
shares its descriptors makes the mount in a user namespace of its own and is gone before the function returns
(user_namespaces(7)); it works in any process, with any number of threads, without a helper program.

The descriptors are ``O_PATH`` ones, as fsmount(2) and open_tree(2) give them: good for ``dir_fd=``, :func:`os.stat`,
``/proc/self/fd/N`` and :func:`openat2`; to list the directory, open ``"."`` relative to it.
"""

from __future__ import annotations

import enum
import errno
import os

from ._lib import check, load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..tree import StrOrBytesPath

__all__ = [
    "MAX_LOWERS",
    "MountMethod",
    "attach",
    "clone_directory",
    "is_mount_admin",
    "is_overlay",
    "overlay_mount",
    "overlay_mount_pair",
    "set_readonly",
    "set_writable",
    "syncfs",
]

MAX_LOWERS = 500
"""The most layers that the kernel's overlayfs stacks below an upper one (OVL_MAX_STACK)."""

_AT_FDCWD = -100
_VOLATILE, _USERXATTR, _READONLY, _ROOTLESS, _PAIR, _WRITABLE = 1, 2, 4, 8, 16, 32


class MountMethod(enum.IntEnum):
    """How the layers are handed to the kernel."""

    AUTO = 0  #: the best that works
    DESCRIPTOR = 1  #: by descriptor, Linux 6.13
    STRING = 2  #: one by one by a short name, Linux 6.8
    CLASSIC = 3  #: by mount(2) in a namespace of its own, then a detached clone, Linux 5.11


_NAMESPACE, _MAPPING, _CONTEXT, _LOWER, _UPPER, _WORK, _OPTION, _CREATE, _MOUNT, _CLONE, _SETATTR = range(1, 12)


def is_mount_admin() -> bool:
    """Tell whether the caller may mount without a user namespace of its own: CAP_SYS_ADMIN is effective.

    :raises UnsupportedError: the native module is missing.
    """
    return check(load().lib.ok_is_mount_admin()) == 1


def is_overlay(fd: int) -> bool:
    """Tell whether a descriptor is of something in an overlay mount, whoever made it.

    :raises UnsupportedError: the native module is missing.
    """
    return check(load().lib.ok_is_overlay(fd)) == 1


def overlay_mount(
    lowers: Iterable[StrOrBytesPath],
    upper: StrOrBytesPath | None = None,
    work: StrOrBytesPath | None = None,
    *,
    volatile: bool = False,
    readonly: bool = False,
    userxattr: bool | None = None,
    rootless: bool | None = None,
    method: MountMethod = MountMethod.AUTO,
) -> int:
    """Mount an overlay that is attached nowhere.

    :param lowers: the read-only layers, the uppermost first; at most :data:`MAX_LOWERS`; at least two without an
        ``upper``.
    :param upper: the directory that takes the writes; ``None`` gives a read-only view.
    :param work: an empty directory on the same file system as ``upper``; given with it and not without.
    :param volatile: never sync the upper: fast, lost or damaged after a power cut. The kernel leaves a mark in
        ``work/work/incompat/volatile`` that forbids to mount that upper again until it is removed.
    :param readonly: every write through the mount is EROFS.
    :param userxattr: keep overlayfs' own attributes in ``user.overlay.*`` instead of ``trusted.overlay.*``; by default
        what ``rootless`` is. An upper must be mounted all its life in the same way.
    :param rootless: mount in a user namespace of its own; by default where :func:`is_mount_admin` is false.
    :param method: how layers are handed over; for tests, and kernels that lie about what they know.
    :returns: an ``O_PATH`` descriptor of the root directory of the view, close-on-exec, to be closed by the caller.
    :raises OSError: the kernel refused; the message says at what, and what it may mean. EINVAL for more layers than
        it takes.
    :raises UnsupportedError: the native module is missing.
    """
    fd, other = _overlay(lowers, upper, work, volatile, readonly, userxattr, rootless, method, 0)
    assert other is None
    return fd


def overlay_mount_pair(
    lowers: Iterable[StrOrBytesPath],
    upper: StrOrBytesPath,
    work: StrOrBytesPath,
    *,
    volatile: bool = False,
    userxattr: bool | None = None,
    rootless: bool | None = None,
    method: MountMethod = MountMethod.AUTO,
) -> tuple[int, int | None]:
    """Mount an overlay as :func:`overlay_mount` does, with a second view of it through which every write is EROFS.

    Both show the same files at every moment. A read-only view cannot be made later without privileges: the mount is
    out of reach once the namespace that it was made in is gone.

    :returns: a descriptor of the writable view and one of the read-only view, or ``None`` where the kernel clones no
        detached mounts (before Linux 6.15).
    """
    return _overlay(lowers, upper, work, volatile, False, userxattr, rootless, method, _PAIR)


def _overlay(
    lowers: Iterable[StrOrBytesPath],
    upper: StrOrBytesPath | None,
    work: StrOrBytesPath | None,
    volatile: bool,
    readonly: bool,
    userxattr: bool | None,
    rootless: bool | None,
    method: MountMethod,
    flags: int,
) -> tuple[int, int | None]:
    if (upper is None) != (work is None):
        raise ValueError("upper and work belong together: give both or neither")
    layers = [os.fsencode(lower) for lower in lowers]
    if not all(layers):
        raise ValueError("a layer's path is empty")
    if rootless is None:
        rootless = not is_mount_admin()
    if userxattr is None:
        userxattr = rootless
    flags |= _VOLATILE * volatile | _READONLY * readonly | _USERXATTR * userxattr | _ROOTLESS * rootless
    native = load()
    result = native.ffi.new("struct ok_mount_result *")
    fd = native.lib.ok_overlay_mount(
        b"".join([layer + b"\0" for layer in layers]) + b"\0",
        native.ffi.NULL if upper is None else os.fsencode(upper),
        native.ffi.NULL if work is None else os.fsencode(work),
        flags,
        method,
        result,
    )
    if fd < 0:
        raise _overlay_error(-fd, native, result, layers, upper, work)
    return fd, result.readonly if result.readonly >= 0 else None


def clone_directory(path: StrOrBytesPath | int, *, readonly: bool, rootless: bool | None = None) -> int:
    """Return a view of a directory that is a mount of its own, attached nowhere.

    :param path: the directory, or a descriptor of it. Without privileges a descriptor is looked up by its path, because
        a user namespace cannot clone what was opened outside it.
    :param readonly: every write through the view is EROFS, by the kernel's word.
    :param rootless: work in a user namespace; by default where :func:`is_mount_admin` is false.
    :returns: an ``O_PATH`` descriptor of the directory in the new mount, close-on-exec, to be closed by the caller.
    :raises OSError: EINVAL where something is mounted below the directory and the caller has no privileges; ENOENT,
        EACCES ...
    :raises UnsupportedError: the native module is missing.
    """
    if rootless is None:
        rootless = not is_mount_admin()
    native = load()
    result = native.ffi.new("struct ok_mount_result *")
    directory, name = _AT_FDCWD, b""
    if not isinstance(path, int):
        name = os.fsencode(path)
    elif rootless:
        name = os.fsencode(os.readlink(f"/proc/self/fd/{path}"))
    else:
        directory = path
    fd = native.lib.ok_clone_directory(directory, name, _READONLY * readonly | _ROOTLESS * rootless, result)
    if fd < 0:
        raise _error(-fd, result, os.fsdecode(name) if name else None)
    return int(fd)


def set_readonly(fd: int, *, rootless: bool | None = None) -> None:
    """Make a detached mount read-only: every write through it is EROFS from now on.

    :param fd: a descriptor of the mount's root, as :func:`overlay_mount` or :func:`clone_directory` gave it.
    :param rootless: work in a user namespace; by default where :func:`is_mount_admin` is false. Who made the mount
        does not matter: one that is attached nowhere obeys whoever may mount in a namespace of their own.
    :raises OSError: EBUSY while a file in it is open, or mapped, for writing, by whomever; nothing has changed then.
    :raises UnsupportedError: the native module is missing.
    """
    _set_attribute(fd, rootless, 0)


def set_writable(fd: int, *, rootless: bool | None = None) -> None:
    """Undo :func:`set_readonly`.

    :param fd: a descriptor of the mount's root.
    :param rootless: as for :func:`set_readonly`.
    :raises OSError: EPERM where the mount was made from a read-only one by somebody more privileged.
    :raises UnsupportedError: the native module is missing.
    """
    _set_attribute(fd, rootless, _WRITABLE)


def _set_attribute(fd: int, rootless: bool | None, flags: int) -> None:
    if rootless is None:
        rootless = not is_mount_admin()
    native = load()
    result = native.ffi.new("struct ok_mount_result *")
    code = native.lib.ok_set_readonly(fd, flags | _ROOTLESS * rootless, result)
    if code < 0:
        raise _error(-code, result, None)


def attach(fd: int, path: StrOrBytesPath) -> None:
    """Attach a detached mount at a path, as mount(8) would; move_mount(2).

    :raises OSError: EPERM where the caller may not mount.
    :raises UnsupportedError: the native module is missing.
    """
    check(load().lib.ok_attach(fd, os.fsencode(path)), path)


def syncfs(fd: int) -> None:
    """Write everything of the file system that ``fd`` is on to the disk; syncfs(2).

    :raises OSError: EIO, ENOSPC: something could not be written.
    :raises UnsupportedError: the native module is missing.
    """
    check(load().lib.ok_syncfs(fd))


def _overlay_error(
    code: int,
    native: Any,
    result: Any,
    layers: list[bytes],
    upper: StrOrBytesPath | None,
    work: StrOrBytesPath | None,
) -> OSError:
    said = native.ffi.string(result.message).decode("utf-8", "replace")
    path: StrOrBytesPath | None = upper if upper is not None else layers[0] if layers else None
    if result.step == _LOWER and result.index < len(layers):
        path = layers[result.index]
    elif result.step == _WORK:
        path = work
    name = None if path is None else os.fsdecode(path)
    if result.step in (_LOWER, _CREATE) and code == errno.EINVAL and len(layers) > MAX_LOWERS:
        said = f"{len(layers)} layers, the kernel stacks at most {MAX_LOWERS}"
    elif not layers:
        said = "no lower layer was given"
    elif upper is None and len(layers) < 2:
        said = "a view without an upper needs two layers at least"
    return _error(code, result, name, said)


_STEPS = {
    _NAMESPACE: "cannot make a user or mount namespace",
    _MAPPING: "cannot map the user into a new user namespace",
    _CONTEXT: "the kernel has no overlayfs for this caller",
    _LOWER: "cannot use the lower layer",
    _UPPER: "cannot use the upper directory",
    _WORK: "cannot use the work directory",
    _OPTION: "this kernel's overlayfs does not know an option",
    _CREATE: "the kernel refused the overlay mount",
    _MOUNT: "cannot mount",
    _CLONE: "cannot clone the directory as a mount",
    _SETATTR: "cannot change the mount",
}

_HINTS = {
    (_NAMESPACE, errno.EPERM): "user namespaces are forbidden here (a container's seccomp profile, or a sysctl)",
    (_NAMESPACE, errno.ENOSPC): "no more user namespaces are allowed: see /proc/sys/user/max_user_namespaces",
    (_NAMESPACE, errno.EUSERS): "user namespaces are nested too deep",
    (_NAMESPACE, errno.EINVAL): "the kernel was built without user namespaces",
    (_MAPPING, errno.EPERM): "a security module forbids it, such as kernel.apparmor_restrict_unprivileged_userns",
    (_MAPPING, errno.EACCES): "/proc/self is not the caller's",
    (_MAPPING, errno.ENOENT): "/proc is not mounted",
    (_CONTEXT, errno.ENODEV): "the module overlay is not loaded",
    (_CONTEXT, errno.EPERM): "mounting is not allowed here",
    (_CONTEXT, errno.ENOSYS): "Linux 5.2 or later is needed",
    (_CREATE, errno.EINVAL): "the file system below does not suit (overlay on overlay, NFS, no xattrs), or a volatile "
    "upper was not closed properly; dmesg has the reason",
    (_CREATE, errno.EPERM): "a mount option needs privileges, or the upper belongs to another user",
    (_CREATE, errno.ESTALE): "the upper was used over other lower layers before",
    (_CREATE, errno.EBUSY): "the upper or work directory is in use by another mount",
    (_CREATE, errno.ELOOP): "the layers contain one another",
    (_CREATE, errno.EROFS): "the upper is on a read-only file system",
    (_SETATTR, errno.EBUSY): "a file in it is open for writing",
    (_SETATTR, errno.ENOSYS): "Linux 5.12 or later is needed",
}


def _error(code: int, result: Any, path: str | None, said: str = "") -> OSError:
    what = _STEPS.get(result.step, "cannot mount")
    why = said or _HINTS.get((result.step, code), "")
    text = f"{what}: {os.strerror(code)}" + (f" ({why})" if why else "")
    return OSError(code, text) if path is None else OSError(code, text, path)
