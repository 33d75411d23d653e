"""The few system calls that the tests' tools need and that Python 3.11 lacks; independent of the code under test."""

from __future__ import annotations

import ctypes
import os

__all__ = ["become", "drop_privileges", "mount", "private_mount_namespace", "stop_with_parent"]

CLONE_NEWNS = 0x00020000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def mount(source: str, target: str, type: str = "none", flags: int = 0, data: str = "") -> None:
    """Call mount(2).

    :raises OSError: as mount(2); ``filename`` is the target.
    """
    result = _libc().mount(
        os.fsencode(source), os.fsencode(target), type.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, target)


def private_mount_namespace() -> None:
    """Give the calling thread a mount namespace of its own, from which nothing spreads to the host.

    What is mounted in it goes when its last process ends, however that ends.

    :raises OSError: EPERM without CAP_SYS_ADMIN.
    """
    _check(_libc().unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def stop_with_parent(signal: int) -> None:
    """Ask the kernel to send ``signal`` to this process when its parent dies; see PR_SET_PDEATHSIG."""
    _check(_libc().prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0), "PR_SET_PDEATHSIG")


def become(uid: int, gid: int) -> None:
    """Become ``uid`` and ``gid`` as after a login: without capabilities, and set-uid programs work.

    :raises OSError: the caller is not root.
    """
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _check(_libc().prctl(PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0), "PR_SET_DUMPABLE")


def drop_privileges(uid: int, gid: int) -> None:
    """Become ``uid`` and ``gid`` for good: no groups, no capability in any set, no way to gain one by exec.

    :raises OSError: the caller is not root.
    """
    libc = _libc()
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # EINVAL: past the last one this kernel knows
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
