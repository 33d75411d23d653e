"""The process of a detached container: it opens the store, starts the container, and looks after it to the end.

It is a program of its own and not a fork of the caller's process, which may have threads, locks and descriptors that a
copy would be stuck with. It leads a session, has no terminal, and is nobody's child: it outlives whoever started it.
Killed at any moment it takes the container along (:attr:`RunningProcess.pid`), and the kernel its trees and locks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from ._command import command
from ._control import error_from_json, error_to_json, listen
from ._detached_store import state_directory
from ._exec_spec import exec_spec
from ._logs import LogLimits, LogWriter
from ._ready import READY_SIGNAL, Readiness
from ._state import ContainerState, Status, start_ticks
from ._stop import stop_signal
from ._stored_options import options_from_json
from ._supervised_streams import close_all, open_streams
from ._supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..tree import Tree
    from ._runner import RunningProcess
    from ._state import StateDirectory
    from ._store import ContainerStore, RunnableContainer
    from ._values import ProcessSpec, RunOptions

__all__ = ["launch_monitor", "main"]

_LARGEST = 64 * 1024


def launch_monitor(request: Mapping[str, Any], title: str, attached: socket.socket | None = None) -> dict[str, Any]:
    """Start the process, and wait until the container runs, or cannot.

    :param request: what :func:`main` is to do.
    :param title: what the process is called in a list of processes.
    :param attached: the far end of who is attached from the begin.
    :returns: what it said: the container's name.
    :raises OSError: what hinders it; there is no process then.
    """
    import subprocess

    if not sys.executable:
        raise errors.UnsupportedError("this program does not know its Python interpreter: set sys.executable")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    further = [] if attached is None else [attached.fileno()]
    with ours, theirs, os.fdopen(os.memfd_create("request"), "wb") as file:
        file.write(json.dumps({**request, "attached": further}).encode())
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), title],
            stdin=file.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *further],
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
            start_new_session=True,
        )
        theirs.close()
        code = child.wait()
        data = ours.recv(_LARGEST)
    if not data:
        raise errors.RunError(f"the container's supervisor ended before it had begun (exit code {code})")
    answer: dict[str, Any] = json.loads(data)
    for text in answer.get("warnings", ()):
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    if "error" in answer:
        raise error_from_json(answer["error"])
    return answer


_PROGRAM = "from overlaykit.runtime._monitor import main; main()"


def _import_path() -> list[str]:
    """Return where the caller's modules are that no fresh interpreter would find by itself."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    home = str(Path(__file__).parents[2])
    # In site-packages, or a directory that a .pth file names, it is found anyway; then this changes nothing.
    return [*(one for one in given if one), home]


def main() -> None:
    """Be the supervisor; the arguments are the descriptor to report to, and a title."""
    report = socket.socket(fileno=int(sys.argv[1]))
    report.set_inheritable(False)
    with open(0, "rb", closefd=False) as file:
        request = json.loads(file.read())
    os.dup2(1, 0)
    if os.fork():
        os._exit(0)
    # Not ignored: what is ignored stays so in the programs that a process starts.
    for number in (signal.SIGHUP, READY_SIGNAL):
        signal.signal(number, lambda *_: None)
    said: dict[str, Any] = {}
    code = 1
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            try:
                _Monitor(request, report, caught).run()
                code = 0
            except Exception as error:
                known = isinstance(error, errors.OverlaykitError)
                message = str(error) if known else f"{type(error).__name__}: {error}"
                said = {"error": {**error_to_json(error), "message": message}}
        if said:
            with contextlib.suppress(OSError):
                report.send(json.dumps(said).encode())
    finally:
        # Nothing is left to do: what the interpreter would tear down goes with the process.
        os._exit(code)


class _Monitor:
    """One run of a container.

    :param request: ``store``, ``driver_options`` and ``durability`` say where; ``image`` and ``name`` what is made, or
        without ``image`` which container is started again; ``document`` how.
    :param report: the caller's.
    :param caught: warnings, which are the caller's.
    """

    def __init__(self, request: Mapping[str, Any], report: socket.socket, caught: list[Any]) -> None:
        self._request = request
        self._report = report
        self._caught = caught
        self._name = ""
        self._new = bool(request.get("image"))
        self._auto_remove = False
        self._told = False
        self._config: Mapping[str, Any] = {}
        self._options: RunOptions | None = None
        self._tree: Tree | None = None
        self._attached = [socket.socket(fileno=one) for one in request.get("attached", ())]
        for one in self._attached:
            one.set_inheritable(False)
            one.setblocking(False)

    def run(self) -> None:
        """Start the container and look after it."""
        from ._store import open_store

        request = self._request
        with contextlib.ExitStack() as held:
            store = held.enter_context(
                open_store(
                    request["store"],
                    durability=request.get("durability", "commit"),
                    options=request.get("driver_options") or {},
                    create=False,
                )
            )
            container, directory = self._make(store, held) if self._new else self._open(store)
            try:
                self._supervise(container, directory)
            except BaseException:
                if self._new and not self._told:
                    container.remove()
                    directory.remove()
                raise

    def _open(self, store: ContainerStore) -> tuple[RunnableContainer, StateDirectory]:
        container = store.open_container(self._request["name"])
        return container, state_directory(store, container.name)

    def _make(self, store: ContainerStore, held: contextlib.ExitStack) -> tuple[RunnableContainer, StateDirectory]:
        request = self._request
        container = store.container(request["image"], request.get("name"))
        held.callback(container.close)
        if request.get("labels"):
            store.update_labels(container.name, request["labels"])
        directory = state_directory(store, container.name)
        directory.write_document("options.json", request["document"])
        self._auto_remove = bool(request.get("auto_remove"))
        if not self._auto_remove:
            container.keep()
        return container, directory

    def _supervise(self, container: RunnableContainer, directory: StateDirectory) -> None:
        document = directory.read_document("options.json")
        options = options_from_json(document["run"])
        self._options, self._config, self._name = options, container.image_config, container.name
        failure: errors.RunError | None = None
        code = 0
        with contextlib.ExitStack() as held:
            # Whoever has the tree is alone: everything below belongs to this run.
            self._tree = held.enter_context(container.tree)
            held.callback(os.close, directory.lock())
            log = LogWriter(directory.log, LogLimits(**document.get("log", {})))
            held.callback(log.close)
            listener = held.enter_context(listen(directory.path))
            streams, stdio, theirs = open_streams(options.terminal, bool(document.get("interactive")))
            try:
                process = held.enter_context(container.launch(options, stdio, document.get("runner")))
            except BaseException:
                close_all(*streams.outputs, streams.input)
                raise
            finally:
                close_all(*theirs)
            state = self._state(process, options, document)
            directory.write(state)
            with contextlib.closing(Readiness(process.pid, container.place)) as ready:
                supervisor = Supervisor(
                    process,
                    streams,
                    log,
                    listener,
                    exec_spec=self._exec_spec,
                    ready=ready,
                    started=self._tell,
                    tree=self._tree,
                    stubs=lambda: container.stubs.made,
                    stop_signal=stop_signal(document.get("stop_signal"), self._config),
                    stop_timeout=float(document.get("stop_timeout", 10)),
                )
                for one in self._attached:
                    supervisor.adopt(one)
                try:
                    code = supervisor.run()
                except errors.RunError as error:
                    code, failure = error.exit_code, error
            process.close()
            self._tree.close()
            if not self._auto_remove:
                directory.write(_exited(state, code, "" if failure is None else str(failure)))
        try:
            if failure is not None and not self._told:
                raise failure
            if self._auto_remove:
                container.close()
                directory.remove()
        finally:
            # Whoever waits for the end can do with the container whatever they like.
            supervisor.finish({"exit_code": code})

    def _state(self, process: RunningProcess, options: RunOptions, document: Mapping[str, Any]) -> ContainerState:
        return ContainerState(
            status=Status.RUNNING,
            pid=process.pid,
            supervisor=os.getpid(),
            ticks=start_ticks(os.getpid()),
            runner=str(document.get("runner") or ""),
            command=command(self._config, options),
            started=time.time_ns(),
            auto_remove=self._auto_remove,
            terminal=options.terminal,
            warnings=tuple(str(one.message) for one in self._caught),
        )

    def _tell(self) -> None:
        self._told = True
        answer = {"name": self._name, "warnings": [str(one.message) for one in self._caught]}
        with contextlib.suppress(OSError):  # who started it has been killed: the container runs on
            self._report.send(json.dumps(answer).encode())
        self._report.close()

    def _exec_spec(self, asked: Mapping[str, Any], terminal: int) -> ProcessSpec:
        assert self._tree is not None
        assert self._options is not None
        return exec_spec(self._tree, self._options, self._config, asked, terminal)


def _exited(state: ContainerState, code: int, error: str) -> ContainerState:
    return dataclasses.replace(
        state,
        status=Status.EXITED,
        pid=0,
        supervisor=0,
        ticks=0,
        finished=time.time_ns(),
        exit_code=code,
        error=error,
    )
