"""Dockerfiles: from the text to what each instruction means (BuildKit's Dockerfile reference).

:func:`parse` gives the instructions as values, :class:`Globals` and :class:`Scope` the variables in them,
:func:`plan` the stages that a target needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names
from ._ast import (
    PIPES,
    Add,
    Arg,
    Argument,
    Check,
    Cmd,
    Command,
    Copy,
    Directives,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stage,
    Stopsignal,
    Transfer,
    User,
    Volume,
    Workdir,
)
from ._directives import parse_check
from ._globals import Globals
from ._lint import lint
from ._mounts import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount, WrittenMount
from ._parse import parse, parse_triggers
from ._place import Place, Source, Word
from ._plan import ContextOrigin, ImageOrigin, Origin, Plan, PlannedStage, ScratchOrigin, StageOrigin, plan
from ._rules import RULES, Finding, Rule
from ._scope import Scope

if TYPE_CHECKING:
    from ._outline import Outline, OutlineArgument, Target, outline, targets

__all__ = [
    "PIPES",
    "RULES",
    "Add",
    "Arg",
    "Argument",
    "BindMount",
    "CacheMount",
    "Check",
    "Cmd",
    "Command",
    "ContextOrigin",
    "Copy",
    "Directives",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expose",
    "Finding",
    "From",
    "Globals",
    "Healthcheck",
    "Heredoc",
    "ImageOrigin",
    "Instruction",
    "Label",
    "Maintainer",
    "Mount",
    "Onbuild",
    "Origin",
    "Outline",
    "OutlineArgument",
    "Place",
    "Plan",
    "PlannedStage",
    "Rule",
    "Run",
    "Scope",
    "ScratchOrigin",
    "SecretMount",
    "Shell",
    "Source",
    "SshMount",
    "Stage",
    "StageOrigin",
    "Stopsignal",
    "Target",
    "TmpfsMount",
    "Transfer",
    "User",
    "Volume",
    "Word",
    "Workdir",
    "WrittenMount",
    "lint",
    "outline",
    "parse",
    "parse_check",
    "parse_triggers",
    "plan",
    "targets",
]

_LATER = dict.fromkeys(("Outline", "OutlineArgument", "Target", "outline", "targets"), "_outline")
"""What no build needs."""

__getattr__, __dir__ = lazy_names(globals(), _LATER)
