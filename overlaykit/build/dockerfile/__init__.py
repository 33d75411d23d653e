"""Dockerfiles: from the text to what each instruction means (BuildKit's Dockerfile reference).

:func:`parse` gives the instructions as values, :class:`Globals` and :class:`Scope` the variables in them,
:func:`plan` the stages that a target needs.
"""

from __future__ import annotations

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
from ._globals import Globals
from ._lint import lint
from ._mounts import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount, WrittenMount
from ._parse import parse, parse_triggers
from ._place import Place, Source, Word
from ._plan import ContextOrigin, ImageOrigin, Origin, Plan, PlannedStage, ScratchOrigin, StageOrigin, plan
from ._rules import RULES, Finding, Rule
from ._scope import Scope

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
    "TmpfsMount",
    "Transfer",
    "User",
    "Volume",
    "Word",
    "Workdir",
    "WrittenMount",
    "lint",
    "parse",
    "parse_triggers",
    "plan",
]
