"""A process of a container that is more than what a runner made: something goes with it when it is closed."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._runner import RunningProcess
    from ._values import ProcessSpec, Stdio

__all__ = ["Watched"]


class Watched:
    """A process that is passed on as it is; see :class:`RunningProcess`. What is special overrides :meth:`close`."""

    def __init__(self, running: RunningProcess) -> None:
        self._running = running

    @property
    def pid(self) -> int:
        """See :attr:`RunningProcess.pid`."""
        return self._running.pid

    @property
    def returncode(self) -> int | None:
        """See :attr:`RunningProcess.returncode`."""
        return self._running.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See :meth:`RunningProcess.wait`."""
        return self._running.wait(timeout)

    def signal(self, number: int) -> None:
        """See :meth:`RunningProcess.signal`."""
        self._running.signal(number)

    def kill(self) -> None:
        """See :meth:`RunningProcess.kill`."""
        self._running.kill()

    def exec(self, process: ProcessSpec, stdio: Stdio) -> RunningProcess:
        """See :meth:`RunningProcess.exec`."""
        return self._running.exec(process, stdio)

    def close(self) -> None:
        """See :meth:`RunningProcess.close`."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
