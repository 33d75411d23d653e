"""Options of a run as a JSON document: a stopped container is started again with those that it was made with."""

from __future__ import annotations

import base64
import dataclasses

from .. import errors
from ._values import BindMount, FileMount, Limits, RunOptions, TmpfsMount

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._detached import DetachedOptions
    from ._values import RunMount

__all__ = ["options_from_json", "options_to_json", "run_document"]


def options_to_json(options: RunOptions) -> dict[str, Any]:
    """Return the options as a document.

    :raises RunError: a mount's source is a descriptor, which nobody has later.
    """
    made: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in ("mounts", "limits")
    }
    for name, value in made.items():
        if isinstance(value, tuple):
            made[name] = list(value)
    for name in ("env", "annotations"):
        made[name] = dict(made[name])
    made["limits"] = dataclasses.asdict(options.limits)
    made["mounts"] = [_mount_to_json(one) for one in options.mounts]
    return made


def run_document(options: RunOptions, detached: DetachedOptions) -> dict[str, Any]:
    """Return all that a container is run with, as it is recorded to start it again.

    :raises RunError: a mount's source is a descriptor, which nobody has later.
    """
    return {
        "run": options_to_json(options),
        "interactive": detached.interactive,
        "log": dataclasses.asdict(detached.log),
        "stop_signal": detached.stop_signal,
        "stop_timeout": detached.stop_timeout,
        "runner": detached.runtime,
    }


def options_from_json(document: Mapping[str, Any]) -> RunOptions:
    """Return the options of a document.

    :raises StoreCorruptError: it is none of :func:`options_to_json`.
    """
    known = {field.name for field in dataclasses.fields(RunOptions)}
    values = {name: value for name, value in document.items() if name in known}
    try:
        for name in ("args", "cap_add", "cap_drop"):
            values[name] = tuple(values.get(name) or ())
        if values.get("entrypoint") is not None:
            values["entrypoint"] = tuple(values["entrypoint"])
        values["limits"] = Limits(**values.get("limits", {}))
        values["mounts"] = tuple(_mount_from_json(one) for one in values.get("mounts", ()))
        return RunOptions(**values)
    except (TypeError, KeyError, ValueError) as error:
        raise errors.StoreCorruptError(f"the recorded options of a container are damaged: {error}") from error


def _mount_to_json(mount: RunMount) -> dict[str, Any]:
    made = {field.name: getattr(mount, field.name) for field in dataclasses.fields(mount)}
    if isinstance(mount, BindMount) and isinstance(mount.source, int):
        raise errors.RunError(
            f"what is mounted at {mount.target[:200]} is an open descriptor, which a detached container cannot be "
            "started with again: give a path"
        )
    if isinstance(mount, FileMount):
        made["data"] = base64.b64encode(mount.data).decode("ascii")
    return {"kind": _NAMES[type(mount)], **made}


def _mount_from_json(document: Mapping[str, Any]) -> RunMount:
    values = dict(document)
    kind = _KINDS[values.pop("kind")]
    if kind is FileMount:
        values["data"] = base64.b64decode(values["data"])
    if kind is TmpfsMount:
        values["options"] = tuple(values["options"])
    made: RunMount = kind(**values)
    return made


_KINDS: dict[str, Any] = {"bind": BindMount, "tmpfs": TmpfsMount, "file": FileMount}

_NAMES: dict[type[object], str] = {kind: name for name, kind in _KINDS.items()}
