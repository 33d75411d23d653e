"""One build from its Dockerfile to its image: what is needed, in which order, and at the same time where it can be."""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from ..image import record, timestamp
from ..values import replace
from . import dockerfile as ast
from ._bases import Bases
from ._cache_from import HistoryCache, known_steps
from ._context_source import ContextSource
from ._control import Control
from ._events import Reporter
from ._inherit import Inherited
from ._layers import LayerMaker, Stack
from ._mounts import RunMounts
from ._origins import Origins
from ._prepare import Preparation, failing, threads, wait_for
from ._request import BuildResult, BuildWarning
from ._run import RunSteps
from ._scratch import sweep_scratch
from ._sources import Remotes
from ._stage import StageBuild, StageResult
from ._transfer import TransferSteps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..image import Image
    from ._request import BuildRequest
    from ._store import BuildStore
    from ._tasks import Task

__all__ = ["check", "outline", "solve", "targets"]

_EPOCH = "1970-01-01T00:00:00Z"
"""When an image was made in which nothing was made."""


def solve(store: BuildStore, request: BuildRequest) -> BuildResult:
    """See :meth:`BuildStore.build`."""
    sweep_scratch(store)
    with _begun(store, request) as build:
        return build.run()


def check(store: BuildStore, request: BuildRequest) -> tuple[BuildWarning, ...]:
    """See :meth:`BuildStore.check_build`."""
    with _begun(store, request) as build:
        return build.check()


def outline(store: BuildStore, request: BuildRequest) -> ast.Outline:
    """See :meth:`BuildStore.outline_build`."""
    with _begun(store, request) as build:
        return build.outline()


@contextlib.contextmanager
def _begun(store: BuildStore, request: BuildRequest) -> Iterator[_Build]:
    with store.adding(), contextlib.closing(ContextSource(store, request)) as context:
        build = _Build(store, request, context)
        try:
            yield build
        finally:
            build.finish()


def targets(store: BuildStore, request: BuildRequest) -> list[ast.Target]:
    """See :meth:`BuildStore.build_targets`."""
    with contextlib.closing(ContextSource(store, request)) as context:
        text, name = context.dockerfile()
        return ast.targets(ast.parse(text, name=name))


class _Build:
    def __init__(self, store: BuildStore, request: BuildRequest, context: ContextSource) -> None:
        self._store = store
        self._request = request
        self._context = context
        self._control = Control()
        self._reporter = Reporter(request.progress)
        self._bases = Bases(store, request, self._reporter, self._control, layers=request.build)
        self._origins = Origins(store, request, self._bases, context.open, self._stage_stack)
        self._remotes = Remotes(store, request, self._control)
        self._transfers = TransferSteps(store, request, self._origins, self._remotes, self._control)
        mounts = RunMounts(store, request, self._origins, self._transfers, store.build_locks, self._control)
        self._runs = RunSteps(store, request, mounts, self._control)
        self._results: dict[int, Task[StageResult]] = {}
        self._scopes: dict[int, ast.Scope] = {}
        self._names: dict[int, str] = {}

    def finish(self) -> None:
        """Let no thread be at work any more, and let go of connections."""
        self._control.finish()
        self._remotes.close()

    def run(self) -> BuildResult:
        began = time.monotonic()
        try:
            self._prepared = self._prepare()
            findings = self._prepared.findings(self._transfers)
            self._prepared.refuse(findings)
            warnings = self._prepared.warnings(findings)
            maker = self._maker()
            try:
                result = self._stages(self._prepared.plan, maker)
            finally:
                self._transfers.save_stats()
        except BaseException as error:
            self._ended(error)
            raise
        maker.note_use()
        with self._reporter.step("exporting to image") as step:
            image = self._export(result)
            step.progress(f"writing image {image.digest}")
            for tag in image.references:
                step.progress(f"naming to {tag}")
        warnings += [
            BuildWarning("UnusedBuildArg", f"no ARG declares the build argument {unused}: declare it, or leave it")
            for unused in self._prepared.globals.unused
        ]
        return BuildResult(
            image, maker.steps, maker.cached, time.monotonic() - began, (*warnings, *self._runs.warnings)
        )

    def check(self) -> tuple[BuildWarning, ...]:
        prepared = self._prepare()
        return tuple(prepared.warnings(prepared.findings(self._transfers)))

    def outline(self) -> ast.Outline:
        prepared = self._prepare()
        return ast.outline(prepared.dockerfile, prepared.globals, prepared.plan)

    def _prepare(self) -> Preparation:
        prepared = Preparation(self._request, self._context, self._reporter, self._control, self._bases, self._origins)
        self._transfers.dockerfile = prepared.name
        return prepared

    def _ended(self, error: BaseException) -> None:
        """Offer a shell where a RUN failed, when all else has ended."""
        failed = self._runs.failed
        if failed is not None and failed.error is error and self._request.debug is not None:
            self._request.debug(failed.error, failed.shell)

    def _maker(self) -> LayerMaker:
        images = [self._bases.find(reference) for reference in self._request.cache_from]
        return LayerMaker(
            self._store,
            self._store.build_cache,
            self._store.build_locks,
            self._control,
            known=known_steps(images),
            histories=HistoryCache(images),
            no_cache=self._request.no_cache,
            compression=self._request.compression,
            epoch=self._request.epoch,
        )

    # -- building ------------------------------------------------------------------------------------------------------

    def _stages(self, plan: ast.Plan, maker: LayerMaker) -> StageResult:
        many = len(plan.stages) > 1
        for one in plan.stages:
            self._names[one.stage.index] = one.stage.name or (f"stage-{one.stage.index}" if many else "")
        # Each stage begins after those that it may wait for: with threads for some of them, one always goes on.
        count = min(len(plan.stages), max(4, os.cpu_count() or 1))
        with threads(self._control, count, "overlaykit-build") as tasks:
            for one in plan.stages:
                self._results[one.stage.index] = tasks.submit(partial(failing, self._control, self._stage, one, maker))
            wait_for(self._control, list(self._results.values()))
        return self._results[plan.target].result()

    def _stage_stack(self, index: int) -> Stack:
        return self._results[index].result().stack

    def _stage(self, planned: ast.PlannedStage, maker: LayerMaker) -> StageResult:
        stage = planned.stage
        inherited = self._inherited(planned)
        environment = inherited.config.environment
        if isinstance(planned.base, ast.StageOrigin):
            # Its ARGs go on too.
            scope = self._scopes[planned.base.index].copy(environment=environment)
        else:
            scope = self._prepared.globals.scope(stage, environment=environment)
        self._scopes[stage.index] = scope
        instructions = (*self._prepared.triggers[stage.index], *stage.instructions)
        base = self._prepared.base(planned.base)
        if isinstance(planned.base, ast.ContextOrigin) and base is None:
            # A directory: its files are what the stage begins with.
            first = _copy_of(stage.base)
            planned = replace(planned, origins={**planned.origins, str(first.origin): planned.base})
            instructions = (first, *instructions)
        build = StageBuild(
            self._names[stage.index],
            planned,
            instructions,
            inherited,
            scope,
            maker,
            self._runs,
            self._transfers,
            self._reporter,
            self._place,
            {"epoch": self._request.epoch},
        )
        if base is not None:
            with self._reporter.step(build.step_name(f"FROM {base.name}")) as step:
                step.done()
        return build.run()

    def _inherited(self, planned: ast.PlannedStage) -> Inherited:
        if isinstance(planned.base, ast.StageOrigin):
            return Inherited.stage(self._results[planned.base.index].result(), self._request.platform)
        base = self._prepared.base(planned.base)
        if base is None:
            return Inherited.scratch(self._request.platform)
        return Inherited.image(base, self._request.platform)

    def _place(self, one: ast.Instruction) -> str:
        return f"{self._prepared.dockerfile.source.name}:{one.place.line}"

    # -- the image -----------------------------------------------------------------------------------------------------

    def _export(self, result: StageResult) -> Image:
        moment = None if self._request.epoch is None else timestamp(self._request.epoch)
        history = [dict(one) for one in result.history[: result.foreign]]
        own = result.history[result.foreign :]
        first = next((str(one["created"]) for one in own if one.get("created")), _EPOCH)
        last = next((str(one["created"]) for one in reversed(history) if one.get("created")), first)
        for one in own:
            # What made nothing was made when the last thing was, so that the cache gives the same image.
            last = moment or str(one.get("created") or last)
            history.append({"created": last, **{name: value for name, value in one.items() if name != "created"}})
        document = result.config.finish(result.stack.diff_ids, history, moment or last, self._request.labels)
        names = list(self._request.tags)
        image = record(
            self._store, document, [layer.descriptor for layer in result.stack.layers], names[0] if names else None
        )
        return self._store.tag(image, *names[1:]) if names[1:] else image


def _copy_of(base: ast.From) -> ast.Copy:
    """Return what copies all of a directory that a stage begins with."""
    image = base.image
    return ast.Copy(
        keyword=base.keyword,
        text=base.text,
        sources=(image.with_text("."),),
        target=image.with_text("/"),
        origin=image,
    )
