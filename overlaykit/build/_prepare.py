"""What is known before anything is built: the Dockerfile, the stages that are needed, and what the lint says."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import errors
from ..image import Platform
from ..values import replace
from . import dockerfile as ast
from ._control import StoppedError
from ._request import BuildWarning
from ._tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ._bases import Base, Bases
    from ._context_source import ContextSource
    from ._control import Control
    from ._events import Reporter
    from ._origins import Origins
    from ._request import BuildRequest
    from ._tasks import Task
    from ._transfer import TransferSteps

__all__ = ["Preparation", "failing", "threads", "wait_for"]

_ENTITLEMENTS = frozenset(("network.host", "security.insecure"))
"""What a caller can allow, by BuildKit's names."""

_CHECK = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that says what ``# check=`` says, and counts instead of it (Dockerfile reference, "check")."""


class Preparation:
    """A Dockerfile that has been read and planned.

    :param context: has the Dockerfile.
    :param bases: finds base images.
    :raises DockerfileError: the Dockerfile is wrong.
    :raises OSError: a base image cannot be had.
    """

    def __init__(
        self,
        request: BuildRequest,
        context: ContextSource,
        reporter: Reporter,
        control: Control,
        bases: Bases,
        origins: Origins,
    ) -> None:
        self._request = request
        self._control = control
        self._bases = bases
        self._origins = origins
        with reporter.step("[internal] load build definition from Dockerfile"):
            text, self.name = context.dockerfile()
            self.dockerfile = ast.parse(text, name=self.name)
            told = request.build_args.get(_CHECK)
            if told is not None:
                check = ast.parse_check(told, name=f"--build-arg {_CHECK}")
                directives = replace(self.dockerfile.directives, check=check)
                self.dockerfile = replace(self.dockerfile, directives=directives)
        self.globals = ast.Globals(
            self.dockerfile,
            build_args=request.build_args,
            platform=str(request.platform),
            build_platform=str(Platform.here()),
            target=request.target,
        )
        #: By stage, the ONBUILD instructions that come before its own.
        self.triggers: dict[int, Sequence[ast.Instruction]] = {}
        self.plan = self._plan()
        self._refuse_what_is_not_allowed()

    def base(self, origin: ast.Origin) -> Base | None:
        """Return the image that a stage begins with, ``None`` for anything else."""
        if isinstance(origin, ast.ImageOrigin):
            return self._bases.find(origin.reference, origin.platform)
        if isinstance(origin, ast.ContextOrigin):
            image = self._origins.named_image(origin.name)
            return None if image is None else self._bases.find(image, origin.platform)
        return None

    def _plan(self) -> ast.Plan:
        """Find what is needed; the triggers of base images may need more."""
        while True:
            plan = ast.plan(
                self.dockerfile,
                self.globals,
                target=self._request.target,
                named_contexts=tuple(self._request.named_contexts),
                triggers=self.triggers,
            )
            bases = self._load([one for one in plan.stages if one.stage.index not in self.triggers])
            for index, base in bases.items():
                self.triggers[index] = self._triggers(plan, index, base)
            if not any(self.triggers[index] for index in bases):
                return plan

    def _load(self, stages: Sequence[ast.PlannedStage]) -> dict[int, Base | None]:
        with threads(self._control, 4, "overlaykit-build-base") as tasks:
            found = {
                one.stage.index: tasks.submit(partial(failing, self._control, self.base, one.base)) for one in stages
            }
            wait_for(self._control, list(found.values()))
            return {index: task.result() for index, task in found.items()}

    def _triggers(self, plan: ast.Plan, index: int, base: Base | None) -> Sequence[ast.Instruction]:
        if base is not None:
            return ast.parse_triggers(base.triggers, image=base.name) if base.triggers else ()
        origin = next(one.base for one in plan.stages if one.stage.index == index)
        if isinstance(origin, ast.StageOrigin):
            above = self.dockerfile.stages[origin.index]
            return tuple(one.instruction for one in above.instructions if isinstance(one, ast.Onbuild))
        return ()

    def _refuse_what_is_not_allowed(self) -> None:
        """Refuse, before anything is built, what needs an entitlement that the caller did not give."""
        unknown = sorted(set(self._request.allow) - _ENTITLEMENTS)
        if unknown:
            raise errors.BuildError(f"there is no entitlement {unknown[0][:40]!r}: there is {', '.join(_ENTITLEMENTS)}")
        if not self._request.build or "security.insecure" in self._request.allow:
            return
        for planned in self.plan.stages:
            own = planned.stage.instructions
            for one in (*self.triggers[planned.stage.index], *own):
                if isinstance(one, ast.Run) and one.security == "insecure":
                    place = one.place if one in own else planned.stage.base.place
                    raise self.dockerfile.source.error(
                        place,
                        "RUN --security=insecure is not allowed: leave it out, or say --allow security.insecure",
                    )

    # -- the lint ------------------------------------------------------------------------------------------------------

    def findings(self, transfers: TransferSteps) -> list[ast.Finding]:
        """Return what would better be written otherwise.

        :param transfers: knows what ``.dockerignore`` leaves out.
        """
        environments: dict[int, dict[str, str]] = {}
        platforms: dict[int, tuple[Platform, Platform]] = {}
        for one in self.plan.stages:
            base = self.base(one.base)
            if base is not None:
                pairs = (str(pair).partition("=") for pair in (base.document.get("config") or {}).get("Env") or ())
                environments[one.stage.index] = {name: value for name, _, value in pairs}
                platforms[one.stage.index] = base.wanted, base.platform
        return ast.lint(
            self.dockerfile,
            self.globals,
            environments=environments,
            only={one.stage.index for one in self.plan.stages},
            ignored=transfers.left_out(),
            platforms=platforms,
        )

    def warnings(self, findings: Sequence[ast.Finding]) -> list[BuildWarning]:
        """Return findings as they are told."""
        source = self.dockerfile.source
        return [
            BuildWarning(one.rule, one.message, f"{source.name}:{one.place.line}", source.lines[one.place.line - 1])
            for one in findings
        ]

    def refuse(self, findings: Sequence[ast.Finding]) -> None:
        """Raise what was found where the Dockerfile wants that.

        :raises DockerfileError: something was found, and ``# check=error=true`` is there.
        """
        if not findings or not self.dockerfile.directives.check.error:
            return
        first, *more = findings
        others = "".join(f"; {one.rule} (line {one.place.line})" for one in more[:20])
        raise self.dockerfile.source.error(
            first.place, f"{first.rule}: {first.message}{others}; an error because of check=error=true"
        )


@contextlib.contextmanager
def threads(control: Control, count: int, name: str) -> Iterator[Tasks]:
    """Have threads; where the body does not come to its end, they are told so before they are waited for."""
    with Tasks(count, name) as tasks:
        try:
            yield tasks
        except BaseException:
            control.stop()
            raise


def failing(control: Control, work: Callable[..., Any], *args: Any) -> Any:
    """Do something in a thread; where it fails, all else ends."""
    try:
        with control.working():
            return work(*args)
    except StoppedError:
        raise
    except BaseException as error:
        control.fail(error)
        raise


def wait_for(control: Control, tasks: Sequence[Task[Any]]) -> None:
    """Wait for all, and raise what failed first, which has stopped the others."""
    for task in tasks:
        task.wait()
    if control.failure is not None:
        raise control.failure
