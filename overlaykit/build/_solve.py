"""One build from its Dockerfile to its image: what is needed, in which order, and at the same time where it can be."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from ..image import Platform, record, timestamp
from . import dockerfile as ast
from ._bases import Bases
from ._cache_from import HistoryCache, known_steps
from ._context_source import ContextSource
from ._control import Control, StoppedError
from ._events import Reporter
from ._inherit import Inherited
from ._layers import LayerMaker, Stack
from ._mounts import RunMounts
from ._origins import Origins
from ._request import BuildResult, BuildWarning
from ._run import RunSteps
from ._stage import StageBuild, StageResult
from ._transfer import TransferSteps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from ..image import Image
    from ._bases import Base
    from ._request import BuildRequest
    from ._store import BuildStore

__all__ = ["solve"]

_EPOCH = "1970-01-01T00:00:00Z"
"""When an image was made in which nothing was made."""


def solve(store: BuildStore, request: BuildRequest) -> BuildResult:
    """See :meth:`BuildStore.build`."""
    with store.adding(), contextlib.closing(ContextSource(store, request)) as context:
        return _Build(store, request, context).run()


class _Build:
    def __init__(self, store: BuildStore, request: BuildRequest, context: ContextSource) -> None:
        self._store = store
        self._request = request
        self._context = context
        self._control = Control()
        self._reporter = Reporter(request.progress)
        self._bases = Bases(store, request, self._reporter, self._control)
        self._origins = Origins(store, request, self._bases, context.open, self._stage_stack)
        self._transfers = TransferSteps(store, request, self._origins, self._control)
        mounts = RunMounts(store, request, self._origins, self._transfers, store.build_locks, self._control)
        self._runs = RunSteps(store, request, mounts, self._control)
        self._futures: dict[int, Future[StageResult]] = {}
        self._scopes: dict[int, ast.Scope] = {}
        self._names: dict[int, str] = {}
        self._warnings: list[BuildWarning] = []

    def run(self) -> BuildResult:
        began = time.monotonic()
        with self._reporter.step("[internal] load build definition from Dockerfile"):
            text, name = self._context.dockerfile()
            self._dockerfile = ast.parse(text, name=name)
        self._transfers.dockerfile = name
        self._globals = ast.Globals(
            self._dockerfile,
            build_args=self._request.build_args,
            platform=str(self._request.platform),
            build_platform=str(Platform.here()),
            target=self._request.target,
        )
        try:
            plan = self._plan()
            self._lint(plan)
            maker = self._maker()
            try:
                result = self._stages(plan, maker)
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
        for unused in self._globals.unused:
            self._warnings.append(
                BuildWarning("UnusedBuildArg", f"no ARG declares the build argument {unused}: declare it, or leave it")
            )
        warnings = (*self._warnings, *self._runs.warnings)
        return BuildResult(image, maker.steps, maker.cached, time.monotonic() - began, warnings)

    def _ended(self, error: BaseException) -> None:
        """Offer a shell where a RUN failed, when all else has ended."""
        failed = self._runs.failed
        if failed is not None and failed.error is error and self._request.debug is not None:
            self._request.debug(failed.error, failed.shell)

    # -- planning ------------------------------------------------------------------------------------------------------

    def _plan(self) -> ast.Plan:
        """Find what is needed; the triggers of base images may need more."""
        triggers: dict[int, Sequence[ast.Instruction]] = {}
        while True:
            plan = ast.plan(
                self._dockerfile,
                self._globals,
                target=self._request.target,
                named_contexts=tuple(self._request.named_contexts),
                triggers=triggers,
            )
            bases = self._load_bases([one for one in plan.stages if one.stage.index not in triggers])
            for index, base in bases.items():
                triggers[index] = self._triggers(plan, index, base)
            if not any(triggers[index] for index in bases):
                self._triggered = triggers
                return plan

    def _triggers(self, plan: ast.Plan, index: int, base: Base | None) -> Sequence[ast.Instruction]:
        if base is not None:
            return ast.parse_triggers(base.triggers, image=base.name) if base.triggers else ()
        origin = next(one.base for one in plan.stages if one.stage.index == index)
        if isinstance(origin, ast.StageOrigin):
            above = self._dockerfile.stages[origin.index]
            return tuple(one.instruction for one in above.instructions if isinstance(one, ast.Onbuild))
        return ()

    def _lint(self, plan: ast.Plan) -> None:
        """Say what would better be written otherwise."""
        environments: dict[int, dict[str, str]] = {}
        for one in plan.stages:
            base = self._base_of(one.base)
            if base is not None:
                pairs = (str(pair).partition("=") for pair in (base.document.get("config") or {}).get("Env") or ())
                environments[one.stage.index] = {name: value for name, _, value in pairs}
        findings = ast.lint(
            self._dockerfile,
            self._globals,
            environments=environments,
            only={one.stage.index for one in plan.stages},
            ignored=self._transfers.left_out(),
        )
        name = self._dockerfile.source.name
        self._warnings += [BuildWarning(one.rule, one.message, f"{name}:{one.place.line}") for one in findings]
        if findings and self._dockerfile.directives.check.error:
            first = findings[0]
            raise self._dockerfile.source.error(
                first.place, f"{first.rule}: {first.message}; it is an error because of # check=error=true"
            )

    def _load_bases(self, stages: Sequence[ast.PlannedStage]) -> dict[int, Base | None]:
        with concurrent.futures.ThreadPoolExecutor(4, "overlaykit-build-base") as pool:
            futures = {one.stage.index: pool.submit(self._failing, self._base_of, one.base) for one in stages}
            self._wait(list(futures.values()))
            return {index: future.result() for index, future in futures.items()}

    def _base_of(self, origin: ast.Origin) -> Base | None:
        if isinstance(origin, ast.ImageOrigin):
            return self._bases.find(origin.reference, origin.platform)
        if isinstance(origin, ast.ContextOrigin):
            image = self._origins.named_image(origin.name)
            return None if image is None else self._bases.find(image, origin.platform)
        return None

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
        threads = min(len(plan.stages), max(4, os.cpu_count() or 1))
        with concurrent.futures.ThreadPoolExecutor(threads, "overlaykit-build") as pool:
            for one in plan.stages:
                self._futures[one.stage.index] = pool.submit(self._failing, self._stage, one, maker)
            self._wait(list(self._futures.values()))
        return self._futures[plan.target].result()

    def _failing(self, work: Any, *args: Any) -> Any:
        """Do something in a thread; where it fails, all else ends."""
        try:
            self._control.check()
            return work(*args)
        except StoppedError:
            raise
        except BaseException as error:
            self._control.fail(error)
            raise

    def _wait(self, futures: Sequence[Future[Any]]) -> None:
        """Wait for all, and raise what failed first."""
        try:
            concurrent.futures.wait(futures, None, concurrent.futures.FIRST_EXCEPTION)
        except BaseException:
            self._control.stop()
            raise
        if self._control.failure is not None:
            concurrent.futures.wait(futures)
            raise self._control.failure

    def _stage_stack(self, index: int) -> Stack:
        return self._futures[index].result().stack

    def _stage(self, planned: ast.PlannedStage, maker: LayerMaker) -> StageResult:
        stage = planned.stage
        inherited = self._inherited(planned)
        environment = inherited.config.environment
        if isinstance(planned.base, ast.StageOrigin):
            # Its ARGs go on too.
            scope = self._scopes[planned.base.index].copy(environment=environment)
        else:
            scope = self._globals.scope(stage, environment=environment)
        self._scopes[stage.index] = scope
        build = StageBuild(
            self._names[stage.index],
            planned,
            (*self._triggered[stage.index], *stage.instructions),
            inherited,
            scope,
            maker,
            self._runs,
            self._transfers,
            self._reporter,
            self._place,
            {"epoch": self._request.epoch},
        )
        if not isinstance(planned.base, ast.StageOrigin | ast.ScratchOrigin):
            base = self._base_of(planned.base)
            with self._reporter.step(build.step_name(f"FROM {base.name if base else stage.base.image}")) as step:
                step.done()
        return build.run()

    def _inherited(self, planned: ast.PlannedStage) -> Inherited:
        match planned.base:
            case ast.StageOrigin(index):
                return Inherited.stage(self._futures[index].result(), self._request.platform)
            case ast.ScratchOrigin():
                return Inherited.scratch(self._request.platform)
        base = self._base_of(planned.base)
        if base is not None:
            return Inherited.image(base, self._request.platform)
        raise self._dockerfile.source.error(
            planned.stage.base.image.place,
            "a build context that is a directory is no base: begin with scratch and COPY --from it",
        )

    def _place(self, one: ast.Instruction) -> str:
        return f"{self._dockerfile.source.name}:{one.place.line}"

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
