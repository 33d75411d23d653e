"""Which stages a target needs, and what each of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import errors
from ...image import Reference
from ...values import value_class
from ._ast import Run, Transfer
from ._flags import close
from ._mounts import WrittenMount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ._ast import Dockerfile, Instruction, Stage
    from ._globals import Globals
    from ._place import Word

__all__ = ["ContextOrigin", "ImageOrigin", "Origin", "Plan", "PlannedStage", "ScratchOrigin", "StageOrigin", "plan"]


@value_class
class StageOrigin:
    """Another stage of the Dockerfile.

    :param index: which one.
    """

    index: int


@value_class
class ImageOrigin:
    """An image.

    :param reference: its name, variables expanded.
    :param platform: the one that FROM asks for; ``""`` for the target's.
    """

    reference: str
    platform: str = ""


@value_class
class ContextOrigin:
    """A named context of the caller's.

    :param name: its name among those that were given.
    :param platform: the one that FROM asks for; ``""`` for the target's.
    """

    name: str
    platform: str = ""


@value_class
class ScratchOrigin:
    """Nothing: ``FROM scratch``."""


Origin = StageOrigin | ImageOrigin | ContextOrigin | ScratchOrigin


@value_class
class PlannedStage:
    """A stage that the target needs.

    :param stage: the stage.
    :param base: what it begins with.
    :param origins: what each name after ``--from`` and ``--mount from=`` in it means, by the name.
    :param needs: the indexes of the stages that must be built before it.
    """

    stage: Stage
    base: Origin
    origins: Mapping[str, Origin]
    needs: frozenset[int]


@value_class
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
        self._source = dockerfile.source
        self._dockerfile = dockerfile
        self._globals = globals
        self._named = {name.lower(): name for name in named}
        self._triggers = triggers
        # Of stages with one name the last counts, but for a FROM the last one before it.
        self._names = {stage.name: stage.index for stage in dockerfile.stages if stage.name}
        self._bases: dict[int, Origin] = {}
        self._origins: dict[int, dict[str, Origin]] = {}
        self._needs: dict[int, dict[int, Word]] = {}

    def run(self, target: str | None) -> Plan:
        index = len(self._dockerfile.stages) - 1 if target is None else self._target(target)
        before: dict[str, int] = {}
        for stage in self._dockerfile.stages:
            self._look(stage, before)
            if stage.name:
                before[stage.name] = stage.index
        self._refuse_cycles()
        needed = self._needed(index)
        self._refuse_later(needed)
        return Plan(tuple(self._planned(one) for one in sorted(needed)), index)

    def _target(self, target: str) -> int:
        count = len(self._dockerfile.stages)
        if target.lower() in self._names:
            return self._names[target.lower()]
        if target.isascii() and target.isdecimal() and len(target) < 10 and int(target) < count:
            return int(target)
        names = ", ".join(self._names) or f"0 to {count - 1}"
        hint = close(target, self._names) or f"; there is {names}"
        place = self._dockerfile.stages[-1].base.place
        raise self._source.error(place, f"there is no stage {target[:50]!r} to build{hint}")

    def _look(self, stage: Stage, before: Mapping[str, int]) -> None:
        base = self._globals.base(stage)
        begins = self._origin(base.image, "" if base.platform is None else str(base.platform), before)
        origins: dict[str, Origin] = {}
        needs: dict[int, Word] = {}
        if isinstance(begins, StageOrigin):
            needs[begins.index] = stage.base.image
        for one in (*self._triggers.get(stage.index, ()), *stage.instructions):
            for word in _written(one):
                found = origins[str(word)] = self._numbered(word)
                if isinstance(found, StageOrigin):
                    needs.setdefault(found.index, word)
        self._bases[stage.index], self._origins[stage.index], self._needs[stage.index] = begins, origins, needs

    def _planned(self, index: int) -> PlannedStage:
        stage = self._dockerfile.stages[index]
        return PlannedStage(stage, self._bases[index], self._origins[index], frozenset(self._needs[index]))

    def _origin(self, word: Word, platform: str, names: Mapping[str, int]) -> Origin:
        name = word.lower()
        if name in self._named:
            return ContextOrigin(self._named[name], platform)
        if name == "scratch":
            return ScratchOrigin()
        if name in names:
            return StageOrigin(names[name])
        try:
            Reference.parse(word)
        except errors.ImageReferenceError as error:
            raise self._source.error(word.place, f"{error}{close(word, self._names)}") from None
        return ImageOrigin(str(word), platform)

    def _numbered(self, word: Word) -> Origin:
        """Return what follows ``--from``, which may also be a stage's number."""
        if not (word.isascii() and word.isdecimal()) or word in self._named:
            return self._origin(word, "", self._names)
        if len(word) > 9 or int(word) >= len(self._dockerfile.stages):
            last = len(self._dockerfile.stages) - 1
            raise self._source.error(word.place, f"there is no stage {word[:20]}: they count from 0 to {last}")
        return StageOrigin(int(word))

    def _refuse_cycles(self) -> None:
        """Walk along the needs; who comes back to a stage that it is on the way from has gone in a circle."""
        done: set[int] = set()
        for start in self._needs:
            way: dict[int, Iterator[tuple[int, Word]]] = {}
            at: int | None = start
            while at is not None:
                if at not in way:
                    way[at] = iter(self._needs[at].items())
                for need, word in way[at]:
                    if need in way:
                        circle = [self._name(one) for one in [*way][[*way].index(need) :]] + [self._name(need)]
                        raise self._source.error(
                            word.place, f"stages need each other in a circle: {' needs '.join(circle)}; break it"
                        )
                    if need not in done:
                        at = need
                        break
                else:
                    done.add(at)
                    del way[at]
                    at = next(reversed(way), None)

    def _needed(self, index: int) -> set[int]:
        needed, left = {index}, [index]
        while left:
            new = set(self._needs[left.pop()]) - needed
            needed |= new
            left += new
        return needed

    def _refuse_later(self, needed: set[int]) -> None:
        for index in sorted(needed):
            for need, word in self._needs[index].items():
                if need > index:
                    raise self._source.error(
                        word.place, f"the stage {self._name(need)} comes after this one: move it before it"
                    )

    def _name(self, index: int) -> str:
        return self._dockerfile.stages[index].name or str(index)


def _written(one: Instruction) -> list[Word]:
    if isinstance(one, Transfer):
        return [one.origin] if one.origin is not None else []
    if isinstance(one, Run):
        return [mount.origin for mount in one.mounts if isinstance(mount, WrittenMount) and mount.origin is not None]
    return []
