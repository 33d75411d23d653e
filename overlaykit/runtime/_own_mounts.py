"""The ``mounts`` of an OCI document as records of a plan."""

from __future__ import annotations

import os

from .. import errors
from ..values import value_class
from ._own_protocol import Bind, Mount, Namespace, Operation

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from ._bundle import Bundle
    from ._own_protocol import PlanWriter

__all__ = ["add_mounts", "within"]

#: Options of mount(8) that are attributes of a mount: what they set and what they clear.
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (Mount.RDONLY, 0),
    "rw": (0, Mount.RDONLY),
    "nosuid": (Mount.NOSUID, 0),
    "suid": (0, Mount.NOSUID),
    "nodev": (Mount.NODEV, 0),
    "dev": (0, Mount.NODEV),
    "noexec": (Mount.NOEXEC, 0),
    "exec": (0, Mount.NOEXEC),
    "nodiratime": (Mount.NODIRATIME, 0),
    "diratime": (0, Mount.NODIRATIME),
    "noatime": (Mount.NOATIME, Mount.ATIME),
    "strictatime": (Mount.STRICTATIME, Mount.ATIME),
    "relatime": (0, Mount.ATIME),
    "atime": (0, 0),
    "nosymfollow": (Mount.NOSYMFOLLOW, 0),
    "symfollow": (0, Mount.NOSYMFOLLOW),
}

#: How mounts spread (mount_namespaces(7)); the recursive forms are what is done in any case.
_PROPAGATION = {"private": 1 << 18, "slave": 1 << 19, "unbindable": 1 << 17}

#: Where what a kernel shows is expected: a symbolic link there is no choice of an image's.
_KERNEL = ("proc", "sys", "dev")


@value_class
class _Options:
    set: int
    clear: int
    recursive: bool
    bind: bool
    propagation: int
    data: tuple[str, ...]


def _options(words: Iterable[str], target: str) -> _Options:
    given = cleared = 0
    recursive = bind = False
    propagation = _PROPAGATION["private"]
    data = []
    for word in words:
        plain = word[1:] if word.startswith("r") and word[1:] in {*_ATTRIBUTES, *_PROPAGATION, "shared"} else word
        if word in ("bind", "rbind"):
            bind, recursive = True, recursive or word == "rbind"
        elif plain in _ATTRIBUTES:
            add, clear = _ATTRIBUTES[plain]
            given = (given & ~clear) | add
            cleared = (cleared & ~add) | clear
        elif plain in _PROPAGATION:
            propagation = _PROPAGATION[plain]
        elif plain == "shared":
            raise errors.RunError(
                f"a mount at {target} that spreads to the host (shared) is not possible with the own runner: "
                "use slave, or --runtime crun"
            )
        elif word not in ("defaults", "tmpcopyup", "copy", "nocopy"):
            data.append(word)
    return _Options(given, cleared, recursive, bind, propagation, tuple(data))


def within(place: str, path: str) -> tuple[str, str] | None:
    """Return the kind (``files`` or ``mounts``) and the number of what a document names below a bundle's place."""
    head = os.path.join(place, "")
    if not path.startswith(head):
        return None
    kind, _, number = path[len(head) :].partition("/")
    return (kind, number) if kind in ("files", "mounts") and number.isdecimal() else None


def add_mounts(plan: PlanWriter, bundle: Bundle, number: Callable[[int], int], namespaces: int) -> None:
    """Append all mounts of a bundle, in their order.

    :param number: tells what a descriptor's number will be in the runner.
    :raises RunError: one is beyond what the runner does.
    """
    for mount in bundle.config.get("mounts", ()):
        kind, target = mount.get("type") or "", mount["destination"]
        options = _options(mount.get("options", ()), target)
        how = 0 if os.path.normpath(target).split("/")[1] in _KERNEL else Bind.FOLLOW
        if kind == "cgroup":
            _add_cgroup(plan, options, target, namespaces)
        elif kind in ("bind", "none") or options.bind:
            _add_bind(plan, bundle, number, mount, options, how)
        else:
            _add_filesystem(plan, bundle, mount, options, how)


def _add_bind(
    plan: PlanWriter,
    bundle: Bundle,
    number: Callable[[int], int],
    mount: Mapping[str, Any],
    options: _Options,
    how: int,
) -> None:
    source, target = mount["source"], mount["destination"]
    inside = within(bundle.place, source)
    if inside and inside[0] == "files":
        file = bundle.files[int(inside[1])]
        attributes = options.set | Mount.NOSUID | Mount.NODEV
        plan.add(Operation.FILE, (file.mode, file.uid, file.gid, attributes, how), (target, file.data))
        return
    if options.recursive:
        how |= Bind.RECURSIVE
        if options.set & Mount.RDONLY:
            # What is read-only is so with all that is mounted in it, as Docker has it since 25.
            how |= Bind.ALL_READONLY
    descriptor = number(bundle.sources[int(inside[1])]) if inside else -1
    numbers = (descriptor, options.set, options.clear, how, options.propagation)
    plan.add(Operation.BIND, numbers, (source, target))


def _mapped(option: str, bundle: Bundle) -> bool:
    """Whether an option names an owner that a namespace of one user has."""
    name, _, value = option.partition("=")
    return not (bundle.rootless and name in ("uid", "gid") and value != "0")


def _add_filesystem(plan: PlanWriter, bundle: Bundle, mount: Mapping[str, Any], options: _Options, how: int) -> None:
    kind, target = mount["type"], mount["destination"]
    instead = "/sys" if kind == "sysfs" else ""
    if kind == "mqueue":
        how |= Bind.OPTIONAL
    data = [option for option in options.data if _mapped(option, bundle)]
    texts = (kind, target, mount.get("source") or kind, instead, *data)
    plan.add(Operation.FILESYSTEM, (options.set, how), texts)


def _hierarchies(table: str = "/proc/self/cgroup") -> Sequence[str]:
    """Return the controllers of each cgroup hierarchy of version 1, as its mount names them; none with version 2."""
    try:
        with open(table, encoding="utf-8") as file:
            found = [line.rstrip("\n").split(":", 2)[1] for line in file]
    except FileNotFoundError:
        return ()
    return [one for one in found if one]


def _add_cgroup(plan: PlanWriter, options: _Options, target: str, namespaces: int) -> None:
    """Append the container's own part of the cgroups, where it has a cgroup namespace; else nothing is shown."""
    if not namespaces & Namespace.CGROUP:
        return
    hierarchies = _hierarchies()
    if not hierarchies:
        numbers = (options.set, Bind.OPTIONAL)
        plan.add(Operation.FILESYSTEM, numbers, ("cgroup2", target, "cgroup", ""))
        return
    flags = options.set & ~Mount.RDONLY
    plan.add(Operation.FILESYSTEM, (flags, 0), ("tmpfs", target, "cgroup", "", "mode=755", "size=64k"))
    for controllers in hierarchies:
        name = controllers.removeprefix("name=")
        numbers = (options.set, Bind.OPTIONAL)
        words = [controllers] if controllers.startswith("name=") else controllers.split(",")
        plan.add(Operation.FILESYSTEM, numbers, ("cgroup", f"{target}/{name}", "cgroup", "", *words))
    if options.set & Mount.RDONLY:
        plan.add(Operation.READONLY, (), (target,))
