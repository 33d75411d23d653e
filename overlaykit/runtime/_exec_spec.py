"""The process of an exec: what the container is run with, but for what is asked for."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from ._start import process_in
from ._terminal import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..tree import Tree
    from ._values import ProcessSpec, RunOptions

__all__ = ["exec_spec"]


def exec_spec(
    tree: Tree, base: RunOptions, config: Mapping[str, Any], asked: Mapping[str, Any], terminal: int
) -> ProcessSpec:
    """Return the process.

    :param base: what the container is run with.
    :param config: that of its image.
    :param asked: ``args``, ``env``, ``cwd``, ``user`` and ``terminal``, as a message has them.
    :param terminal: a descriptor of the asker's own terminal.
    :raises RunError: there is no such user, or nothing to run.
    """
    changes: dict[str, Any] = {
        "args": tuple(asked["args"]),
        "entrypoint": (),
        "env": {**base.env, **(asked.get("env") or {})},
        "terminal": bool(asked.get("terminal")),
    }
    changes |= {name: asked[name] for name in ("cwd", "user") if asked.get(name) is not None}
    options = dataclasses.replace(base, **changes)
    spec = process_in(tree, options, config, base.hostname or os.uname().nodename)
    return dataclasses.replace(spec, size=size_of(terminal)) if spec.terminal else spec
