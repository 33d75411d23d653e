"""A container that this process runs itself, as others see it: what it runs, and a socket to ask it something.

The fastest way to run something goes through here, so there is little: a directory with a lock, a record and a socket,
and a thread that sleeps until the process ends or somebody asks. What answers is imported then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import threading
import time
from _socket import SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from .. import errors
from ._watched import Watched

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..tree import Tree
    from ._runner import RunningProcess
    from ._service import Output
    from ._stubs import Stubs
    from ._values import RunOptions

__all__ = ["LABEL_DRIVER", "LABEL_STATE", "Presence", "Run", "remove_files", "state_path"]

LABEL_STATE = "overlaykit.container.state"
"""The label of a container: the name of its state directory, which is never used again."""

LABEL_DRIVER = "overlaykit.container.driver"
"""The label of a container that was made in a store opened with options for its driver: those, as a JSON object."""

_LONGEST = 64

_UNIX = 1  # AF_UNIX; the enumeration of the module socket takes longer to make than all of this


class Run:
    """One process of a container.

    :param process: it, which was started by this process.
    :param words: its program and arguments.
    :param config: that of the image.
    :param runner: the name of what runs it.
    :param output: where what it writes goes to, if that is kept; ``None`` where its streams are its own.
    """

    def __init__(
        self,
        process: RunningProcess,
        words: tuple[str, ...],
        options: RunOptions,
        config: Any,
        tree: Tree,
        stubs: Stubs,
        runner: str,
        place: str,
        output: Output | None = None,
    ) -> None:
        self.process = process
        self.words = words
        self.options = options
        self.config = config
        self.tree = tree
        self.stubs = stubs
        self.runner = runner
        self.place = place
        self.output = output
        self.started = time.time_ns()
        self.watch = os.pidfd_open(process.pid)
        self.thread: threading.Thread | None = None


class Presence:
    """What others see of one container. Of processes that run in it at the same time, the oldest is *the* one.

    :param path: its state directory, which is made, for its owner alone, when something runs.
    :param kept: the container stays when it has ended.
    :param over: called when nothing runs any more.
    """

    def __init__(self, path: str, *, kept: bool, over: Callable[[], object]) -> None:
        self._path = path
        self._kept = kept
        self._over = over
        self._mutex = threading.Lock()
        self._runs: list[Run] = []
        self._lock = -1

    def enter(self, run: Run) -> RunningProcess:
        """Show what runs.

        :returns: the process, which is shown until it has ended.
        :raises OSError: that cannot be recorded; the process is closed then.
        """
        try:
            with self._mutex:
                self._runs.append(run)
                if len(self._runs) == 1:
                    self._show(run)
        except BaseException:
            with self._mutex:
                self._runs.remove(run)
                self._hide()
            os.close(run.watch)
            run.process.close()
            raise
        return _Present(run, self)

    def _show(self, run: Run) -> None:
        if self._lock < 0:
            self._begin()
        # In which order: who finds the record finds the socket.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._path}/control")
        listener = socket(_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            directory = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                listener.bind(f"/proc/self/fd/{directory}/control")  # an address has room for 108 bytes
            finally:
                os.close(directory)
            listener.listen(64)
            self._record(
                status="running",
                pid=run.process.pid,
                supervisor=os.getpid(),
                **_history(run),
            )
            run.thread = threading.Thread(
                target=self._attend, args=(run, listener), name="overlaykit-container", daemon=True
            )
            run.thread.start()
        except BaseException:
            listener.close()
            raise

    def _begin(self) -> None:
        try:
            os.mkdir(self._path, 0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(self._path, 0o700, exist_ok=True)
        self._lock = os.open(f"{self._path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Whoever has the tree is alone; others hold it for as long as they take to look.
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _record(self, **state: object) -> None:
        new = f"{self._path}/.state.json.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps({**state, "auto_remove": not self._kept}).encode())
        finally:
            os.close(descriptor)
        os.rename(new, f"{self._path}/state.json")

    def _attend(self, run: Run, listener: socket) -> None:
        """Answer whoever asks, until the process has ended; then record that."""
        if run.output is None:
            poll = select.poll()
            poll.register(run.watch, select.POLLIN)
            poll.register(listener.fileno(), select.POLLIN)
            if run.watch in (descriptor for descriptor, _ in poll.poll()):
                self._ended(run)
                # Only then: who has just come, and is not answered, looks at the record.
                listener.close()
                return
        from ._service import serve

        serve(run, listener, lambda: self._ended(run))

    def _ended(self, run: Run) -> int:
        """Record the end of what is shown, and show what else runs.

        :returns: its exit code.
        """
        error = ""
        try:
            code = run.process.wait()
        except errors.RunError as failure:
            code, error = failure.exit_code, str(failure)
        with self._mutex:
            self._runs.remove(run)
            try:
                if self._runs:
                    self._show(self._runs[0])
                else:
                    self._record(status="exited", finished=time.time_ns(), exit_code=code, error=error, **_history(run))
            except OSError:
                # No space left, most likely: better nothing is known of it than something that is not so.
                with contextlib.suppress(OSError):
                    os.unlink(f"{self._path}/state.json")
            if not self._runs:
                self._hide()
        return code

    def _hide(self) -> None:
        if self._runs:
            return
        with contextlib.suppress(OSError):
            os.unlink(f"{self._path}/control")
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._over()

    def leave(self, run: Run) -> None:
        """Wait until the end of a process that was told to end is known to all."""
        with self._mutex:
            thread = run.thread
            if thread is None and run in self._runs:  # another one was shown all the time
                self._runs.remove(run)
        if thread is not None:
            thread.join()


def state_path(store: str, word: str) -> str:
    """Return the path of a container's state directory.

    :param store: the directory of the store.
    :param word: what the label says.
    :raises StoreCorruptError: that can be none.
    """
    if not word.isalnum() or len(word) > _LONGEST:
        raise errors.StoreCorruptError(f"the label {LABEL_STATE} of a container is damaged: {word[:60]!r}")
    return f"{store}/containers/{word}"


def remove_files(path: str) -> None:
    """Remove a state directory, in the way that is the fastest for one that has nothing but what is made here."""
    for name in ("state.json", "control", "lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/{name}")
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:  # a log, options
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def _history(run: Run) -> dict[str, Any]:
    return {
        "runner": run.runner,
        "command": list(run.words),
        "started": run.started,
        "terminal": run.options.terminal,
        "logged": run.output is not None,
    }


class _Present(Watched):
    """A process that others see."""

    def __init__(self, run: Run, presence: Presence) -> None:
        super().__init__(run.process)
        self._run = run
        self._presence = presence
        self._closed = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self.returncode is None:
                self.kill()
                with contextlib.suppress(errors.RunError):
                    self.wait()
            if self._run.output is not None:
                self._run.output.abandon()
            self._presence.leave(self._run)
            os.close(self._run.watch)
        super().close()
