"""A store whose containers run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from .. import errors
from ..driver import Durability
from ..image import Container, ImageStore
from ..store import open_as
from ..values import replace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..image import Image
    from ._runner import Runner, RunningProcess
    from ._streams import StreamTarget
    from ._stubs import Stubs
    from ._values import Limits, Network, RunMount, RunOptions, Stdio

__all__ = ["ContainerStore", "RunnableContainer", "open_store"]


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    driver: str = "auto",
    durability: Durability | str = Durability.COMMIT,
    options: Mapping[str, str] | None = None,
    create: bool = True,
) -> ContainerStore:
    """Open a store whose containers run, or make one; the parameters and errors are those of
    :func:`overlaykit.store.open_store`.
    """
    return open_as(ContainerStore, path, driver, Durability(durability), options or {}, create=create)


class RunnableContainer(Container):
    """A container in which processes run."""

    _stubs: Stubs | None = None
    _stubs_tree: object = None
    _config: Mapping[str, Any] | None = None

    def run(
        self,
        args: Sequence[str] | None = None,
        *,
        stdin: StreamTarget = None,
        input: str | bytes | None = None,
        stdout: StreamTarget = None,
        stderr: StreamTarget = None,
        capture_output: bool = False,
        check: bool = False,
        timeout: float | None = None,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        mounts: Sequence[RunMount] = (),
        network: Network | None = None,
        read_only: bool | None = None,
        limits: Limits | None = None,
        options: RunOptions | None = None,
        runtime: str | Runner | None = None,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program in the container and wait for it, with the habits of :func:`subprocess.run`.

        :param args: the program and its arguments, run as they are; ``None`` for what the image says (``Entrypoint``
            and ``Cmd``).
        :param stdin: as for :func:`subprocess.run`; so are ``input``, ``stdout``, ``stderr``, ``capture_output``,
            ``check``, ``text`` (in UTF-8), ``encoding`` and ``errors``.
        :param timeout: seconds, after which everything in the container is killed.
        :param env: set over the image's environment; that of this process does not come through.
        :param cwd: an absolute path in the container; by default the image's ``WorkingDir``.
        :param user: ``USER[:GROUP]`` of the container; by default the image's.
        :param network: ``"host"``, the default, or ``"none"``.
        :param options: all that can be said; the parameters above go over it.
        :param runtime: ``"crun"``, ``"runc"``, the path of such a program, or a :class:`Runner`.
        :returns: with ``returncode`` as shells have it: 128 and the number where a signal ended the program.
        :raises subprocess.CalledProcessError: with ``check``, for a return code that is not 0.
        :raises subprocess.TimeoutExpired: it took too long.
        :raises RunError: the program cannot be started.
        :raises RuntimeNotFoundError: there is no runtime here.
        :raises CapabilityError: the driver has no host paths, as the memory driver.
        """
        import subprocess

        from ._streams import Streams, decode
        from ._values import RunOptions

        if capture_output:
            if stdout is not None or stderr is not None:
                raise ValueError("stdout and stderr arguments may not be used with capture_output.")
            stdout = stderr = subprocess.PIPE
        if encoding is None and (text or errors is not None):
            encoding = "utf-8"
        data = input.encode(encoding or "utf-8", errors or "strict") if isinstance(input, str) else input
        wanted = _options(options or RunOptions(), args, env, cwd, user, mounts, network, read_only, limits)
        command = list(args) if args is not None else list(wanted.args)
        streams = Streams(data, stdin, stdout, stderr)
        try:
            with self.start(wanted, stdio=streams.stdio, runtime=runtime) as process:
                streams.started()
                try:
                    code = streams.wait(process, timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise subprocess.TimeoutExpired(
                        command, timeout or 0.0, streams.output("stdout"), streams.output("stderr")
                    ) from None
            done: subprocess.CompletedProcess[Any] = subprocess.CompletedProcess(
                command,
                code,
                decode(streams.output("stdout"), encoding, errors),
                decode(streams.output("stderr"), encoding, errors),
            )
        finally:
            streams.close()
        if check:
            done.check_returncode()
        return done

    def start(
        self, options: RunOptions | None = None, *, stdio: Stdio | None = None, runtime: str | Runner | None = None
    ) -> RunningProcess:
        """Start a process in the container; :meth:`run` for those that are waited for at once.

        :param stdio: its standard streams; by default those of this process.
        :returns: the process, to be closed before the container.
        :raises OSError: as :meth:`run`.
        """
        from ._find import find_runner
        from ._start import start
        from ._stubs import Stubs

        place = self.place
        tree = self.tree
        if self._stubs is None or self._stubs_tree is not tree:
            self._stubs, self._stubs_tree = Stubs(tree), tree
        return start(
            tree,
            options,
            place=place,
            config=self.image_config,
            runner=find_runner(runtime) if runtime is None or isinstance(runtime, str) else runtime,
            stdio=stdio,
            id=f"{os.urandom(8).hex()}",
            stubs=self._stubs,
            fresh=lambda: self._store.tree(self.name),
        )

    @property
    def place(self) -> Path:
        """The directory that its processes cover for themselves; see :class:`Bundle`.

        :raises CapabilityError: the store is in memory.
        """
        if self._store.path is None:
            raise errors.CapabilityError(
                "nothing can be run in a store in memory: a process needs a root that is a directory of this machine; "
                "open a store with a path, with the driver overlayfs or directory",
                capability="HOST_PATH",
            )
        return self._store.path / "run"

    @property
    def image_config(self) -> Mapping[str, Any]:
        """The ``config`` of its image: ``Env``, ``Cmd`` ..."""
        if self._config is None:
            import json

            # The document as it is: to check all of it, as config() does, takes longer than to read it.
            document = self._store.content.read(self._store.image(self.info.image).config, _LARGEST)
            self._config = json.loads(document).get("config") or {}
        return self._config


def _options(
    base: RunOptions,
    args: Sequence[str] | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    user: str | None,
    mounts: Sequence[RunMount],
    network: Network | None,
    read_only: bool | None,
    limits: Limits | None,
) -> RunOptions:
    if isinstance(args, str):
        args = (args,)
    changes: dict[str, Any] = {
        "cwd": cwd,
        "user": user,
        "network": network,
        "read_only": read_only,
        "limits": limits,
        "args": None if args is None else tuple(map(os.fspath, args)),
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if args is not None and base.entrypoint is None:
        changes["entrypoint"] = ()
    if env:
        changes["env"] = {**base.env, **env}
    if mounts:
        changes["mounts"] = (*base.mounts, *mounts)
    return replace(base, **changes) if changes else base


class ContainerStore(ImageStore):
    """A store whose containers run."""

    @property
    def container_type(self) -> type[Container]:
        return RunnableContainer

    def container(self, image: str | Image, name: str | None = None) -> RunnableContainer:
        return cast("RunnableContainer", super().container(image, name))

    def create_container(self, image: str | Image, name: str | None = None) -> RunnableContainer:
        return cast("RunnableContainer", super().create_container(image, name))

    def open_container(self, name: str) -> RunnableContainer:
        return cast("RunnableContainer", super().open_container(name))


_LARGEST = 1 << 30
"""Bytes of a document that was let in before."""
