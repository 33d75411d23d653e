"""Values as people read them, and trees as lines."""

from __future__ import annotations

import datetime

import pytest

from overlaykit.cli._draw import draw_tree
from overlaykit.cli._text import age, aligned, one_line, printable, size, width


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (5 * 1024**5, "5.0 PiB"),
        (5 * 1024**6, "5120.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_sizes_have_binary_units(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 seconds ago"), (1, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"), (7200, "2 hours ago"),
     (86_400 * 3, "3 days ago"), (86_400 * 8, "1 week ago"), (86_400 * 800, "2 years ago")],
)  # fmt: skip
def test_ages_have_their_largest_unit(seconds: int, text: str) -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert age(now - datetime.timedelta(seconds=seconds), now) == text


def test_a_name_cannot_command_the_terminal() -> None:
    assert printable("plain name") == "plain name"
    assert printable("\x1b]0;title\x07") == "\\x1b]0;title\\x07"
    assert printable("two\nlines\ttab") == "two\\nlines\\ttab"
    assert printable("caf\udce9") == "caf\\xe9"
    assert printable("日本 ü 🙂") == "日本 ü 🙂"
    assert printable("right\u202eleft") == "right\\u202eleft"
    assert one_line("one\ntwo\x1b[1m") == "one two\\x1b[1m"


def test_columns_are_aligned_by_width_and_not_by_length() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert aligned([("日本", "1"), ("a", "22")], frozenset({1})) == ["日本   1", "a     22"]
    assert aligned([]) == []


def test_trees_are_drawn_to_any_depth() -> None:
    children = {"a": ["b", "d"], "b": ["c"]}
    drawn = [lead + name for lead, name in draw_tree(["a", "e"], lambda name: children.get(name, []))]
    assert drawn == ["a", "├── b", "│   └── c", "└── d", "e"]
    assert len(list(draw_tree([0], lambda number: [number + 1] if number < 3000 else []))) == 3001
