"""Guarding devices in control groups of the second version."""

from __future__ import annotations

from ._lib import check, load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["guard_devices"]

_ACCESS = {"m": 1, "r": 2, "w": 4}


def guard_devices(cgroup: int, rules: Iterable[tuple[str, int, int, str]]) -> None:
    """Let the processes of a cgroup open and make certain devices alone; everything else is EPERM for them.

    The guard goes with the cgroup. Guards of the cgroups above hold besides.

    :param cgroup: a descriptor of its directory, in a tree of the second version (cgroup-v2.rst, "Device controller").
    :param rules: what is allowed: type (``b`` or ``c``), major and minor number, -1 for any, and letters of ``rwm``.
    :raises OSError: EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN; EINVAL, ENOSYS: the kernel has no such programs;
        EBADF: it is no such cgroup.
    :raises UnsupportedError: the native module is missing.
    """
    native = load()
    given = [
        (kind == "b", sum(_ACCESS[one] for one in set(access)), major, minor) for kind, major, minor, access in rules
    ]
    array = native.ffi.new("struct ok_device_rule[]", [list(map(int, one)) for one in given])
    check(native.lib.ok_guard_devices(cgroup, array, len(given)))
