"""How a build is shown: lines as BuildKit writes them, a live view on a terminal, or JSON lines."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ._text import printable, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from ..build import BuildWarning
    from ..errors import DockerfileError
    from ._output import Output

__all__ = ["BuildEvent", "BuildView", "as_json", "build_view", "show_place"]

_TAIL = 6
"""Lines of a running step's output on a terminal."""

_CODES = partial(re.compile, rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Escape sequences: colours and movements of a command's own."""


class BuildEvent(Protocol):
    """What the library says while it builds; :class:`overlaykit.build.BuildEvent` is one."""

    @property
    def kind(self) -> str:
        """What happened."""

    @property
    def step(self) -> int:
        """The step's number."""

    @property
    def name(self) -> str:
        """The step's name."""

    @property
    def seconds(self) -> float:
        """Since it began."""

    @property
    def data(self) -> bytes:
        """Output."""

    @property
    def message(self) -> str:
        """Words."""

    @property
    def size(self) -> int | None:
        """Bytes of the layer."""


class BuildView(Protocol):
    """Shows a build."""

    def show(self, event: BuildEvent) -> None:
        """Show an event."""

    def close(self) -> None:
        """Show nothing more, and leave what was shown; a second time does nothing."""


def show_place(error: DockerfileError, output: Output) -> None:
    """Write the line of the Dockerfile that an error is about, with a caret below the place."""
    if not output.json and error.source:
        sys.stderr.write("".join(f"  {printable(line)}\n" for line in error.shown().split("\n")))


def as_json(warning: BuildWarning) -> dict[str, str]:
    """Return a warning as a document has it."""
    return {"rule": warning.rule, "message": warning.message, "place": warning.place}


@contextlib.contextmanager
def build_view(output: Output, how: str) -> Iterator[BuildView | None]:
    """Show a build while the body runs, on standard error.

    :param how: what ``--progress`` says: ``auto``, ``plain``, ``tty``, ``json`` or ``none``.
    """
    if how == "auto":
        how = "none" if output.quiet or output.json else "tty" if sys.stderr.isatty() else "plain"
    if how == "none":
        yield None
        return
    view: BuildView = _Json() if how == "json" else _Live(output) if how == "tty" else _Plain()
    try:
        yield view
    finally:
        view.close()


class _Lines:
    """Cuts each step's output into lines."""

    def __init__(self) -> None:
        self._rest: dict[int, bytes] = {}

    def cut(self, step: int, data: bytes) -> list[str]:
        """Return the lines that are whole."""
        *whole, rest = (self._rest.pop(step, b"") + data).split(b"\n")
        self._rest[step] = rest
        return [_text(line) for line in whole]

    def rest(self, step: int) -> list[str]:
        """Return what comes after the last line end."""
        rest = self._rest.pop(step, b"")
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    # What a carriage return writes over is not to be seen.
    shown = _CODES().sub(b"", line.rstrip(b"\r")).rpartition(b"\r")[2]
    return printable(shown.decode("utf-8", "replace").expandtabs())


def _ending(event: BuildEvent) -> str:
    layer = "" if event.size is None else f"  {size(event.size)}"
    match event.kind:
        case "cached":
            return f"CACHED{layer}"
        case "done":
            return f"DONE {event.seconds:.1f}s{layer}"
        case "canceled":
            return "CANCELED"
    return f"ERROR: {printable(event.message)}"


class _Plain:
    """Lines: those of a step one after the other, its name again where another step came between."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._last = 0
        self._named: set[int] = set()

    def show(self, event: BuildEvent) -> None:
        at = f"{event.seconds:.3f}"
        match event.kind:
            case "start":
                return  # with its first line: steps that wait for others say nothing yet
            case "output":
                shown = [f"{at} {line}" for line in self._lines.cut(event.step, event.data)]
            case "progress":
                return
            case "warning":
                shown = [f"WARN: {printable(event.message)}"]
            case _:
                shown = [*(f"{at} {line}" for line in self._lines.rest(event.step)), _ending(event)]
        if shown:
            self._write(event, shown)

    def _write(self, event: BuildEvent, shown: list[str]) -> None:
        lines = []
        if event.step != self._last:
            if self._last:
                lines.append("")
            again = " ..." if event.step in self._named else ""
            lines.append(f"#{event.step} {printable(event.name)}{again}")
            self._named.add(event.step)
            self._last = event.step
        lines += [f"#{event.step} {line}" for line in shown]
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        pass


class _Json:
    """One line an event: ``{"build": {...}}``."""

    def show(self, event: BuildEvent) -> None:
        import json

        values = {"kind": event.kind, "step": event.step, "name": event.name, "seconds": round(event.seconds, 3)}
        if event.kind == "output":
            values["output"] = event.data.decode("utf-8", "replace")
        if event.message:
            values["message"] = event.message
        if event.size is not None:
            values["size"] = event.size
        sys.stderr.write(json.dumps({"build": values}) + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        pass


class _Row:
    def __init__(self, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.ending = ""
        self.seconds = 0.0
        self.note = ""
        self.tail: list[str] = []
        self.warnings: list[str] = []


class _Live:
    """A view that is drawn again and again: steps, and the last lines of those that run."""

    def __init__(self, output: Output) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lines = _Lines()
        self._lock = threading.Lock()
        self._rows: dict[int, _Row] = {}
        self._began = time.monotonic()
        self._open = True
        self._console = Console(stderr=True, no_color=not output.color, highlight=False)
        self._live = Live(self, console=self._console, refresh_per_second=8, vertical_overflow="crop")
        self._live.start()

    def show(self, event: BuildEvent) -> None:
        with self._lock:
            row = self._rows.setdefault(event.step, _Row(event.name, time.monotonic() - event.seconds))
            match event.kind:
                case "start":
                    pass
                case "output":
                    row.tail = [*row.tail, *self._lines.cut(event.step, event.data)][-_TAIL:]
                case "progress":
                    row.note = event.message
                case "warning":
                    row.warnings.append(printable(event.message))
                case "failed":
                    row.tail = [*row.tail, *self._lines.rest(event.step)][-_TAIL:]
                    row.ending, row.seconds = "ERROR", event.seconds
                case _:
                    row.ending, row.seconds, row.tail = event.kind.upper(), event.seconds, []

    def close(self) -> None:
        if self._open:
            self._open = False
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        with self._lock:
            lines = self._draw()
        # The last column stays free: what the kernel writes where somebody presses Ctrl-C would begin a new line.
        width = max(20, options.max_width - 3)
        room = max(4, (console.height or 25) - 1) if self._open else len(lines)
        head, body = lines[0], lines[1:]
        body = body[-(room - 1) :] if len(body) >= room else body
        for left, right, style in (head, *body):
            space = width - len(right) - 1
            shown = left if len(left) <= space else left[: space - 1] + "…"
            yield Text(f"{shown:<{space}} {right}".rstrip(), style=style, no_wrap=True, overflow="crop")

    def _draw(self) -> list[tuple[str, str, str]]:
        done = sum(bool(row.ending) for row in self._rows.values())
        total = time.monotonic() - self._began
        lines = [(f"[+] Building {total:.1f}s ({done}/{len(self._rows)})", "", "bold")]
        for row in self._rows.values():
            words = f"{row.ending} " if row.ending in ("CACHED", "ERROR", "CANCELED") else ""
            seconds = row.seconds if row.ending else time.monotonic() - row.began
            style = "red" if row.ending == "ERROR" else "blue" if row.ending else ""
            note = f"  {printable(row.note)}" if row.note and not row.ending else ""
            lines.append((f" => {words}{printable(row.name)}{note}", f"{seconds:.1f}s", style))
            lines += [(f" => => # {line}", "", "dim") for line in row.tail]
            lines += [(f" => WARN: {line}", "", "yellow") for line in row.warnings]
        return lines
