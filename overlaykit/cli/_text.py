"""Values as people read them."""

from __future__ import annotations

import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Sequence

__all__ = ["age", "aligned", "mode_text", "one_line", "printable", "size", "width"]


def printable(text: str) -> str:
    """Return a text that is safe on a terminal: control characters and bytes that are no UTF-8 become escapes.

    A file name may hold escape sequences that would move the cursor or retitle the window.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    import unicodedata

    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """Return a message without line ends or other control characters."""
    return printable(" ".join(text.splitlines())) if text else text


def size(count: int) -> str:
    """Return a number of bytes in binary units, ``"1.5 MiB"``."""
    if abs(count) < 1024:
        return f"{count} B"
    amount, units = count / 1024, ["KiB", "MiB", "GiB", "TiB", "PiB"]
    # 1023.95 would be written as 1024.0.
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:.1f} {units[0]}"


def age(then: datetime.datetime, now: datetime.datetime) -> str:
    """Return how long ago something was, in its largest unit: ``"3 hours ago"``."""
    seconds = max(0, int((now - then).total_seconds()))
    for length, unit in ((31_557_600, "year"), (604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} second{'' if seconds == 1 else 's'} ago"


def mode_text(mode: int) -> str:
    """Return type and permission bits as ``ls -l`` writes them."""
    return stat.filemode(mode)


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def aligned(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return rows as lines with aligned columns, two spaces between them and none at the end.

    :param rows: of equal length.
    :param right: the columns that are aligned to the right.
    """
    table = [tuple(row) for row in rows]
    if not table:
        return []
    widths = [max(width(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = []
        for number, (cell, columns) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (columns - width(cell))
            cells.append(gap + cell if number in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return lines
