"""Where results, notes and errors are written, and how: for people or for programs."""

from __future__ import annotations

import os
import sys

from ._text import aligned, one_line, printable

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

__all__ = ["Output", "remove_each"]

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}

_ASCII = str.maketrans(
    {"├": "+", "└": "`", "│": "|", "─": "-", "┌": "+", "┐": "+", "┘": "+", "┤": "+", "✓": "+", "✗": "!"}
)


class Output:
    """Standard output for what was asked for, standard error for everything else.

    :param json: write one JSON document instead of text.
    :param quiet: no notes and no progress.
    :param color: colour where standard output is a terminal.
    """

    def __init__(self, *, json: bool, quiet: bool, color: bool) -> None:
        self.json = json
        self.quiet = quiet
        self.terminal = sys.stdout.isatty()
        self.unicode = "utf" in (sys.stdout.encoding or "").lower()
        self.color = color and self.terminal and _wants_color()

    def document(self, value: Any) -> None:
        """Write the JSON document of a command. Text that is not UTF-8 is surrogate-escaped, as Python has it."""
        import json

        sys.stdout.write(json.dumps(value, indent=2 if self.terminal else None) + "\n")

    def line(self, text: str = "") -> None:
        """Write a line, as it is; drawn lines become ASCII where the encoding lacks them."""
        sys.stdout.write((text if self.unicode else text.translate(_ASCII)) + "\n")

    def flush(self) -> None:
        """Let a reader see what was written so far."""
        sys.stdout.flush()

    def name(self, text: str) -> str:
        """Return a file name or key for a line of its own: exact for programs, made safe for a terminal."""
        return printable(text) if self.terminal else text

    def raw(self, data: bytes | memoryview) -> None:
        """Write bytes."""
        sys.stdout.buffer.write(data)

    def note(self, text: str) -> None:
        """Write a line to standard error, unless quiet."""
        if not self.quiet:
            sys.stderr.write(one_line(text) + "\n")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
        """Write a table: by rich on a terminal, which fits it to the width, else as aligned text.

        :param head: the headings.
        :param rows: the cells, made safe for a terminal here.
        :param right: the columns that are aligned to the right.
        """
        cells = [[printable(cell) for cell in row] for row in rows]
        if self.terminal:
            self._rich_table(head, cells, right)
        else:
            for line in aligned([head, *cells], right):
                self.line(line)

    def style(self, text: str, *styles: str) -> str:
        """Return a text with the codes of its styles, where there is colour."""
        if not self.color or not styles:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def _rich_table(self, head: Sequence[str], rows: list[list[str]], right: frozenset[int]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for number, title in enumerate(head):
            table.add_column(title, justify="right" if number in right else "left", overflow="fold")
        for row in rows:
            # Text, not str: brackets in a key are no markup.
            table.add_row(*(Text(cell) for cell in row))
        Console(file=sys.stdout, color_system="auto" if self.color else None, highlight=False).print(table)


def _wants_color() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def remove_each(output: Output, names: Sequence[str], remove: Callable[[str], object]) -> int:
    """Remove things in the order given, up to the first that cannot be removed, and tell of each."""
    for name in names:
        remove(name)
        if not output.json:
            output.line(output.name(name))
    if output.json:
        output.document({"removed": names})
    return 0
