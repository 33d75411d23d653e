"""Tells the story: chapters, sentences, drawings and checks, at most 80 columns wide."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from .._draw import draw_tree
from .._text import aligned, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...driver import Change
    from .._output import Output

__all__ = ["Narrator"]

_COLUMNS = 80
_CHANGE_STYLES = {"added": "green", "modified": "yellow", "deleted": "red"}


class Narrator:
    """Writes the story for people; with ``--json`` it only remembers the checks.

    :param output: where to write.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._silent = output.json
        self._chapter = 0
        self.checks: list[tuple[str, bool]] = []

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return not all(holds for _, holds in self.checks)

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapter += 1
        text = f"{self._chapter}. {title} "
        self._line()
        self._line(self._output.style(text + "─" * (_COLUMNS - width(text)), "bold", "cyan"))

    def say(self, text: str) -> None:
        """Write a paragraph."""
        self._line(textwrap.fill(text, _COLUMNS))

    def check(self, claim: str, holds: bool) -> None:
        """Write a claim and whether it holds, which was just found out."""
        self.checks.append((claim, holds))
        mark = self._output.style("✓", "green") if holds else self._output.style("✗ NOT TRUE:", "bold", "red")
        self._line(f"  {mark} {claim}")

    def commands(self, commands: Iterable[str], who: str) -> None:
        """Write what somebody does."""
        for command in commands:
            self._line(f"  {self._output.style(f'{who} $', 'dim')} {command}")

    def stack(self, rows: Sequence[Sequence[str]]) -> None:
        """Draw layers as boxes upon each other, the topmost first."""
        lines = aligned(rows, frozenset({1, 2}))
        inner = max(width(line) for line in lines) + 2
        self._line(f"  ┌{'─' * inner}┐")
        for number, line in enumerate(lines):
            if number:
                self._line(f"  ├{'─' * inner}┤")
            self._line(f"  │ {line}{' ' * (inner - 2 - width(line))} │")
        self._line(f"  └{'─' * inner}┘")

    def tree(self, roots: Sequence[str], children: Callable[[str], Sequence[str]], fact: Callable[[str], str]) -> None:
        """Draw what stands on what.

        :param fact: what to write after a name.
        """
        drawn = list(draw_tree(roots, children))
        longest = max(width(lead + name) for lead, name in drawn)
        for lead, name in drawn:
            gap = " " * (longest - width(lead + name))
            self._line(f"  {lead}{self._output.style(name, 'bold')}{gap}  {fact(name)}")

    def changes(self, title: str, changes: Sequence[Change]) -> None:
        """Write a difference: A, M or D, the path, and what of a modified path differs."""
        self._line(f"  {title}:")
        for change in changes:
            letter = self._output.style(change.kind.value[0].upper(), _CHANGE_STYLES[change.kind.value])
            aspects = ", ".join(str(aspect.name).lower() for aspect in change.aspects)
            note = self._output.style(f"  ({aspects})", "dim") if aspects else ""
            path = "/" if change.path == "." else f"/{change.path}"
            self._line(f"    {letter} {path}{note}")

    def rows(self, rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
        """Write rows with aligned columns."""
        for line in aligned(rows, right):
            self._line(f"  {line}")

    def _line(self, text: str = "") -> None:
        if not self._silent:
            self._output.line(text)
