"""How far an import is, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._output import Output

__all__ = ["import_progress"]


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

    from ._text import printable

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
