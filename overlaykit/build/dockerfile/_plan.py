"""Which stages a target needs, and what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ._ast import Dockerfile, Instruction, Stage
    from ._globals import Globals

__all__ = ["ContextOrigin", "ImageOrigin", "Origin", "Plan", "PlannedStage", "ScratchOrigin", "StageOrigin", "plan"]


@dataclass(frozen=True, slots=True)
class StageOrigin:
    """Another stage of the Dockerfile.

    :param index: which one.
    """

    index: int


@dataclass(frozen=True, slots=True)
class ImageOrigin:
    """An image.

    :param reference: its name, variables expanded.
    :param platform: the one that FROM asks for; ``""`` for the target's.
    """

    reference: str
    platform: str = ""


@dataclass(frozen=True, slots=True)
class ContextOrigin:
    """A named context of the caller's.

    :param name: its name among those that were given.
    :param platform: the one that FROM asks for; ``""`` for the target's.
    """

    name: str
    platform: str = ""


@dataclass(frozen=True, slots=True)
class ScratchOrigin:
    """Nothing: ``FROM scratch``."""


Origin = StageOrigin | ImageOrigin | ContextOrigin | ScratchOrigin


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage that the target needs.

    :param stage: the stage.
    :param base: what it begins with.
    :param origins: what each name after ``--from`` and ``--mount from=`` in it means, by the name, expanded.
    :param needs: the indexes of the stages that must be built before it.
    """

    stage: Stage
    base: Origin
    origins: Mapping[str, Origin]
    needs: frozenset[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build.

    :param stages: those that the target needs, each after those that it needs; the target is the last.
    :param target: the target's index in the Dockerfile.
    """

    stages: tuple[PlannedStage, ...]
    target: int


def plan(
    dockerfile: Dockerfile,
    globals: Globals,
    *,
    target: str | None = None,
    named_contexts: Collection[str] = (),
    triggers: Mapping[int, Sequence[Instruction]] | None = None,
) -> Plan:
    """Find what has to be built.

    :param globals: the build arguments and platforms, for the variables in FROM.
    :param target: a stage's name or number; ``None`` for the last one.
    :param named_contexts: names that the caller gives a meaning of its own, before stages and images.
    :param triggers: by stage, the ONBUILD instructions of its base image, which come before its own.
    :raises DockerfileError: a stage that there is not, a cycle, or a FROM that cannot be expanded.
    """
    raise NotImplementedError
