"""overlaykit's own runner: containers on a machine that has nothing but this package.

A program that is part of the package (``native/runner``) makes the namespaces and mounts, and starts the container's
first process. It is given a plan, which is made here of the OCI document; nothing of a container is on a disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from .. import errors, linux
from ._own_errors import explain
from ._own_plan import bundle_plan, join_plan
from ._own_protocol import PLAN, STATUS, Kind, Message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from ._bundle import Bundle
    from ._own_plan import Plan
    from ._values import ProcessSpec, Stdio

__all__ = ["INIT", "OwnProcess", "OwnRunner"]

INIT = "org.overlaykit.init"
"""The annotation of a bundle, with the value ``true``, whose program is to have a small process 1 above it.

It collects orphans and passes signals on, as ``docker run --init`` does it.
"""


class OwnRunner:
    """Runs bundles with the program that is part of the package."""

    @property
    def name(self) -> str:
        """What ``--runtime`` calls it."""
        return "own"

    @property
    def path(self) -> str:
        """Where the program is.

        :raises UnsupportedError: this installation has none.
        """
        return linux.runner_path()

    def start(self, bundle: Bundle, stdio: Stdio) -> OwnProcess:
        """Run a bundle.

        :param stdio: the standard streams. Where the bundle asks for a terminal, they are one already: what is typed
            there goes into the container's own, and its size is passed on at SIGWINCH.
        :returns: the container's first process, whose program has been started.
        :raises RunError: it cannot be started.
        :raises UnsupportedError: this installation has no runner.
        """
        with _own_pidfd() as lifeline:
            plan = bundle_plan(bundle, lifeline=lifeline, init=_wants_init(bundle))
            return _launch(plan, bundle, stdio)


class OwnProcess:
    """A process of a container, and the process of the runner that waits for it."""

    def __init__(self, pid: int, status: socket.socket, bundle: Bundle) -> None:
        self._pid = pid
        self._status = status
        self._bundle = bundle
        self._returncode: int | None = None
        self._lock = threading.Lock()
        self._watch = os.pidfd_open(pid)
        self._member: int | None = None
        self._first_pid = 0

    @property
    def pid(self) -> int:
        """The runner's process, a child of the caller; a SIGKILL of it leaves nothing of the container."""
        return self._pid

    @property
    def first_pid(self) -> int:
        """The container's first process, as the machine numbers it."""
        return self._first_pid

    @property
    def returncode(self) -> int | None:
        """The exit code once it ended, as shells have it; ``None`` while it runs."""
        self._collect(0)
        return self._returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends.

        :param timeout: seconds; ``None`` waits as long as it takes.
        :raises subprocess.TimeoutExpired: it has not ended by then; it goes on.
        """
        self._collect(timeout)
        if self._returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._bundle.id, timeout)
        return self._returncode

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is left alone."""
        signal.Signals(number)
        if self._watch < 0:
            return
        # EPIPE, ECONNRESET: the runner has ended, and so has the container.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._status.send(bytes([number]))

    def kill(self) -> None:
        """Kill everything in the container, at once."""
        self.signal(signal.SIGKILL)

    def exec(self, process: ProcessSpec, stdio: Stdio) -> OwnProcess:
        """Start one more process in the container.

        :raises RunError: it cannot be started, or the container has ended.
        """
        if self._member is None or self.returncode is not None:
            raise errors.RunError(f"the container {self._bundle.id} has ended: nothing can be started in it")
        with _own_pidfd() as lifeline:
            plan = join_plan(self._bundle, process, member=self._member, lifeline=lifeline, cgroups=())
            return _launch(plan, self._bundle, stdio)

    def close(self) -> None:
        """Kill what still runs, wait for its end, and let go of everything."""
        if self._watch < 0:
            return
        self.kill()
        self._collect(None)
        self._status.close()
        for descriptor in (self._watch, self._member):
            if descriptor is not None:
                os.close(descriptor)
        self._watch, self._member = -1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _collect(self, timeout: float | None) -> None:
        """Take the exit code if it comes in time."""
        if self._returncode is not None:
            return
        if timeout is not None:
            poll = select.poll()
            poll.register(self._watch, select.POLLIN)
            if not poll.poll(max(0.0, timeout) * 1000):
                return
        with self._lock:
            if self._returncode is None:
                _, status = os.waitpid(self._pid, 0)
                self._await_container()
                code = os.waitstatus_to_exitcode(status)
                self._returncode = code if code >= 0 else 128 - code

    def _await_container(self) -> None:
        """Wait for the container's end, where the runner was killed and could not: the kernel is about to end it."""
        if self._member is not None:
            poll = select.poll()
            poll.register(self._member, select.POLLIN)
            poll.poll()

    def _hear_of_start(self) -> None:
        """Take the runner's messages until the program has been started.

        :raises RunError: it will not be.
        """
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._status, Message.SIZE, 1)
            if not data:
                code = self.wait()
                raise errors.RunError(
                    f"the runner ended without a word (exit code {code}): killed by somebody, or for want of memory"
                )
            message = Message.unpack(data)
            if message.kind is Kind.CHILD:
                self._member = descriptors[0]
                self._first_pid = message.value
            elif message.kind is Kind.FAILED:
                raise explain(message)
            else:
                return


def _wants_init(bundle: Bundle) -> bool:
    return bool(bundle.config.get("annotations", {}).get(INIT) == "true")


@contextlib.contextmanager
def _own_pidfd():  # type: ignore[no-untyped-def]
    descriptor = os.pidfd_open(os.getpid())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _plan_file(plan: Plan) -> int:
    descriptor = os.memfd_create("overlaykit-plan", os.MFD_CLOEXEC)
    try:
        left = memoryview(bytes(plan.writer))
        while left:
            left = left[os.write(descriptor, left) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _launch(plan: Plan, bundle: Bundle, stdio: Stdio) -> OwnProcess:
    with contextlib.ExitStack() as stack:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(theirs.close)
        on_failure = stack.enter_context(contextlib.ExitStack())
        on_failure.callback(ours.close)
        program = _keep(stack, linux.open_runner())
        inherited = [_keep(stack, _plan_file(plan)), theirs.fileno(), *plan.descriptors]
        pid = _spawn(program, inherited, stdio, stack)
        on_failure.pop_all()
    process = OwnProcess(pid, ours, bundle)
    try:
        process._hear_of_start()
    except BaseException:
        process.close()
        raise
    return process


def _keep(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _spawn(program: int, inherited: Sequence[int], stdio: Stdio, stack: contextlib.ExitStack) -> int:
    """Start the runner with its descriptors from 0 on, and return its process id."""
    above = PLAN + len(inherited)
    assert STATUS == PLAN + 1

    def moved(descriptor: int) -> int:
        # Beyond what is put in its place: putting one there must not close another.
        return _keep(stack, fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above))

    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    wanted = [stdio.stdin, stdio.stdout, stdio.stderr, *inherited]
    for number, descriptor in enumerate(wanted):
        if descriptor < 0:
            actions.append((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, moved(descriptor), number))
    # Nothing of the caller's environment is the container's; the sanitizers alone are told what they are to do.
    environment = {name: value for name, value in os.environ.items() if name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{moved(program)}",
            ["overlaykit-runner"],
            environment,
            file_actions=actions,
            # A caller that ignores SIGCHLD would have the runner never hear of the container's end.
            setsigdef=[signal.SIGCHLD],
        )
    except OSError as error:
        raise errors.RunError(f"cannot start the container runner: {error.strerror}") from error
