"""A store whose containers run."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from .. import errors
from ..driver import Durability
from ..image import Container, ImageStore
from ..store import open_as
from ..values import replace

TYPE_CHECKING = False

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ..driver import SnapshotInfo
    from ..image import Image
    from ..plugin import Choice, PluginManager
    from ..store import Engine, Working
    from ..tree import Change, Tree
    from ._control import Connection
    from ._detached import DetachedOptions
    from ._lent import Loan
    from ._presence import Presence
    from ._runner import Runner, RunningProcess
    from ._service import Output
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

    def __init__(self, store: ImageStore, info: SnapshotInfo, working: Working | None = None) -> None:
        from ._presence import LABEL_STATE

        super().__init__(store, info, working)
        self._word = info.labels.get(LABEL_STATE)

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
        from ._streams import Talk
        from ._values import RunOptions

        wanted = _options(options or RunOptions(), args, env, cwd, user, mounts, network, read_only, limits)
        talk = Talk(stdin, input, stdout, stderr, capture_output, check, timeout, text, encoding, errors)
        command = list(args) if args is not None else list(wanted.args)
        return talk.run(command, lambda stdio: self.start(wanted, stdio=stdio, runtime=runtime))

    def start(
        self, options: RunOptions | None = None, *, stdio: Stdio | None = None, runtime: str | Runner | None = None
    ) -> RunningProcess:
        """Start a process in the container; :meth:`run` for those that are waited for at once.

        Other processes see it: ``overlaykit ps`` lists it, ``exec``, ``stop``, ``kill`` and ``wait`` reach it. Its
        streams are its own: nothing of what it writes is kept.

        :param stdio: its standard streams; by default those of this process.
        :returns: the process, to be closed before the container.
        :raises OSError: as :meth:`run`.
        """
        from ._values import RunOptions

        wanted = RunOptions() if options is None else options
        return self.show(self.launch(wanted, stdio, runtime), wanted, runtime)

    def start_logged(
        self,
        options: RunOptions | None = None,
        *,
        detached: DetachedOptions | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[RunningProcess, Connection]:
        """Start a process in the container whose output is kept, as :func:`run_detached` does it, but for as long as
        this process lives. It can be started again as it was (:meth:`DetachedContainer.start`), once it has ended.

        :param size: rows and columns of its terminal, if it has one.
        :returns: the process, to be closed before the container, and a connection to its streams, as
            :meth:`DetachedContainer.attach` makes it: the process waits for who does not read from that.
        :raises OSError: as :meth:`run`.
        """
        from ._foreground import start_logged
        from ._values import RunOptions

        return start_logged(self, RunOptions() if options is None else options, detached, size)

    def launch(self, options: RunOptions, stdio: Stdio | None, runtime: str | Runner | None) -> RunningProcess:
        """Start a process as :meth:`start` does it, without telling anybody of it."""
        from ._find import find_runner
        from ._start import start

        if runtime is None or isinstance(runtime, str):
            runtime = find_runner(runtime, terminal=options.terminal)
        return start(
            self.tree,
            options,
            place=self.place,
            config=self.image_config,
            runner=runtime,
            stdio=stdio,
            id=f"{os.urandom(8).hex()}",
            stubs=self.stubs,
            fresh=lambda: self._store.tree(self.name),
        )

    def show(
        self,
        process: RunningProcess,
        options: RunOptions,
        runtime: str | Runner | None,
        output: Output | None = None,
    ) -> RunningProcess:
        """Let others see a process that :meth:`launch` has started.

        :param output: where what it writes goes, if that is kept; it is the process's then.
        :returns: the process that they see; closing it ends that.
        """
        from ._command import command
        from ._presence import Run

        words = command(self.image_config, options)
        runner = (runtime if runtime is None or isinstance(runtime, str) else runtime.name) or ""
        run = Run(
            process, words, options, self.image_config, self.tree, self.stubs, runner, os.fspath(self.place), output
        )
        return self._presences().enter(run)

    def _presences(self) -> Presence:
        store = self._store
        assert isinstance(store, ContainerStore)
        return store.presence(self.state_path, kept=self._working is None)

    @property
    def state_path(self) -> str:
        """The directory for what is known of its runs; it need not be there.

        :raises CapabilityError: the store is in memory.
        """
        from ._presence import LABEL_STATE, state_path

        if self._word is None:
            word = os.urandom(16).hex()
            self._store.update_labels(self.name, {LABEL_STATE: word})
            self._word = word
        return state_path(os.fspath(self.place.parent), self._word)

    @property
    def stubs(self) -> Stubs:
        """What the processes that run in its tree at the same time share."""
        from ._stubs import Stubs

        tree = self.tree
        if self._stubs is None or self._stubs_tree is not tree:
            self._stubs, self._stubs_tree = Stubs(tree), tree
        return self._stubs

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Loan | None]:
        """Borrow its tree from whoever runs it; ``None`` where nobody does."""
        if self._word is None or self._store.path is None or not os.path.exists(f"{self.state_path}/control"):
            yield None
            return
        from ._lent import borrow

        loan = borrow(self.state_path, self.name)
        if loan is None:
            yield None
            return
        with contextlib.closing(loan):
            store = self._store
            assert isinstance(store, ContainerStore)
            loan.tree = store.shown(self.name, loan.tree)
            yield loan

    @contextlib.contextmanager
    def open_tree(self) -> Iterator[Tree]:
        """See :meth:`Container.open_tree`; while it runs, the tree is the one that it runs in."""
        with self._lent() as loan:
            yield self.tree if loan is None else loan.tree

    def changes(self) -> Iterator[Change]:
        """See :meth:`Container.changes`; while it runs, without what is in its tree for its mounts alone."""
        with self._lent() as loan:
            changes = super().changes()
            yield from changes if loan is None else loan.own_changes(changes)

    def commit(
        self,
        reference: str | None = None,
        *,
        author: str = "",
        message: str = "",
        config: Mapping[str, Any] | None = None,
        compression: str = "gzip",
        epoch: int | None = None,
        pause: bool = True,
    ) -> Image:
        """See :meth:`Container.commit`; also while it runs.

        :param pause: keep all its processes still for as long as it takes (:meth:`DetachedContainer.pause`, or where
            there is no freezer, SIGSTOP). Without, the image may have one file as it was before another one.
        :raises ChangesetError: a file changed while it was read, without ``pause``.
        """
        with self._lent() as loan, contextlib.ExitStack() as still:
            shown = None
            if loan is not None:
                if pause:
                    from ._freezer import held_still
                    from ._state import StateDirectory

                    still.enter_context(held_still(StateDirectory(Path(self.state_path)).read().pid))
                from ..store import Shown

                shown = Shown(loan.tree, loan.own_changes(super().changes()))
            return self._commit(reference, author, message, config, compression, epoch, shown)

    def close(self) -> None:
        """See :meth:`Container.close`."""
        passing = self._working is not None
        super().close()
        if passing:
            self._forget()

    def remove(self) -> None:
        """See :meth:`Container.remove`."""
        super().remove()
        self._forget()

    def _forget(self) -> None:
        if self._word is not None and self._store.path is not None:
            from ._presence import remove_files

            remove_files(self.state_path)

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

    def __init__(self, engine: Engine, choice: Choice, plugins: PluginManager) -> None:
        super().__init__(engine, choice, plugins)
        self._presences: dict[str, Presence] = {}
        self._presences_lock = threading.Lock()

    @property
    def container_type(self) -> type[Container]:
        return RunnableContainer

    def container(
        self, image: str | Image, name: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> RunnableContainer:
        return super().container(image, name, labels=self._labelled(labels))  # type: ignore[return-value]

    def create_container(
        self, image: str | Image, name: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> RunnableContainer:
        return super().create_container(image, name, labels=self._labelled(labels))  # type: ignore[return-value]

    @property
    def driver_options(self) -> Mapping[str, str]:
        """The options of the driver that the store was opened with."""
        return self._engine.driver.driver.config.options

    def _labelled(self, labels: Mapping[str, str] | None) -> dict[str, str]:
        from ._presence import LABEL_DRIVER, LABEL_STATE

        # In the transaction that makes the container: later it would take one more.
        made = {**(labels or {}), LABEL_STATE: os.urandom(16).hex()}
        if self.driver_options:
            import json

            made[LABEL_DRIVER] = json.dumps(dict(self.driver_options))
        return made

    def rename_container(self, name: str, new: str) -> None:
        """Give a container another name.

        :raises NotFoundError: there is none of this name.
        :raises ExistsError: the new name is taken.
        :raises InvalidNameError: it cannot be one.
        """
        self.open_container(name)
        self._engine.rename(name, new)

    def shown(self, name: str, tree: Tree) -> Tree:
        """Return a tree of a container that was opened elsewhere, with the owners that its store shows."""
        return self._engine.owners.shown(tree, self._engine.labels(self._engine.find(name)))

    def presence(self, path: str, *, kept: bool) -> Presence:
        """Return what others see of a container that this process runs; one for all its runs at the same time."""
        from ._presence import Presence

        def over() -> None:
            with self._presences_lock:
                if self._presences.get(path) is found:
                    del self._presences[path]

        with self._presences_lock:
            found = self._presences.get(path)
            if found is None:
                found = self._presences[path] = Presence(path, kept=kept, over=over)
            return found

    def cleanup(self) -> None:
        from ._detached_store import sweep

        super().cleanup()
        if self.path is not None:
            sweep(self)

    def open_container(self, name: str) -> RunnableContainer:
        return super().open_container(name)  # type: ignore[return-value]


_LARGEST = 1 << 30
"""Bytes of a document that was let in before."""
