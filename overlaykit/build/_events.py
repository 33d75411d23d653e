"""What a build tells of itself while it runs: steps with numbers, their output, and how they ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal

from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BuildEvent", "EventKind", "Reporter", "Step"]

EventKind = Literal["start", "output", "progress", "cached", "done", "failed", "canceled", "warning"]


@value_class
class BuildEvent:
    """Something that happened to a step of a build.

    :param kind: ``start``; ``output`` of a command; ``progress`` of a transfer; how it ended: ``cached``, ``done``,
        ``failed`` or ``canceled``; or a ``warning`` about it.
    :param step: its number, from 1 on.
    :param name: as BuildKit writes it: ``[build 2/6] RUN make``.
    :param seconds: since it began.
    :param data: of ``output``: bytes as they came, not cut at lines.
    :param message: of ``failed``, ``warning`` and ``progress``.
    :param size: of ``done`` and ``cached``: bytes of the layer's blob; ``None`` where there is no layer.
    """

    kind: EventKind
    step: int
    name: str
    seconds: float = 0.0
    data: bytes = b""
    message: str = ""
    size: int | None = None


class Reporter:
    """Numbers steps, and tells of them one event at a time, from whatever thread.

    :param tell: gets each event; ``None`` for nobody.
    """

    def __init__(self, tell: Callable[[BuildEvent], object] | None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._count = 0

    def step(self, name: str) -> Step:
        """Begin a step."""
        with self._lock:
            self._count += 1
            step = Step(self, self._count, name)
        self.send(BuildEvent("start", step.number, name))
        return step

    def send(self, event: BuildEvent) -> None:
        """Tell of an event."""
        if self._tell is not None:
            with self._lock:
                self._tell(event)


class Step:
    """One step that is being done. Leaving it as a context manager ends it, if nobody has said how it ended."""

    def __init__(self, reporter: Reporter, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self._reporter = reporter
        self._began = time.monotonic()
        self._ended = False

    def _send(
        self, kind: EventKind, *, data: bytes = b"", message: str = "", size: int | None = None, last: bool = False
    ) -> None:
        if self._ended:
            return
        self._ended = last
        seconds = time.monotonic() - self._began
        self._reporter.send(BuildEvent(kind, self.number, self.name, seconds, data, message, size))

    def output(self, data: bytes) -> None:
        """Pass on what a command wrote."""
        self._send("output", data=data)

    def progress(self, message: str) -> None:
        """Say how far it is."""
        self._send("progress", message=message)

    def warn(self, message: str) -> None:
        """Say that something is not as it should be."""
        self._send("warning", message=message)

    def cached(self, size: int | None = None) -> None:
        """It need not be done."""
        self._send("cached", size=size, last=True)

    def done(self, size: int | None = None) -> None:
        """It is done."""
        self._send("done", size=size, last=True)

    def failed(self, message: str) -> None:
        """It failed."""
        self._send("failed", message=message, last=True)

    def canceled(self) -> None:
        """It was ended because of something else."""
        self._send("canceled", last=True)

    def __enter__(self) -> Step:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from ._control import StoppedError

        if error is None:
            self.done()
        elif isinstance(error, StoppedError | KeyboardInterrupt):
            self.canceled()
        else:
            self.failed(str(error))
