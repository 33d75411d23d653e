"""The seam between what is to run and the program that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._bundle import Bundle
    from ._values import ProcessSpec, Stdio

__all__ = ["Runner", "RunningProcess"]


class RunningProcess(Protocol):
    """A process of a container. Leaving it as a context manager kills what still runs."""

    @property
    def pid(self) -> int:
        """The process of this machine that stands for it: a child of the caller, which ends when it ends.

        Everything of the container is below it: a SIGKILL of this process leaves nothing, and it dies by itself when
        the thread that started it ends (PR_SET_PDEATHSIG(2const)).
        """

    @property
    def returncode(self) -> int | None:
        """The exit code once it ended, as shells have it: 128 and the number for a signal; ``None`` while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends.

        :param timeout: seconds; ``None`` waits as long as it takes.
        :returns: :attr:`returncode`.
        :raises subprocess.TimeoutExpired: it has not ended by then; it goes on.
        :raises RunError: it never began: the runner found out after :meth:`Runner.start` had returned.
        """

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is left alone."""

    def kill(self) -> None:
        """Kill everything in the container, at once."""

    def exec(self, process: ProcessSpec, stdio: Stdio) -> RunningProcess:
        """Start one more process in the container.

        :raises RunError: it cannot be started, or the container has ended.
        """

    def close(self) -> None:
        """Kill what still runs, and remove what was made for it (its cgroup)."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""


class Runner(Protocol):
    """A program that runs bundles: crun, runc, or overlaykit's own."""

    @property
    def name(self) -> str:
        """What ``--runtime`` calls it."""

    @property
    def path(self) -> str:
        """Where the program is."""

    def start(self, bundle: Bundle, stdio: Stdio) -> RunningProcess:
        """Run a bundle.

        :param stdio: with ``process.terminal`` of the bundle, the terminal's own end is taken for all three.
        :returns: the container's first process, which runs, or has ended already.
        :raises RunError: it cannot be started.
        """
