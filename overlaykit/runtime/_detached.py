"""Containers that run on their own: started, looked at, talked to and stopped by whoever opens the store."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time

from .. import errors
from ..values import field, value_class
from ._control import Connection
from ._detached_store import find_state, recorded_options, state_directory, sweep
from ._exec_session import ExecSession
from ._logs import LogLimits, LogReader
from ._signals import parse_signal
from ._state import ContainerState, Status
from ._stored_options import run_document
from ._values import RunOptions, Stdio

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from ..image import ContainerInfo, Image
    from ._inside import ProcessInfo
    from ._logs import LogEntry
    from ._state import StateDirectory
    from ._store import ContainerStore
    from ._streams import StreamTarget

__all__ = ["DetachedContainer", "DetachedOptions", "container_states", "run_detached"]


@value_class
class DetachedOptions:
    """How a container runs that nobody waits for, besides what :class:`RunOptions` say.

    :param interactive: its standard input stays open for who attaches; else it is ``/dev/null``.
    :param log: how much is kept of what it writes.
    :param stop_signal: what :meth:`DetachedContainer.stop` sends; ``None`` for the image's ``StopSignal``, or SIGTERM.
    :param stop_timeout: seconds until it is killed then; negative for never.
    :param runtime: as :meth:`RunnableContainer.run`.
    """

    interactive: bool = False
    log: LogLimits = field(default_factory=LogLimits)
    stop_signal: str | None = None
    stop_timeout: float = 10.0
    runtime: str | None = None


def run_detached(
    store: ContainerStore,
    image: str | Image,
    name: str | None = None,
    options: RunOptions | None = None,
    *,
    detached: DetachedOptions | None = None,
    auto_remove: bool = False,
    labels: Mapping[str, str] | None = None,
    driver_options: Mapping[str, str] | None = None,
) -> DetachedContainer:
    """Make a container and run it detached.

    :param auto_remove: remove it when it has ended.
    :param labels: of the container.
    :param driver_options: what its supervisor opens the store with; ``None`` for what this store was opened with. It is
        started again with the same.
    :returns: the container, which runs, or has ended already.
    :raises NotFoundError: there is no such image.
    :raises ExistsError: the name is taken.
    :raises RunError: it cannot be started; there is no container then.
    """
    found = store.image(image)
    document = run_document(options or RunOptions(), detached or DetachedOptions())
    request = _request(store, driver_options or store.driver_options) | {
        "image": found.digest,
        "name": name,
        "auto_remove": auto_remove,
        "labels": dict(labels or {}),
        "document": document,
    }
    from ._monitor import launch_monitor

    made = launch_monitor(request, name or found.digest)["name"]
    return DetachedContainer(store, str(made))


def container_states(store: ContainerStore) -> Iterator[tuple[ContainerInfo, ContainerState]]:
    """Yield all containers, each with what is known of its last run, in the order in which they were made."""
    from ._detached_store import LABEL_STATE

    sweep(store)
    labels = {info.key: info.labels for info in store.walk(kind="active", labels={LABEL_STATE: None})}
    for info in store.containers():
        directory = find_state(store, labels[info.name]) if info.name in labels else None
        yield info, ContainerState() if directory is None else directory.read()


class DetachedContainer:
    """A container by its name, whoever started it.

    :raises NotFoundError: there is none of this name.
    """

    def __init__(self, store: ContainerStore, name: str) -> None:
        self._store = store
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def status(self) -> ContainerState:
        """What is known of its last run.

        :raises NotFoundError: the container is gone.
        """
        directory = self._directory()
        return ContainerState() if directory is None else directory.read()

    def start(
        self,
        options: RunOptions | None = None,
        *,
        detached: DetachedOptions | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> None:
        """Run it, detached.

        :param options: how; ``None`` for as it was run before.
        :param driver_options: what its supervisor opens the store with; ``None`` for what this store was opened with,
            and where that is nothing, for what the container was made with.
        :raises LayerInUseError: it runs, or its tree is open.
        :raises RunError: it cannot be started.
        """
        self._start(options, detached, driver_options, None)

    def start_attached(
        self,
        options: RunOptions | None = None,
        *,
        detached: DetachedOptions | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> Connection:
        """Run it as :meth:`start` does it, and connect to its standard streams from the first byte on.

        It waits for who does not read from the connection, until that is closed; then it runs on.

        :returns: the connection; :class:`SocketEnd` speaks its language.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._start(options, detached, driver_options, theirs)
            except BaseException:
                ours.close()
                raise
        return Connection.over(ours)

    def _start(
        self,
        options: RunOptions | None,
        detached: DetachedOptions | None,
        driver_options: Mapping[str, str] | None,
        attached: socket.socket | None,
    ) -> None:
        info = self._store.open_container(self.name).info
        if self.status.running:
            raise errors.LayerInUseError(f"the container {self.name!r} is running already", users=[self.name])
        directory = state_directory(self._store, info.name)
        if options is not None or detached is not None or not directory.has("options.json"):
            document = run_document(options or RunOptions(), detached or DetachedOptions())
            directory.write_document("options.json", document)
        from ._monitor import launch_monitor

        chosen = driver_options or self._store.driver_options or recorded_options(self._store.stat(info.name).labels)
        launch_monitor(_request(self._store, chosen) | {"name": info.name}, info.name, attached)

    @property
    def terminal(self) -> bool:
        """Whether it is run with a terminal."""
        directory = self._directory()
        if directory is None or not directory.has("options.json"):
            return False
        return bool(directory.read_document("options.json")["run"].get("terminal"))

    def stop(self, timeout: float | None = None, *, signal: str | int | None = None) -> int:
        """Ask it to end, and kill it if it does not; one that does not run is left as it is.

        :param timeout: seconds until it is killed; negative for never; ``None`` for its own, 10 by default.
        :param signal: what is sent first; ``None`` for its own.
        :returns: its exit code.
        """
        number = None if signal is None else parse_signal(signal)
        return self._until_end({"op": "stop", "timeout": timeout, "signal": number})

    def kill(self, signal: str | int = signal.SIGKILL) -> None:
        """Send a signal to its first process.

        :raises RunError: it does not run.
        :raises ValueError: there is no such signal.
        """
        number = parse_signal(signal)
        with self._connect() as connection:
            connection.send({"op": "signal", "number": number})
            connection.receive()

    def pause(self) -> None:
        """Stop all its processes where they are, without their noticing.

        :raises RunError: it does not run, or is paused already.
        :raises UnsupportedError: that takes a freezer, and there is none for it here: it needs root.
        """
        from ._freezer import freeze

        state = self._running()
        if state.status is Status.PAUSED:
            raise errors.RunError(f"the container {self.name!r} is paused already")
        freeze(state.pid)

    def unpause(self) -> None:
        """Let one that is paused go on.

        :raises RunError: it is not paused.
        """
        from ._freezer import thaw

        if self._running().status is not Status.PAUSED:
            raise errors.RunError(f"the container {self.name!r} is not paused")
        thaw(self.status.pid)

    def processes(self) -> list[ProcessInfo]:
        """Return what runs in it.

        :raises RunError: it does not run.
        """
        from ._inside import list_processes

        return list_processes(self._running().pid)

    def rename(self, name: str) -> None:
        """Give it another name, also while it runs.

        :raises ExistsError: the name is taken.
        :raises InvalidNameError: it cannot be one.
        """
        self._store.rename_container(self.name, name)
        self.name = name

    def _running(self) -> ContainerState:
        state = self.status
        if not state.running:
            raise errors.RunError(f"the container {self.name!r} is not running: start it with overlaykit start")
        return state

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        :param timeout: seconds; ``None`` waits as long as it takes.
        :returns: its exit code, at once where it has ended before; 137 where it was killed with its supervisor.
        :raises subprocess.TimeoutExpired: it still runs.
        :raises RunError: it was never run.
        """
        return self._until_end({"op": "wait"}, timeout)

    def restart(self, timeout: float | None = None, *, driver_options: Mapping[str, str] | None = None) -> None:
        """Stop it, if it runs, and start it as before; see :meth:`stop` and :meth:`start`."""
        if self.status.running:
            self.stop(timeout)
            self._patiently(lambda: self.start(driver_options=driver_options))
        else:
            self.start(driver_options=driver_options)

    def remove(self, *, force: bool = False) -> None:
        """Remove it, with what is known of it.

        :param force: kill it first, if it runs.
        :raises LayerInUseError: it runs, or its tree is open.
        """
        directory, ended = self._directory(), False
        if directory is not None and directory.read().running:
            if not force:
                raise errors.LayerInUseError(
                    f"the container {self.name!r} is running: stop it first (overlaykit stop), or remove it by force "
                    "(overlaykit rm -f)",
                    users=[self.name],
                )
            ended = True
            with contextlib.suppress(errors.RunError):
                self.stop(0, signal=signal.SIGKILL)
        if ended:
            with contextlib.suppress(errors.NotFoundError):  # it was to be removed at its end
                self._patiently(lambda: self._store.remove_container(self.name))
        else:
            self._store.remove_container(self.name)
        if directory is not None:
            directory.remove()
        sweep(self._store)

    def _patiently(self, act: Callable[[], object]) -> None:
        """Do something with a container that has just been ended, and that who ran it is about to let go of."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                act()
                return
            except errors.LayerInUseError:
                if time.monotonic() >= end:
                    raise
            time.sleep(0.02)

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> Iterator[LogEntry]:
        """Yield what it wrote.

        :param follow: go on with what it writes, until it ends.
        :param tail: begin with so many lines before the end.
        :param since: leave out what was written before; nanoseconds since the epoch.
        :param until: leave out what was written then and later.
        :raises RunError: nothing is kept of it: its streams are those of who runs it.
        """
        directory = self._directory()
        if directory is None:
            return
        if not directory.read().logged:
            raise errors.RunError(
                f"nothing is kept of what {self.name!r} writes: it runs in the foreground with the streams of whoever "
                "runs it; run it with -d, or without --rm, to keep it"
            )
        with contextlib.ExitStack() as held:
            connection = None
            if follow:
                # Before the log is read: what is written from now on is told of.
                with contextlib.suppress(errors.RunError):
                    connection = held.enter_context(self._connect())
                    connection.send({"op": "follow"})
            reader = held.enter_context(LogReader(directory.log, tail=tail, since=since, until=until))
            yield from reader.entries()
            while connection is not None:
                ended = not connection.receive_bytes()
                yield from reader.entries()
                if ended or (until is not None and time.time_ns() >= until):
                    return

    def exec(
        self,
        args: Sequence[str],
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
    ) -> subprocess.CompletedProcess[Any]:
        """Run one more program in it and wait for that, with the habits of :func:`subprocess.run`.

        What is not said is as the container is run: its environment, working directory and user.

        :raises RunError: it does not run, or the program cannot be started.
        :raises subprocess.CalledProcessError: with ``check``, for a return code that is not 0.
        :raises subprocess.TimeoutExpired: it took too long, and was killed.
        """
        from ._streams import Talk

        talk = Talk(stdin, input, stdout, stderr, capture_output, check, timeout, text, encoding, errors)
        return talk.run(list(args), lambda stdio: self.start_exec(args, env=env, cwd=cwd, user=user, stdio=stdio))

    def start_exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        terminal: bool = False,
        stdio: Stdio | None = None,
        detached: bool = False,
    ) -> ExecSession:
        """Start one more program in it.

        :param terminal: it gets a terminal; ``stdio`` are one's own side of another one, see :func:`open_terminal`.
        :param stdio: its standard streams; by default those of this process.
        :param detached: let it run on when this process ends; its streams are ``/dev/null``.
        :returns: what runs; leaving it as a context manager kills that.
        :raises RunError: it does not run, or the program cannot be started.
        """
        options = {"args": list(args), "env": dict(env or {}), "cwd": cwd, "user": user, "terminal": terminal}
        message = {"op": "exec", "options": options, "detached": detached}
        connection = self._connect()
        try:
            with contextlib.ExitStack() as held:
                streams = [] if detached else _descriptors(stdio or Stdio(), held)
                connection.send(message, streams)
            answer = connection.receive()
            if answer is None:
                raise errors.RunError(f"the container {self.name!r} has ended")
        except BaseException:
            connection.close()
            raise
        return ExecSession(connection, int(answer["pid"]), self.name)

    def attach(self) -> tuple[Connection, bool, bool]:
        """Connect to its standard streams.

        :returns: the connection, whether they are a terminal, and whether it reads its standard input.
        :raises RunError: it does not run.
        """
        connection = self._connect()
        try:
            connection.send({"op": "attach"})
            answer = connection.receive()
            if answer is None:
                raise errors.RunError(f"the container {self.name!r} has ended")
        except BaseException:
            connection.close()
            raise
        return connection, bool(answer["terminal"]), bool(answer["input"])

    def _directory(self) -> StateDirectory | None:
        container = self._store.open_container(self.name)  # says what there is, if there is none
        return find_state(self._store, self._store.stat(container.name).labels)

    def _connect(self) -> Connection:
        directory = self._directory()
        if directory is None:
            raise errors.RunError(f"the container {self.name!r} is not running: start it with overlaykit start")
        return Connection(directory.path, self.name)

    def _until_end(self, message: Mapping[str, Any], timeout: float | None = None) -> int:
        never = errors.RunError(f"the container {self.name!r} was never run: start it with overlaykit start")
        directory = self._directory()
        if directory is None:
            raise never
        with contextlib.suppress(errors.RunError), Connection(directory.path, self.name) as connection:
            connection.send(message)
            end = None if timeout is None else time.monotonic() + timeout
            while True:
                if end is not None:
                    ready = select.select([connection.socket], [], [], max(0.0, end - time.monotonic()))[0]
                    if not ready:
                        raise subprocess.TimeoutExpired([self.name], timeout or 0.0)
                answer = connection.receive()
                if answer is None:
                    break
                if "exit_code" in answer:
                    return int(answer["exit_code"])
        state = directory.read()
        if state.exit_code is not None:
            return state.exit_code
        if state.status is Status.CREATED:
            with contextlib.suppress(errors.NotFoundError):
                self._store.open_container(self.name)
                raise never
        # It was to be removed at its end, and is: nothing else is known of one whose supervisor was killed.
        return _KILLED


_KILLED = 128 + signal.SIGKILL

_PATIENCE = 10.0
"""Seconds that who ran a container has to let go of it."""


def _descriptors(stdio: Stdio, held: contextlib.ExitStack) -> list[int]:
    found = []
    for one in (stdio.stdin, stdio.stdout, stdio.stderr):
        descriptor = one
        if one < 0:
            descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
        found.append(descriptor)
    return found


def _request(store: ContainerStore, driver_options: Mapping[str, str]) -> dict[str, Any]:
    from ._detached_store import check_path

    return {"store": check_path(store), "driver_options": dict(driver_options)}
