"""overlaykit's own runner: containers on a machine that has nothing but this package.

A program that is part of the native module (``native/runner``) makes the namespaces and mounts, and starts the
container's first process. It is given a plan, which is made here of the OCI document; nothing of a container is on a
disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from contextlib import ExitStack

from .. import errors, linux
from ._cgroup_guard import open_groups
from ._own_plan import bundle_plan, join_plan
from ._own_protocol import PLAN, STATUS, Kind, Message
from ._process import HostProcess

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._bundle import Bundle
    from ._cgroup_guard import Groups
    from ._own_plan import Plan
    from ._values import ProcessSpec, Stdio

__all__ = ["INIT", "OwnProcess", "OwnRunner", "join"]

INIT = "org.overlaykit.init"
"""The annotation of a bundle, with the value ``true``, whose program is to have a small process 1 above it.

It collects orphans and passes signals on, as ``docker run --init`` does it.
"""


_UNIX = 1  # AF_UNIX; the enumerations of the module socket take longer to make than a container
_INT = 4


class OwnRunner:
    """Runs bundles with the program that is part of the package."""

    @property
    def name(self) -> str:
        """See :attr:`Runner.name`."""
        return "own"

    @property
    def path(self) -> str:
        """Where the program is: in the native module.

        :raises UnsupportedError: this installation has none.
        """
        return linux.runner_path()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def start(self, bundle: Bundle, stdio: Stdio) -> OwnProcess:
        """Run a bundle.

        :param stdio: the standard streams. Where the bundle asks for a terminal, they are one already: what is typed
            there goes into the container's own, and its size is passed on at SIGWINCH.
        :returns: the container's first process, whose program has been started.
        :raises RunError: it cannot be started.
        :raises UnsupportedError: this installation has no runner.
        """
        with ExitStack() as held:
            group = open_groups(bundle)
            held.callback(group.close)
            init = bundle.config.get("annotations", {}).get(INIT) == "true"
            # A user namespace keeps the machine's devices closed by itself.
            guarded = not bundle.groups or group.guards_devices

            def plan(lifeline: int) -> Plan:
                return bundle_plan(bundle, lifeline=lifeline, group=group, init=init, make_devices=guarded)

            process = _launch(plan, bundle, stdio)
            process.hold(held.pop_all(), group)
        return process


class OwnProcess(HostProcess):
    """A process of a container, and the process of the runner that waits for it."""

    def __init__(self, pid: int, status: socket, bundle: Bundle) -> None:
        self._status = status
        self._bundle = bundle
        self._member = -1
        self._group: Groups | None = None
        self._held = ExitStack()
        self._first_pid = 0
        super().__init__(pid, self._finished)

    def hold(self, held: ExitStack, group: Groups) -> None:
        """Take over what is to be let go of at the end, and the cgroups that further processes go into."""
        self._held, self._group = held, group

    @property
    def first_pid(self) -> int:
        """The container's first process, as the machine numbers it."""
        return self._first_pid

    def signal(self, number: int) -> None:
        """See :meth:`RunningProcess.signal`.

        The kernel drops what the first process of a namespace has no handler for. What would end any other program ends
        it too, with everything in the container.
        """
        with self._lock:
            if self._returncode is None and self._fd >= 0:
                # EPIPE, ECONNRESET: the runner has ended, and so has the container.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._status.send(bytes([signal.Signals(number)]))

    def exec(self, process: ProcessSpec, stdio: Stdio) -> OwnProcess:
        """Start one more process in the container.

        :raises RunError: it cannot be started, or the container has ended.
        """
        if self._member < 0 or self.returncode is not None:
            raise errors.RunError(f"nothing can be started in the container {self._bundle.id}: it has ended")

        return join(self._bundle, process, stdio, member=self._member, group=self._group)

    def close(self) -> None:
        """See :meth:`RunningProcess.close`."""
        super().close()
        self._status.close()
        if self._member >= 0:
            os.close(self._member)
            self._member = -1
        self._held.close()

    def _finished(self, code: int) -> int:
        """Wait for the container's end where the runner was killed and could not: the kernel is about to end it."""
        if self._member >= 0:
            poll = select.poll()
            poll.register(self._member, select.POLLIN)
            poll.poll()
        return code

    def hear_of_start(self) -> None:
        """Take the runner's messages until the program has been started.

        :raises RunError: it will not be.
        """
        while True:
            data, further, _, _ = self._status.recvmsg(Message.SIZE, CMSG_SPACE(_INT), MSG_CMSG_CLOEXEC)
            if not data:
                code = self.wait()
                raise errors.RunError(
                    f"the runner ended without a word (exit code {code}): killed by somebody, or for want of memory"
                )
            message = Message.unpack(data)
            if message.kind == Kind.CHILD:
                self._member = int.from_bytes(further[0][2][:_INT], sys.byteorder)
                self._first_pid = message.value
            elif message.kind == Kind.FAILED:
                from ._own_errors import explain

                raise explain(message)
            else:
                return


def join(bundle: Bundle, process: ProcessSpec, stdio: Stdio, *, member: int, group: Groups | None) -> OwnProcess:
    """Start one more process in a container, whichever runtime runs that.

    :param member: a descriptor of the container's first process (:func:`os.pidfd_open`).
    :param group: the cgroups that it goes into.
    :raises RunError: it cannot be started.
    """

    def plan(lifeline: int) -> Plan:
        return join_plan(bundle, process, member=member, lifeline=lifeline, group=group)

    return _launch(plan, bundle, stdio)


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


def _launch(make_plan: Callable[[int], Plan], bundle: Bundle, stdio: Stdio) -> OwnProcess:
    with ExitStack() as stack:
        # A descriptor of this process: however it ends, the runner sees it.
        plan = make_plan(_keep(stack, os.pidfd_open(os.getpid())))
        ours, theirs = socketpair(_UNIX, SOCK_SEQPACKET)
        stack.callback(theirs.close)
        on_failure = stack.enter_context(ExitStack())
        on_failure.callback(ours.close)
        program = _keep(stack, linux.open_runner())
        inherited = [_keep(stack, _plan_file(plan)), theirs.fileno(), *plan.descriptors]
        # What whoever lists processes sees.
        words = ["overlaykit-runner", f"--bundle={bundle.place}", bundle.id]
        pid = _spawn(program, words, inherited, stdio, stack)
        on_failure.pop_all()
    process = OwnProcess(pid, ours, bundle)
    try:
        process.hear_of_start()
    except BaseException:
        process.close()
        raise
    return process


def _keep(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _spawn(program: int, words: list[str], inherited: Sequence[int], stdio: Stdio, stack: ExitStack) -> int:
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
            words,
            environment,
            file_actions=actions,
            # A caller that ignores SIGCHLD would have the runner never hear of the container's end.
            setsigdef=[signal.SIGCHLD],
        )
    except OSError as error:
        raise errors.RunError(f"cannot start the container runner: {error.strerror}") from error
