"""From an OCI document to the plan of the own runner: what is decided is decided here, the runner does it.

Rules are those of the runtime specification 1.0 (config.md, config-linux.md); what the runner cannot do is refused, not
left out.
"""

from __future__ import annotations

import os

from .. import errors
from ._capabilities import ALL
from ._config import process_section
from ._own_mounts import add_mounts
from ._own_protocol import Bind, Namespace, Operation, PlanWriter
from ._privileges import Privileges
from ._seccomp_bpf import compile_seccomp

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ._bundle import Bundle
    from ._cgroup_guard import Groups
    from ._values import ProcessSpec

__all__ = ["Plan", "bundle_namespaces", "bundle_plan", "join_plan"]

_FIRST = 5

_SPEC_ALLOW = 4
"""SECCOMP_FILTER_FLAG_SPEC_ALLOW, as runc sets it where a profile has no flags: no mitigation that is not needed."""

_NAMESPACES = {
    "mount": Namespace.MOUNT,
    "pid": Namespace.PID,
    "ipc": Namespace.IPC,
    "uts": Namespace.UTS,
    "network": Namespace.NETWORK,
    "cgroup": Namespace.CGROUP,
    "user": Namespace.USER,
}

#: Devices that every container has (config-linux.md, "Default Devices").
_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
_KINDS = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}


class Plan:
    """A plan, and the descriptors that the runner inherits with it, as 5 and up."""

    __slots__ = ("descriptors", "writer")

    def __init__(self) -> None:
        self.writer = PlanWriter()
        self.descriptors: list[int] = []

    def number(self, descriptor: int) -> int:
        """Return what a descriptor's number is in the runner."""
        self.descriptors.append(descriptor)
        return _FIRST + len(self.descriptors) - 1


def bundle_namespaces(bundle: Bundle) -> int:
    """Return the namespaces that a container of a bundle has for itself.

    :raises RunError: it is to enter one that exists, or a kind that is not known.
    """
    found = Namespace.USER if bundle.rootless else 0
    for one in bundle.config.get("linux", {}).get("namespaces", ()):
        kind = one["type"]
        if kind not in _NAMESPACES or one.get("path"):
            what = f"to enter {one['path']}" if one.get("path") else f"a namespace of type {kind}"
            raise errors.RunError(f"the own runner cannot do this: {what}; use --runtime crun")
        found |= _NAMESPACES[kind]
    return found


def bundle_plan(
    bundle: Bundle, *, lifeline: int, group: Groups | None = None, init: bool = False, make_devices: bool = True
) -> Plan:
    """Return the plan for a container.

    :param lifeline: a descriptor of the process whose end is the container's (:func:`os.pidfd_open`).
    :param group: the control groups that it goes into.
    :param init: a small process 1 collects orphans and passes signals on.
    :param make_devices: the container may make device files, and open those of its image; to be denied where no cgroup
        guards the machine's devices.
    :raises RunError: the document asks for what the runner cannot do.
    """
    config = bundle.config
    linux = config.get("linux", {})
    namespaces = bundle_namespaces(bundle)
    _refuse(config, linux, namespaces)
    plan = Plan()
    add = plan.writer.add
    add(Operation.LIFELINE, (plan.number(lifeline),))
    add(Operation.NAMESPACES, (namespaces,))
    if namespaces & Namespace.USER:
        _add_ids(plan, linux, bundle)
    if namespaces & Namespace.NETWORK:
        add(Operation.LOOPBACK)
    _add_group(plan, group)
    if namespaces & Namespace.UTS:
        for key, operation in (("hostname", Operation.HOSTNAME), ("domainname", Operation.DOMAINNAME)):
            if config.get(key):
                add(operation, (), (config[key],))
    readonly = Bind.READONLY if config.get("root", {}).get("readonly") else 0
    # Without a guard, a device file that an image brings would be the machine's device.
    closed = 0 if make_devices else Bind.NODEV
    # In a user namespace what is mounted below may not be left out.
    below = 0 if bundle.privileges is Privileges.ROOT else Bind.RECURSIVE
    add(Operation.ROOT, (plan.number(bundle.root), below | readonly | closed), ("/",))
    add_mounts(plan.writer, bundle, plan.number, namespaces)
    if any(mount["destination"] == "/dev" for mount in config.get("mounts", ())):
        _add_devices(plan, linux, namespaces)
    for name, value in linux.get("sysctl", {}).items():
        add(Operation.SYSCTL, (), (name.replace(".", "/"), str(value)))
    add(Operation.READONLY, (), linux.get("readonlyPaths") or ())
    add(Operation.MASK, (), linux.get("maskedPaths") or ())
    process = config["process"]
    if not make_devices and process.get("capabilities") is not None:
        sets = process["capabilities"]
        kept = {kind: [name for name in names if name != "CAP_MKNOD"] for kind, names in sets.items()}
        process = {**process, "capabilities": kept}
    _add_process(plan, process, linux, deny_groups=bundle.rootless)
    if init:
        add(Operation.INIT)
    return plan


def join_plan(bundle: Bundle, process: ProcessSpec, *, member: int, lifeline: int, group: Groups | None) -> Plan:
    """Return the plan for one more process in a running container.

    :param member: a descriptor of the container's first process (:func:`os.pidfd_open`).
    """
    plan = Plan()
    add = plan.writer.add
    add(Operation.LIFELINE, (plan.number(lifeline),))
    add(Operation.JOIN, (plan.number(member), bundle_namespaces(bundle)))
    _add_group(plan, group)
    document = process_section(process) | {"rlimits": bundle.config.get("process", {}).get("rlimits", ())}
    if process.size is not None:
        document["consoleSize"] = {"height": process.size[0], "width": process.size[1]}
    _add_process(plan, document, bundle.config.get("linux", {}), deny_groups=bundle.rootless, make=False)
    return plan


def _add_group(plan: Plan, group: Groups | None) -> None:
    if group is not None and (group.into is not None or group.descriptors):
        into = -1 if group.into is None else plan.number(group.into)
        plan.writer.add(Operation.CGROUP, [into, *(plan.number(one) for one in group.descriptors)])


def _refuse(config: Mapping[str, Any], linux: Mapping[str, Any], namespaces: int) -> None:
    process = config["process"]
    wrong = [
        name
        for name, there in (
            ("hooks", config.get("hooks")),
            ("an AppArmor profile", process.get("apparmorProfile")),
            ("an SELinux label", process.get("selinuxLabel") or linux.get("mountLabel")),
            ("no mount namespace", not namespaces & Namespace.MOUNT),
            ("no process namespace", not namespaces & Namespace.PID),
            ("intelRdt", linux.get("intelRdt")),
            ("a personality", linux.get("personality")),
        )
        if there
    ]
    if wrong:
        raise errors.RunError(f"the own runner cannot do this: {', '.join(wrong)}; use --runtime crun")


def _add_ids(plan: Plan, linux: Mapping[str, Any], bundle: Bundle) -> None:
    lines = []
    for key, own in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
        given = linux.get(key) or ({"containerID": 0, "hostID": own, "size": 1},)
        lines.append("\n".join(f"{one['containerID']} {one['hostID']} {one['size']}" for one in given))
    plan.writer.add(Operation.IDS, (bundle.rootless,), lines)


def _add_devices(plan: Plan, linux: Mapping[str, Any], namespaces: int) -> None:
    # In a user namespace nobody makes device files: the machine's own are shown.
    bind = bool(namespaces & Namespace.USER)
    for path, major, minor in _DEVICES:
        plan.writer.add(Operation.DEVICE, (0o020666, major, minor, 0, 0, bind), (path,))
    for one in linux.get("devices", ()):
        mode = one.get("fileMode", 0o666) & 0o7777 | _KINDS[one["type"]]
        owner = (one.get("uid", 0), one.get("gid", 0))
        plan.writer.add(
            Operation.DEVICE, (mode, one.get("major", 0), one.get("minor", 0), *owner, bind), (one["path"],)
        )
    for text, path in _LINKS:
        plan.writer.add(Operation.LINK, (), (text, path))


def _bits(names: Iterable[str]) -> int:
    """Return a set of capabilities as a mask.

    :raises RunError: there is no such capability.
    """
    mask = 0
    for name in names:
        if name not in ALL:
            raise errors.RunError(f"there is no capability {name[:100]!r}: see capabilities(7), as CAP_NET_ADMIN")
        mask |= 1 << ALL.index(name)
    return mask


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _add_process(
    plan: Plan,
    process: Mapping[str, Any],
    linux: Mapping[str, Any],
    *,
    deny_groups: bool,
    make: bool = True,
) -> None:
    add = plan.writer.add
    if not process.get("args"):
        raise errors.RunError("there is no command to run: give one, or set CMD in the image", exit_code=125)
    for limit in process.get("rlimits", ()):
        import resource

        number = getattr(resource, limit["type"])
        add(Operation.LIMIT, (number, _signed(limit["soft"]), _signed(limit["hard"])))
    if process.get("oomScoreAdj") is not None:
        add(Operation.OOM_SCORE, (process["oomScoreAdj"],))
    cwd = process.get("cwd") or "/"
    add(Operation.DIRECTORY, (make,), (cwd,))
    user = process.get("user", {})
    groups = tuple(user.get("additionalGids") or ())
    if deny_groups and groups:
        groups = ()
    numbers = (user.get("uid", 0), user.get("gid", 0), user.get("umask", -1), not deny_groups, *groups)
    add(Operation.USER, numbers)
    if process.get("capabilities") is not None:
        sets = process["capabilities"]
        kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
        add(Operation.CAPABILITIES, [_signed(_bits(sets.get(kind) or ())) for kind in kinds])
    if process.get("noNewPrivileges"):
        add(Operation.NO_NEW_PRIVILEGES)
    if linux.get("seccomp"):
        program = compile_seccomp(linux["seccomp"], os.uname().machine)
        if program is None:
            raise errors.RunError(
                "the own runner cannot make a filter of this seccomp profile on this machine (its flags, or an action "
                "that needs a supervisor): use --runtime crun, or no profile"
            )
        add(Operation.SECCOMP, (_SPEC_ALLOW,), (program,))
    if process.get("terminal"):
        wanted = process.get("consoleSize") or {}
        add(Operation.TERMINAL, (wanted.get("height", 0), wanted.get("width", 0)))
    add(Operation.ARGUMENTS, (), process["args"])
    add(Operation.ENVIRONMENT, (), process.get("env") or ())
