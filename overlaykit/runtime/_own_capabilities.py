"""The numbers of capabilities (linux/capability.h)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NAMES", "bits"]

#: In the order of their numbers.
_TEXT = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(_TEXT.split())


@functools.cache
def _supported() -> int:
    """Return the set of those that this kernel knows: one that it does not would be refused."""
    try:
        with open("/proc/sys/kernel/cap_last_cap") as file:
            return (1 << int(file.read()) + 1) - 1
    except FileNotFoundError:
        return (1 << len(NAMES)) - 1


def bits(names: Iterable[str]) -> int:
    """Return a set of capabilities as a mask.

    :param names: with or without ``CAP_``.
    :raises RunError: there is no such capability.
    """
    mask = 0
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain not in NAMES:
            raise errors.RunError(f"no capability is called {name}")
        mask |= 1 << NAMES.index(plain)
    return mask & _supported()
