"""RUN: a process in a snapshot, its output passed on while it comes."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

from .. import errors
from ..values import value_class
from . import dockerfile as ast
from ._mounts import mount_targets
from ._request import BuildWarning
from ._stage import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..image import ImageStore
    from ..runtime import RunMount, RunningProcess, RunOptions, Stdio
    from ..store import Working
    from ._control import Control
    from ._events import Step
    from ._mounts import RunMounts
    from ._request import BuildRequest
    from ._stage import StageBuild

__all__ = ["FailedStep", "RunSteps"]

_TAIL = 64 << 10
"""Bytes of a failed step's output that its error has."""

_DUPLICATED = 1 << 20
"""Bytes copied for the sake of an owner or a mode that are worth a warning."""

_LITTLE = 1 << 20
"""Bytes that are as good as none."""

_HOSTNAME = "buildkitsandbox"
"""What BuildKit calls the machine: the same name everywhere, so that no layer depends on it."""


@value_class
class _Command:
    """All that a RUN is run with."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str
    network: str
    mounts: tuple[ast.Mount, ...]
    program: ast.Heredoc | None
    insecure: bool
    origins: Mapping[str, ast.Origin]
    place: str
    text: str


@value_class
class FailedStep:
    """A RUN that failed: the way into a shell where it ran.

    :param error: what is raised for it.
    :param shell: opens a shell over the layers below it, with its environment and mounts, on this process's own
        standard streams; returns the exit code.
    """

    error: errors.BuildStepError
    shell: Callable[[], int]


class RunSteps:
    """Runs the commands of one build."""

    def __init__(self, store: ImageStore, request: BuildRequest, mounts: RunMounts, control: Control) -> None:
        self._store = store
        self._request = request
        self._mounts = mounts
        self._control = control
        #: The step that failed, if one did.
        self.failed: FailedStep | None = None
        self.warnings: list[BuildWarning] = []

    def plan(self, stage: StageBuild, one: ast.Run) -> Work:
        """Return what a RUN does."""
        config, scope = stage.config, stage.scope
        place = stage.source_of(one)
        network = self._request.network if one.network == "default" else one.network
        env = {**scope.environment, **scope.arguments}
        command = _Command(
            tuple(one.command.argv(config.shell)),
            {**scope.hidden, **env},
            config.workdir,
            config.user,
            network,
            one.mounts,
            one.command.program,
            one.security == "insecure",
            stage.planned.origins,
            place,
            " ".join(str(one.text).split()),
        )
        parts: dict[str, Any] = {
            "argv": command.argv,
            "env": list(env.items()),
            "cwd": command.cwd,
            "user": command.user,
            "network": network,
            "mounts": [
                self._mounts.describe(mount, command.origins, target)
                for mount, target in zip(one.mounts, mount_targets(one.mounts, config.workdir), strict=True)
            ],
            "program": None if command.program is None else command.program.body,
        }
        if command.insecure:
            parts["security"] = "insecure"

        def do(working: Working, step: Step) -> None:
            self._do(command, working, step)

        def look(working: Working, step: Step) -> None:
            self._look(command, working, step)

        return Work("run", parts, do, look=look)

    # -- running -------------------------------------------------------------------------------------------------------

    def _do(self, command: _Command, working: Working, step: Step) -> None:
        if self._store.path is None:
            raise errors.CapabilityError(
                f"{command.place}: RUN needs a snapshot that is a directory of this machine, and this store is in "
                "memory: open a store with a path, with the driver overlayfs or directory",
                capability="HOST_PATH",
            )
        from ..runtime import Stdio

        reader, writer = os.pipe2(os.O_CLOEXEC)
        tail = bytearray()
        with contextlib.ExitStack() as held:
            held.callback(os.close, reader)
            try:
                with self._start(command, working, held, Stdio(-1, writer, writer)) as process:
                    os.close(writer)
                    writer = -1
                    with self._control.ending(process.kill):
                        while piece := os.read(reader, 1 << 16):
                            step.output(piece)
                            tail += piece
                            del tail[:-_TAIL]
                        code = process.wait()
            except errors.RunError as error:
                if error.exit_code not in (126, 127):
                    raise
                code = error.exit_code
                tail += f"{error}\n".encode()
                step.output(bytes(tail))
            finally:
                if writer >= 0:
                    os.close(writer)
        self._control.check()
        if code:
            raise self._failure(command, working, code, bytes(tail))

    def _start(
        self,
        command: _Command,
        working: Working,
        held: contextlib.ExitStack,
        stdio: Stdio,
        *,
        argv: tuple[str, ...] | None = None,
    ) -> RunningProcess:
        from ..runtime import FileMount, find_runner, start

        assert self._store.path is not None
        env = dict(command.env)
        mounts: list[RunMount] = []
        for one, target in zip(command.mounts, mount_targets(command.mounts, command.cwd), strict=True):
            mount = self._mounts.prepare(one, command.origins, target, held, env)
            if mount is not None:
                mounts.append(mount)
        if command.program is not None:
            target = f"{ast.PIPES}/{command.program.name}"
            mounts.append(FileMount(target, command.program.body.encode(), 0o755))
        return start(
            working.tree,
            self._options(command, argv or command.argv, env, tuple(mounts)),
            place=self._store.path / "run",
            runner=find_runner(self._request.runtime),
            stdio=stdio,
            fresh=lambda: self._store.tree(working.key),
        )

    @staticmethod
    def _options(
        command: _Command, argv: tuple[str, ...], env: Mapping[str, str], mounts: tuple[RunMount, ...]
    ) -> RunOptions:
        from ..runtime import RunOptions

        return RunOptions(
            args=argv,
            entrypoint=(),
            env=env,
            cwd=command.cwd,
            user=command.user,
            mounts=mounts,
            network="none" if command.network == "none" else "host",
            hostname=_HOSTNAME,
            volumes=False,
            cap_add=("ALL",) if command.insecure else (),
            seccomp="unconfined" if command.insecure else "default",
            unmasked=command.insecure,
        )

    def _failure(self, command: _Command, working: Working, code: int, output: bytes) -> Exception:
        from ..runtime import explain_ids

        last = output.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()
        said = f": {last[:200]}" if last else ""
        why = explain_ids(output)
        said += "" if why is None else f" ({why})"
        error = errors.BuildStepError(
            f"{command.place}: {command.text[:200]} ended with exit code {code}{said}; {self._room(output)}"
            "--debug opens a shell where it ran; what was built before it is cached",
            exit_code=code,
            output=output,
            place=command.place,
            layer=working.info.parent,
        )
        parent = working.info.parent
        if self.failed is None:
            self.failed = FailedStep(error, lambda: self._shell(command, parent))
        return error

    def _room(self, output: bytes) -> str:
        """Say that there is no room, which may be why a command failed."""
        assert self._store.path is not None
        figures = os.statvfs(self._store.path)
        free = figures.f_bavail * figures.f_frsize
        if not figures.f_blocks or (free >= _LITTLE and b"No space left on device" not in output):
            return ""
        return (
            f"the file system of {self._store.path} is full ({free >> 10} KiB are left): make room, remove images, or "
            "prune --build-cache; "
        )

    def _shell(self, command: _Command, parent: str | None) -> int:
        from ..runtime import Stdio
        from ..store import begin_layer

        with (
            begin_layer(self._store, parent) as working,
            contextlib.ExitStack() as held,
            self._start(command, working, held, Stdio(), argv=("/bin/sh",)) as process,
        ):
            return process.wait()

    # -- looking at what was done --------------------------------------------------------------------------------------

    def _look(self, command: _Command, working: Working, step: Step) -> None:
        """Warn of files that are stored twice because their owner or mode changed."""
        from ..tree import Aspect, ChangeKind

        if working.info.parent is None:
            return
        count = size = 0
        tree = working.tree
        for change in self._store.changes(working.key):
            if change.kind is not ChangeKind.MODIFIED or change.aspects & (Aspect.CONTENT | Aspect.TYPE):
                continue
            if not change.aspects & (Aspect.MODE | Aspect.OWNER):
                continue
            status = tree.lstat(change.path)
            if stat.S_ISREG(status.st_mode):
                count += 1
                size += status.st_size
        if size < _DUPLICATED:
            return
        message = (
            f"{command.text[:100]} changes owner or mode of {count} files of the layers below, and stores all of "
            f"their {size / (1 << 20):.1f} MiB again: say it where they come from, with COPY --chown or --chmod, or "
            "in the RUN that makes them"
        )
        self.warnings.append(BuildWarning("DuplicatedFiles", message, command.place))
        step.warn(message)
