"""What a Dockerfile offers to who builds it: its targets, and what one of them takes (``docker build --call``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import value_class
from . import _ast as ast
from ._mounts import SecretMount, SshMount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._ast import Dockerfile, Instruction
    from ._globals import Globals
    from ._plan import Plan
    from ._scope import Scope

__all__ = ["Outline", "OutlineArgument", "Target", "outline", "targets"]


@value_class
class Target:
    """A stage that can be built.

    :param name: its name; ``""`` for none.
    :param default: whether it is what is built where no target is named.
    :param description: what the comment above it says, where that begins with its name.
    :param base: what its FROM names, as written.
    """

    name: str
    default: bool
    description: str
    base: str


@value_class
class OutlineArgument:
    """A build argument.

    :param value: what it is without being given, or was given; ``None`` for no value.
    :param description: what the comment above its ARG says, where that begins with its name.
    """

    name: str
    value: str | None
    description: str


@value_class
class Outline:
    """What a target takes.

    :param arguments: in their order; of a name that several ARGs have the last.
    :param secrets: ids, and whether each is required.
    :param agents: ids of SSH agents, and whether each is required.
    """

    target: Target
    arguments: tuple[OutlineArgument, ...]
    secrets: tuple[tuple[str, bool], ...]
    agents: tuple[tuple[str, bool], ...]


def targets(dockerfile: Dockerfile) -> list[Target]:
    """Return the stages of a Dockerfile, in their order."""
    last = len(dockerfile.stages) - 1
    return [_target(stage, default=stage.index == last) for stage in dockerfile.stages]


def outline(dockerfile: Dockerfile, globals: Globals, plan: Plan) -> Outline:
    """Return what a target takes, those stages included that it needs.

    :param plan: for the target.
    :raises DockerfileError: something cannot be expanded.
    """
    arguments: dict[str, OutlineArgument] = {}
    for one in dockerfile.arguments:
        for argument in one.arguments:
            name = str(argument.name)
            arguments[name] = OutlineArgument(name, globals.values.get(name), _described(one.comments, name))
    secrets: dict[str, bool] = {}
    agents: dict[str, bool] = {}
    scopes: dict[str, Scope] = {}
    for planned in plan.stages:
        base = str(globals.base(planned.stage).image).lower()
        known = scopes.get(base)
        scope = globals.scope(planned.stage, environment={}) if known is None else known.copy()
        scopes[planned.stage.name or str(planned.stage.index)] = scope
        for written, made in _resolved(planned.stage.instructions, scope):
            if isinstance(made, ast.Arg):
                for argument in made.arguments:
                    name = str(argument.name)
                    value = None if argument.default is None else str(argument.default)
                    before = arguments.get(name)
                    told = _described(written.comments, name) or (before.description if before is not None else "")
                    arguments[name] = OutlineArgument(name, value, told)
            elif isinstance(made, ast.Run):
                for mount in made.mounts:
                    if isinstance(mount, SecretMount):
                        secrets[mount.id] = secrets.get(mount.id, False) or mount.required
                    elif isinstance(mount, SshMount):
                        agents[mount.id] = agents.get(mount.id, False) or mount.required
    last = len(dockerfile.stages) - 1
    target = _target(dockerfile.stages[plan.target], default=plan.target == last)
    return Outline(target, tuple(arguments.values()), tuple(secrets.items()), tuple(agents.items()))


def _resolved(instructions: Sequence[Instruction], scope: Scope) -> Iterator[tuple[Instruction, Instruction]]:
    for one in instructions:
        yield one, scope.resolve(one)


def _target(stage: ast.Stage, *, default: bool) -> Target:
    return Target(stage.name, default, _described(stage.base.comments, stage.name), str(stage.base.image))


def _described(comments: Sequence[str], name: str) -> str:
    first, *rest = comments or ("",)
    word, _, told = first.partition(" ")
    return " ".join([told, *rest]).strip() if name and word == name else ""
