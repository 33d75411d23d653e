"""Control groups without root: below the part of the tree of version 2 that was given to this user.

systemd gives each user the tree of ``user@UID.service`` (cgroup-v2.rst, "Delegation"; systemd.resource-control(5)). A
process moves only inside of what it may write: the group that it is in and those above up to the first that is
another's. Version 1 gives nothing to users.
"""

from __future__ import annotations

import os
import warnings

from ..values import replace
from ._cgroup import sweep
from ._cgroup2 import UnifiedCgroup, limit_files

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._values import Limits

__all__ = ["DelegatedCgroup", "delegated_group", "delegated_place", "limits_missing"]

_NAME = "overlaykit"
_FIELDS = {"memory": "memory", "cpu": "cpus", "pids": "pids"}
"""The members of :class:`Limits`, by the controllers that they need."""

_WRITTEN = ("", "/cgroup.procs", "/cgroup.subtree_control")


class DelegatedCgroup:
    """The group of one container with limits; none where there are no limits, or where none can be made.

    :ivar into: ``None``: it is moved into, not born in.
    :ivar descriptors: of its ``cgroup.procs``.
    :ivar guards_devices: ``False``: a user namespace keeps the machine's devices closed by itself.
    """

    into: int | None = None
    guards_devices = False

    def __init__(self, group: UnifiedCgroup | None) -> None:
        self._group = group
        self.descriptors: list[int] = [] if group is None else list(group.descriptors)

    def close(self) -> None:
        """Remove it; what still runs in it keeps it until the next container comes after its end."""
        self.descriptors.clear()
        if self._group is not None:
            self._group.close()
            self._group = None

    def __enter__(self) -> DelegatedCgroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def delegated_group(id: str, limits: Limits) -> DelegatedCgroup:
    """Make the group of a container where this user may.

    :param id: the container's.
    :param limits: those that do not hold here are one :class:`RuntimeWarning`.
    :raises RunError: a limit is refused.
    """
    if not limits:
        return DelegatedCgroup(None)
    missing = limits_missing(limits)
    if missing is not None:
        warnings.warn(missing, RuntimeWarning, stacklevel=4)
    place = delegated_place()
    held = replace(limits, **{_FIELDS[one]: None for one in _lacking(place, limits)})
    if place is None or not held:
        return DelegatedCgroup(None)
    group = UnifiedCgroup(id, held, root=place, devices=False)
    sweep(f"{place}/{_NAME}")
    return DelegatedCgroup(group)


def limits_missing(limits: Limits) -> str | None:
    """Tell which of the limits do not hold for a container of this user, and what would help; ``None`` where all do."""
    place = delegated_place()
    lacking = _lacking(place, limits)
    if not lacking:
        return None
    names = ", ".join(name for one, (name, _) in limit_files(limits).items() if one in lacking)
    what = f"the limit of {names} does" if len(lacking) == 1 else f"the limits of {names} do"
    if place is not None:
        controllers = ", ".join(lacking)
        why = f"{place} has no controller {controllers}: have root add it to Delegate= of user@.service, or run as root"
    elif _unified_mount() is None or _has_version_1():
        why = (
            "without root that takes control groups of version 2 alone (systemd.unified_cgroup_hierarchy=1 on the "
            "kernel's command line), or run as root"
        )
    else:
        why = "this process is in no control group of its user's: start it with systemd-run --user --scope, or as root"
    return f"{what} not hold: {why}"


def delegated_place() -> str | None:
    """Return the highest group above this process that this user may write, ``None`` where there is none."""
    mount = _unified_mount()
    if mount is None:
        return None
    found = None
    for path in _up(mount, _own_group()):
        if not all(os.access(path + name, os.W_OK) for name in _WRITTEN):
            break
        found = path
    return found


def _lacking(place: str | None, limits: Limits) -> list[str]:
    """Return the controllers that limits need and a group does not have."""
    there: list[str] = []
    if place is not None:
        with open(f"{place}/cgroup.controllers", encoding="ascii") as file:
            there = file.read().split()
    return [one for one in limit_files(limits) if one not in there]


def _up(mount: str, group: str) -> Iterator[str]:
    path = f"{mount}{group}".rstrip("/")
    while True:
        yield path
        if path == mount:
            return
        path = os.path.dirname(path)


def _own_group() -> str:
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if line.startswith("0::/"):
                return line[3:].rstrip("\n").rstrip("/")
    return ""


def _unified_mount() -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 "):
                return left.split()[4]
    return None


def _has_version_1() -> bool:
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return any(not line.startswith("0::") and ":name=" not in line for line in file)
