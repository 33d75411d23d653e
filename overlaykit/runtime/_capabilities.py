"""Capabilities of a container: Docker's default set, and what is added and dropped."""

from __future__ import annotations

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ALL", "DEFAULT", "choose_capabilities"]

_NUMBERED = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE
"""
_DOCKER = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT
    KILL AUDIT_WRITE
"""

#: By their numbers, from 0 on (capabilities(7)).
ALL = tuple("CAP_" + name for name in _NUMBERED.split())

#: What Docker gives ("Docker run reference", Runtime privilege and Linux capabilities).
DEFAULT = tuple("CAP_" + name for name in _DOCKER.split())


def choose_capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    """Return the default set without what is dropped, and with what is added.

    :param add: names with or without ``CAP_``, in any case; ``ALL``.
    :param drop: likewise; taken away first.
    :raises RunError: there is no such capability.
    """
    added, dropped = {_name(one) for one in add}, {_name(one) for one in drop}
    chosen = set() if "ALL" in dropped else set(DEFAULT) - dropped
    if "ALL" in added:
        # Docker's order: what is dropped by name stays away from ALL.
        chosen = set(ALL) - dropped
    chosen |= added - {"ALL"}
    return tuple(one for one in ALL if one in chosen)


def _name(text: str) -> str:
    name = text.strip().upper()
    if name == "ALL":
        return name
    name = "CAP_" + name.removeprefix("CAP_")
    if name not in ALL:
        raise errors.RunError(f"there is no capability {text[:100]!r}: see capabilities(7), as CAP_NET_ADMIN")
    return name
