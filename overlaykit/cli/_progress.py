"""How far an import is, or an image on its way."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

from ._text import printable, size

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from ._output import Output
    from ._parse import CommandParser
else:
    Protocol = object

__all__ = ["TransferEvent", "add_progress_option", "import_progress", "reading_progress", "transfer_progress"]


@contextlib.contextmanager
def import_progress(output: Output, source: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show progress while the body runs, on standard error where that is a terminal.

    :param source: what is imported.
    :returns: what to call with the entries and bytes done so far; ``None`` where nothing is shown.
    """
    if output.quiet or output.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[entries]} entries", markup=False),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = Console(stderr=True, no_color=not output.color)
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task(str(Text(printable(source))), total=None, entries=0)

        def show(entries: int, bytes: int) -> None:
            display.update(task, completed=bytes, entries=entries)

        yield show


_PATIENCE = 0.7
"""Seconds after which somebody may wonder; what is read sooner is not worth importing rich."""


@contextlib.contextmanager
def reading_progress(output: Output, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show how much was read while the body runs, if that takes long, on standard error where that is a terminal.

    :param what: is read.
    :returns: what to call with the bytes read so far and all of them; ``None`` where nothing is shown.
    """
    if output.quiet or output.json or not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        display: Progress | None = None

        def show(done: int, total: int) -> None:
            nonlocal display
            if display is None:
                if time.monotonic() - began < _PATIENCE:
                    return
                display = stack.enter_context(_reading_bar(output))
                display.add_task(printable(what))
            display.update(display.task_ids[0], completed=done, total=total)

        yield show


def _reading_bar(output: Output) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(binary_units=True))
    return Progress(*columns, console=Console(stderr=True, no_color=not output.color), transient=True)


class TransferEvent(Protocol):
    """What the library says while an image moves; :class:`overlaykit.image.ProgressEvent` is one."""

    @property
    def action(self) -> str:
        """What happens: ``"download"``, ``"unpack"``, ``"write"``, ``"upload"``, ``"exists"`` or ``"done"``."""

    @property
    def digest(self) -> str:
        """The blob that it happens to."""

    @property
    def done(self) -> int:
        """Bytes so far."""

    @property
    def total(self) -> int | None:
        """Bytes in all, where that is known."""


def add_progress_option(parser: CommandParser) -> None:
    """Declare ``--progress`` for a command that moves images."""
    parser.add_argument(
        "--progress",
        metavar="HOW",
        choices=("auto", "bar", "lines", "json", "none"),
        default="auto",
        help="bar, lines, json or none; auto: a bar on a terminal, else lines, none with --quiet and --json",
    )


@contextlib.contextmanager
def transfer_progress(output: Output, how: str = "auto") -> Iterator[Callable[[TransferEvent], None] | None]:
    """Show how far each layer of an image is while the body runs, on standard error.

    A bar a layer on a terminal; elsewhere one line when something begins and none after, so that a log stays short;
    nothing with ``--quiet``. With ``--json`` standard error stays what it is for every command, empty or one error:
    who wants the events as JSON lines, ``{"progress": {...}}``, asks with ``--progress json``.

    :param how: what ``--progress`` says.
    :returns: what to call with each event, from any thread; ``None`` where nothing is shown.
    """
    if how == "auto":
        how = "none" if output.quiet or output.json else "bar" if sys.stderr.isatty() else "lines"
    if how == "none":
        yield None
    elif how == "bar":
        with _bars(output) as show:
            yield show
    else:
        yield _Lines(as_json=how == "json").show


class _Lines:
    """One line for each thing that begins; in JSON one more whenever it is a tenth further."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], int] = {}

    def show(self, event: TransferEvent) -> None:
        key = event.digest, event.action
        tenth = 10 if event.action in _FINAL else event.done * 10 // event.total if event.total else 0
        with self._lock:
            before = self._seen.get(key, -1)
            if before >= (tenth if self._json else 0):
                return
            self._seen[key] = tenth
            line = self._document(event) if self._json else self._text(event)
            if line:
                sys.stderr.write(line + "\n")

    @staticmethod
    def _document(event: TransferEvent) -> str:
        import json

        values = {"action": event.action, "digest": event.digest, "done": event.done, "total": event.total}
        return json.dumps({"progress": values})

    @staticmethod
    def _text(event: TransferEvent) -> str:
        if event.action == "done":
            return ""  # what was done is said by the command itself
        amount = f", {size(event.total)}" if event.total else ""
        return f"{_short(event.digest)}: {_WORDS.get(event.action, printable(event.action))}{amount}"


@contextlib.contextmanager
def _bars(output: Output) -> Iterator[Callable[[TransferEvent], None]]:
    from rich.console import Console
    from rich.constrain import Constrain
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[action]}", markup=False, table_column=Column(min_width=len("downloading"))),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )

    class Bars(Progress):
        def get_renderable(self) -> RenderableType:
            # What the kernel writes where somebody presses Ctrl-C would begin a line that is not known of here.
            return Constrain(super().get_renderable(), max(1, console.width - len("^C ")))

    console = Console(stderr=True, no_color=not output.color)
    lock = threading.Lock()
    tasks: dict[str, TaskID] = {}
    actions: dict[str, str] = {}
    with Bars(*columns, console=console, transient=True) as display:

        def show(event: TransferEvent) -> None:
            words = _WORDS.get(event.action, printable(event.action))
            with lock:
                if event.digest not in tasks:
                    tasks[event.digest] = display.add_task(_short(event.digest), total=event.total, action=words)
                    actions[event.digest] = event.action
                task = tasks[event.digest]
                if actions[event.digest] != event.action and event.action not in _FINAL:
                    # What comes next counts from the beginning.
                    display.reset(task)
                actions[event.digest] = event.action
            done = event.total if event.action in _FINAL and event.total else event.done
            display.update(task, completed=done, total=event.total, action=words)

        yield show


_FINAL = frozenset({"exists", "done"})

_WORDS = {
    "download": "downloading",
    "unpack": "unpacking",
    "write": "writing",
    "upload": "uploading",
    "exists": "already there",
    "done": "done",
}


def _short(digest: str) -> str:
    return printable(digest.rpartition(":")[2][:12])
