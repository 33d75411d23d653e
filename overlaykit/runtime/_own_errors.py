"""What a failed step of the own runner means, and the way out, in one line."""

from __future__ import annotations

import enum
import errno
import os

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._own_protocol import Message

__all__ = ["Step", "explain"]


class Step(enum.IntEnum):
    """What failed, as ``native/runner/protocol.h`` numbers it."""

    NONE = 0
    PLAN = 1
    CLONE = 2
    USER_MAP = 3
    CGROUP = 4
    CGROUP_NAMESPACE = 5
    JOIN = 6
    NAME = 7
    LOOPBACK = 8
    LIMIT = 9
    OOM_SCORE = 10
    PROPAGATION = 11
    ROOT = 12
    TARGET = 13
    SOURCE = 14
    FILESYSTEM = 15
    OPTION = 16
    ATTACH = 17
    ATTRIBUTES = 18
    DEVICE = 19
    LINK = 20
    MASK = 21
    READONLY = 22
    SYSCTL = 23
    FILE = 24
    PIVOT = 25
    DIRECTORY = 26
    TERMINAL = 27
    GROUPS = 28
    USER = 29
    CAPABILITIES = 30
    SECCOMP = 31
    EXEC = 32


_STEPS = {
    Step.NONE: "the runner ended without a word",
    Step.PLAN: "the runner cannot read its plan",
    Step.CLONE: "cannot make namespaces for a container",
    Step.USER_MAP: "cannot map users into the container's user namespace",
    Step.CGROUP: "cannot put the container into its cgroup",
    Step.CGROUP_NAMESPACE: "cannot make a cgroup namespace",
    Step.JOIN: "cannot enter the container",
    Step.NAME: "cannot set the container's host name",
    Step.LOOPBACK: "cannot start the container's loopback interface",
    Step.LIMIT: "cannot set the resource limit",
    Step.OOM_SCORE: "cannot set the OOM score",
    Step.PROPAGATION: "cannot make the container's mounts private",
    Step.ROOT: "cannot use the container's root file system",
    Step.TARGET: "cannot mount in the container at",
    Step.SOURCE: "cannot show in the container",
    Step.FILESYSTEM: "cannot mount in the container a file system of type",
    Step.OPTION: "the kernel refuses the mount option",
    Step.ATTACH: "cannot mount in the container at",
    Step.ATTRIBUTES: "cannot set the attributes of the mount at",
    Step.DEVICE: "cannot make the device",
    Step.LINK: "cannot make the link",
    Step.MASK: "cannot hide",
    Step.READONLY: "cannot make read-only",
    Step.SYSCTL: "cannot set the sysctl",
    Step.FILE: "cannot make the file for",
    Step.PIVOT: "cannot change to the container's root file system",
    Step.DIRECTORY: "cannot enter the working directory",
    Step.TERMINAL: "cannot make a terminal, at",
    Step.GROUPS: "cannot set the groups of the process",
    Step.USER: "cannot become the user of the process:",
    Step.CAPABILITIES: "cannot set capabilities:",
    Step.SECCOMP: "cannot install the seccomp filter",
    Step.EXEC: "cannot run",
}

_NAMESPACES_FORBIDDEN = (
    "user namespaces are forbidden here: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or in a container --security-opt seccomp=unconfined"
)
_APPARMOR = (
    "a security module takes the capabilities away in user namespaces: "
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns"
)
_COVERED = (
    "a part of it is covered on this machine, as in a container: start that one with all of /proc and /sys "
    "(--security-opt systempaths=unconfined)"
)
_LINK = "a symbolic link is in its place in the image, and leads to where nothing may be mounted"

_HINTS: dict[tuple[Step, int], str] = {
    (Step.PLAN, errno.EBADMSG): "the runner and the library are of different versions: reinstall overlaykit",
    (Step.PLAN, errno.ENOSYS): "Linux 5.11 or later is needed",
    (Step.CLONE, errno.EPERM): _NAMESPACES_FORBIDDEN,
    (Step.CLONE, errno.ENOSPC): "no more namespaces are allowed: raise /proc/sys/user/max_*_namespaces",
    (Step.CLONE, errno.EUSERS): "user namespaces are nested too deep",
    (Step.CLONE, errno.EINVAL): "the kernel was built without one of them",
    (Step.CLONE, errno.EAGAIN): "a limit on processes is reached: see ulimit -u, and pids.max of the cgroup",
    (Step.USER_MAP, errno.EPERM): _APPARMOR,
    (Step.USER_MAP, errno.EACCES): _APPARMOR,
    (Step.USER_MAP, errno.ENOENT): "/proc is not mounted",
    (Step.CGROUP, errno.EBUSY): "the cgroup has cgroups below it: only a leaf takes processes",
    (Step.CGROUP, errno.EOPNOTSUPP): "the cgroup is threaded",
    (Step.CGROUP, errno.EACCES): "the cgroup is not the caller's",
    (Step.CGROUP, errno.ENOENT): "the cgroup has been removed",
    (Step.JOIN, errno.ESRCH): "it has ended",
    (Step.JOIN, errno.EPERM): "it belongs to another user, or has more privileges than the caller",
    (Step.PROPAGATION, errno.EACCES): _APPARMOR,
    (Step.PROPAGATION, errno.EPERM): _APPARMOR,
    (
        Step.ROOT,
        errno.EINVAL,
    ): "this kernel attaches a detached mount only once (before Linux 6.15): open its tree anew",
    (Step.ROOT, errno.ENOSYS): "Linux 5.2 or later is needed",
    (Step.TARGET, errno.ELOOP): _LINK,
    (Step.TARGET, errno.EROFS): "it does not exist in the image, and cannot be made in a read-only root",
    (Step.TARGET, errno.ENOENT): "a symbolic link that leads nowhere is in its place in the image",
    (Step.TARGET, errno.ENOTDIR): "a part of the path is a file in the image",
    (Step.SOURCE, errno.EINVAL): "something is mounted below it, which has to be shown too (rbind)",
    (Step.SOURCE, errno.ENOENT): "there is no such file or directory on this machine",
    (Step.FILESYSTEM, errno.EPERM): _COVERED,
    (Step.FILESYSTEM, errno.ENODEV): "the kernel does not know it, or its module is not loaded",
    (
        Step.ATTACH,
        errno.EINVAL,
    ): "a directory and a file cannot be mounted over each other, nor one mount in two places (before Linux 6.15)",
    (Step.ATTRIBUTES, errno.ENOSYS): "Linux 5.12 or later is needed",
    (Step.ATTRIBUTES, errno.EPERM): "the machine's own mount is stricter: it cannot be loosened without privileges",
    (Step.DEVICE, errno.ENOENT): "this machine has no such device to show",
    (Step.DEVICE, errno.ELOOP): _LINK,
    (Step.LINK, errno.ELOOP): _LINK,
    (Step.MASK, errno.ELOOP): _LINK,
    (Step.READONLY, errno.ELOOP): _LINK,
    (Step.SYSCTL, errno.ENOENT): "the kernel has none of this name here",
    (Step.SYSCTL, errno.EACCES): "it is the machine's, not the container's",
    (Step.SYSCTL, errno.EPERM): "it is the machine's, not the container's",
    (Step.FILE, errno.EINVAL): "its owner is not mapped in the user namespace",
    (Step.PIVOT, errno.EINVAL): "this machine's own root file system is an initramfs, which cannot be left",
    (Step.DIRECTORY, errno.ENOENT): "it does not exist in the container",
    (Step.DIRECTORY, errno.ENOTDIR): "it is a file in the container",
    (Step.DIRECTORY, errno.EACCES): "the user of the process may not enter it",
    (Step.DIRECTORY, errno.EROFS): "it does not exist in the image, and cannot be made in a read-only root",
    (Step.TERMINAL, errno.EINVAL): "the user whose it would be is not mapped in the user namespace",
    (Step.TERMINAL, errno.ENOTTY): "the container has no devpts at /dev/pts",
    (Step.TERMINAL, errno.ENOENT): "the container has no devpts at /dev/pts",
    (Step.GROUPS, errno.EPERM): "groups cannot be set without privileges",
    (
        Step.USER,
        errno.EINVAL,
    ): "it is not mapped in the user namespace: without privileges a container has user 0 alone",
    (Step.LIMIT, errno.EPERM): "without privileges a limit can only be lowered",
    (
        Step.SECCOMP,
        errno.EINVAL,
    ): "the kernel was built without seccomp filters, or the profile has flags it does not know",
    (Step.SECCOMP, errno.EACCES): "without no_new_privs a filter needs CAP_SYS_ADMIN",
    (Step.EXEC, errno.EACCES): "it is not executable, or the user may not reach it",
    (
        Step.EXEC,
        errno.ENOEXEC,
    ): "it is no program of this machine's kind: an image for another architecture, or a script "
    "without #! in its first line",
    (
        Step.EXEC,
        errno.ELIBACC,
    ): "it is there, but not the interpreter that it names: a shell, or the loader of its C library",
    (Step.EXEC, errno.E2BIG): "its arguments and environment are too long",
    (Step.EXEC, errno.EPERM): "the file system forbids it (noexec)",
    (Step.EXEC, errno.EISDIR): "it is a directory",
}


def explain(failure: Message) -> errors.RunError:
    """Return the error that a failure stands for."""
    step, code, path = Step(failure.step), failure.error, failure.path
    what = _STEPS[step]
    if path:
        what += f" {path}"
    if step is Step.EXEC and code == errno.ENOENT:
        reason = "no such program in the container's PATH" if "/" not in path else "no such file in the container"
        return errors.RunError(f"{what}: {reason}", exit_code=127)
    reason = os.strerror(code) if code != errno.ELIBACC else os.strerror(errno.ENOENT)
    hint = _HINTS.get((step, code))
    if hint:
        reason += f" ({hint})"
    exit_code = 125
    if step is Step.EXEC:
        exit_code = 127 if code in (errno.ENOTDIR, errno.ELIBACC) else 126
    return errors.RunError(f"{what}: {reason}", exit_code=exit_code)
