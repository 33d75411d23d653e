"""Which stages a target needs, and what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._ast import Arg, Env, Run, Transfer
from ._mounts import WrittenMount

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ._ast import Dockerfile, Instruction, Stage
    from ._globals import Globals
    from ._place import Word

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
    return _Planner(dockerfile, globals, named_contexts, triggers or {}).run(target)


class _Planner:
    def __init__(
        self,
        dockerfile: Dockerfile,
        globals: Globals,
        named: Collection[str],
        triggers: Mapping[int, Sequence[Instruction]],
    ) -> None:
        self._dockerfile = dockerfile
        self._globals = globals
        self._named = {name.lower(): name for name in named}
        self._triggers = triggers
        self._names = {stage.name: stage.index for stage in dockerfile.stages if stage.name}
        self._done: dict[int, PlannedStage] = {}

    def run(self, target: str | None) -> Plan:
        index = len(self._dockerfile.stages) - 1 if target is None else self._target(target)
        self._visit(index, ())
        return Plan(tuple(self._done.values()), index)

    def _target(self, target: str) -> int:
        count = len(self._dockerfile.stages)
        if target.lower() in self._names:
            return self._names[target.lower()]
        if target.isdecimal() and int(target) < count:
            return int(target)
        there = ", ".join(stage.name for stage in self._dockerfile.stages if stage.name) or f"0 to {count - 1}"
        place = self._dockerfile.stages[-1].base.place
        raise self._dockerfile.source.error(place, f"there is no stage {target[:50]!r} to build; there are: {there}")

    def _visit(self, index: int, above: tuple[int, ...]) -> None:
        if index in self._done:
            return
        stage = self._dockerfile.stages[index]
        base = self._globals.base(stage)
        platform = "" if base.platform is None else str(base.platform)
        earlier = {name: at for name, at in self._names.items() if at < index}
        begins = self._origin(base.image, platform, earlier)
        scope = self._globals.scope(stage, environment={})
        origins: dict[str, Origin] = {}
        places = {}
        for one in (*self._triggers.get(index, ()), *stage.instructions):
            for word in _written(one):
                name = scope.expand(word)
                origins[name] = self._numbered(word, name, index)
                places[name] = word
            if isinstance(one, Arg | Env):
                scope.resolve(one)
        needs = {origin.index: places[name] for name, origin in origins.items() if isinstance(origin, StageOrigin)}
        if isinstance(begins, StageOrigin):
            needs[begins.index] = stage.base.image
        for need, word in needs.items():
            if need == index or need in above:
                shown = self._dockerfile.stages[need].name or str(need)
                raise self._dockerfile.source.error(
                    word.place, f"the stages need each other in a circle, by way of {shown}: copy from an earlier one"
                )
            self._visit(need, (*above, index))
        self._done[index] = PlannedStage(stage, begins, origins, frozenset(needs))

    def _origin(self, word: Word, platform: str, names: Mapping[str, int]) -> Origin:
        name = word.lower()
        if name in self._named:
            return ContextOrigin(self._named[name], platform)
        if name == "scratch":
            return ScratchOrigin()
        if name in names:
            return StageOrigin(names[name])
        return ImageOrigin(str(word), platform)

    def _numbered(self, word: Word, name: str, index: int) -> Origin:
        """What follows ``--from``, which may also be a stage's number."""
        if not name:
            raise self._dockerfile.source.error(word.place, "it names nothing to copy from: set the variable")
        if name.isdecimal() and name not in self._named:
            if int(name) >= index:
                raise self._dockerfile.source.error(
                    word.place, f"there is no stage {name} before this one: they count from 0"
                )
            return StageOrigin(int(name))
        return self._origin(word.with_text(name), "", self._names)


def _written(one: Instruction) -> list[Word]:
    if isinstance(one, Transfer):
        return [one.origin] if one.origin is not None else []
    if isinstance(one, Run):
        return [mount.origin for mount in one.mounts if isinstance(mount, WrittenMount) and mount.origin is not None]
    return []
