"""Seccomp profiles: Docker's default one, and those that a user brings, as the runtime specification has them."""

from __future__ import annotations

import json
import os

from .. import errors
from ._capabilities import ALL
from ._seccomp_data import (
    ALWAYS,
    BY_ARCHITECTURE,
    BY_CAPABILITY,
    NAMESPACE_FLAGS,
    PERSONALITIES,
    SUBARCHITECTURES,
)

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

__all__ = ["default_profile", "seccomp_section"]

_ALLOW = "SCMP_ACT_ALLOW"
_EPERM, _ENOSYS = 1, 38
_VSOCK = 40

# As Go names them, and Docker's profiles with it.
_GO = {"x86_64": "amd64", "aarch64": "arm64"}


def seccomp_section(profile: str, capabilities: Collection[str], machine: str | None = None) -> dict[str, Any] | None:
    """Return ``linux.seccomp`` of a bundle.

    :param profile: ``"default"``, ``"unconfined"``, or the JSON text of a profile: of Docker's form, with
        ``includes``, ``excludes`` and ``archMap``, or of the runtime specification's.
    :param capabilities: what the container may have, which some of the rules go by.
    :param machine: as :func:`os.uname` has it; ``None`` is this one.
    :returns: ``None`` for no filter.
    :raises RunError: the text is no profile.
    """
    machine = machine or os.uname().machine
    if profile == "unconfined":
        return None
    if profile == "default":
        return default_profile(capabilities, machine)
    try:
        document = json.loads(profile)
        return _resolve(document, capabilities, machine)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.RunError(
            f"the seccomp profile is none ({type(error).__name__}: {error}): give a JSON file of the form of Docker's "
            "profiles"
        ) from error


def default_profile(capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """Return Docker's default profile for a machine."""
    names = list(ALWAYS)
    names += BY_ARCHITECTURE.get(machine, ())
    for capability in capabilities:
        names += BY_CAPABILITY.get(capability, ())
    rules: list[dict[str, Any]] = [
        {"names": sorted(set(names)), "action": _ALLOW},
        {"names": ["socket"], "action": _ALLOW, "args": [_argument(0, _VSOCK, "SCMP_CMP_NE")]},
    ]
    rules += [
        {"names": ["personality"], "action": _ALLOW, "args": [_argument(0, value, "SCMP_CMP_EQ")]}
        for value in PERSONALITIES
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        flags = _argument(1 if machine == "s390x" else 0, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ")
        rules.append({"names": ["clone"], "action": _ALLOW, "args": [flags]})
        # The C library asks for clone3 first and takes clone where there is none; its flags no filter can see.
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(SUBARCHITECTURES.get(machine, ())),
        "syscalls": rules,
    }


def _argument(index: int, value: int, op: str) -> dict[str, Any]:
    # A masked comparison has its mask in `value`, and in `valueTwo` what is to be left: nothing.
    return {"index": index, "value": value, "valueTwo": 0, "op": op}


def _resolve(document: Mapping[str, Any], capabilities: Collection[str], machine: str) -> dict[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("defaultAction"), str):
        raise ValueError("there is no defaultAction")
    made = {
        key: document[key] for key in ("defaultAction", "defaultErrnoRet", "flags", "architectures") if key in document
    }
    native = SUBARCHITECTURES.get(machine, ("",))[0]
    for entry in document.get("archMap") or ():
        if entry["architecture"] == native:
            made["architectures"] = [native, *(entry.get("subArchitectures") or ())]
    rules = []
    for rule in document.get("syscalls") or ():
        if not _holds(rule.get("includes") or {}, rule.get("excludes") or {}, capabilities, machine):
            continue
        names: Sequence[str] = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
        kept = {key: rule[key] for key in ("action", "errnoRet", "args") if rule.get(key) is not None}
        if not all(isinstance(name, str) for name in names) or not isinstance(kept.get("action"), str):
            raise ValueError("a rule has no names or no action")
        rules.append({"names": list(names), **kept})
    made["syscalls"] = rules
    return made


def _holds(
    includes: Mapping[str, Any], excludes: Mapping[str, Any], capabilities: Collection[str], machine: str
) -> bool:
    known = {machine, _GO.get(machine, machine)}
    unknown = [name for name in (*(includes.get("caps") or ()), *(excludes.get("caps") or ())) if name not in ALL]
    if unknown:
        raise ValueError(f"there is no capability {unknown[0]!r}")
    if includes.get("arches") and not known & set(includes["arches"]):
        return False
    if known & set(excludes.get("arches") or ()):
        return False
    if not set(includes.get("caps") or ()) <= set(capabilities):
        return False
    if set(excludes.get("caps") or ()) & set(capabilities):
        return False
    oldest = includes.get("minKernel")
    return not oldest or _version(os.uname().release) >= _version(oldest)


def _version(text: str) -> tuple[int, int]:
    parts = text.split(".")
    return int(parts[0]), int("".join(one for one in parts[1] if one.isdigit()) or 0)
