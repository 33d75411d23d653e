"""The pages for authors of drivers name what is there: methods, fields, rules of the suite."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import overlaykit.driver
import overlaykit.tree
from overlaykit.conformance import FullSuite
from overlaykit.driver import Driver, LayerWriter, Probe, SnapshotInfo
from overlaykit.inodes import Inodes

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = {
    f"{test.__module__.rpartition('.')[2].removeprefix('test_')}.{name.removeprefix('test_')}"
    for name, test in inspect.getmembers(FullSuite, inspect.isfunction)
    if name.startswith("test_")
}


def table(page: str, header: str) -> list[str]:
    """Return the first cells of the table with this header, as they stand."""
    text = (DOCS / page).read_text()
    start = text.index(f"\n| {header} |")
    rows = text[start + 1 :].partition("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


def names(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`(\w+)[(`]", cell)}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_") and callable(getattr(kind, name))}


def test_the_six_methods_are_those_without_a_default() -> None:
    assert names(table("drivers.md", "method")) == Driver.__abstractmethods__
    assert names(table("tutorial.md", "method")) == Driver.__abstractmethods__


def test_every_method_of_a_driver_is_explained() -> None:
    pages = "".join((DOCS / page).read_text() for page in ("drivers.md", "snapshots.md"))
    assert [name for name in public(Driver) if not re.search(rf"`{name}\(", pages)] == []


def test_every_method_of_a_writer_is_listed() -> None:
    assert names(table("writers.md", "call")) == public(LayerWriter)
    assert "the ten abstract methods" in (DOCS / "writers.md").read_text()
    assert len(LayerWriter.__abstractmethods__) == 10


def test_what_inodes_need_is_listed() -> None:
    text = (DOCS / "trees.md").read_text().partition("## An inode tree")[2]
    assert "two brackets and five methods" in text
    assert len(Inodes.__abstractmethods__) == 2 + 5
    assert [name for name in Inodes.__abstractmethods__ if not re.search(rf"`{name}[(`]", text)] == []


def test_the_fields_of_values_are_listed() -> None:
    assert names(table("probing.md", "field of `Probe`")) == {one.name for one in dataclasses.fields(Probe)}
    after_commit = (DOCS / "hooks.md").read_text().partition("## overlaykit_after_commit")[2].partition("\n## ")[0]
    row = next(line for line in after_commit.splitlines() if line.startswith("| `snapshot`"))
    assert {one.name for one in dataclasses.fields(SnapshotInfo)} == set(re.findall(r"`(\w+)`", row.split("|")[3]))


@pytest.mark.parametrize("page", sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")))
def test_rules_that_are_named_exist(page: str) -> None:
    themes = {rule.partition(".")[0] for rule in RULES}
    mentioned = re.findall(r"(?:`|--only )(\w+)\.(\w+)(?=[`\s])", (DOCS / page).read_text())
    ids = {f"{theme}.{name}" for theme, name in mentioned if theme in themes and name not in {"py", "md"}}
    assert ids <= RULES


def test_the_references_that_are_sorted_by_hand_leave_nothing_out() -> None:
    for page, wanted in (
        ("driver", set(overlaykit.driver.__all__) - set(overlaykit.tree.__all__)),
        ("tree", set(overlaykit.tree.__all__)),
    ):
        text = (DOCS / "reference" / f"{page}.md").read_text()
        shown = re.findall(rf"^\.\. auto(?:class|data|function):: overlaykit\.{page}\.(\w+)$", text, re.MULTILINE)
        assert sorted(shown) == sorted(wanted)


def test_what_must_fail_is_said_of_methods_that_there_are() -> None:
    methods = {row.strip("`") for row in table("reference/driver.md", "method")}
    assert methods <= public(Driver)
    assert methods > {"commit", "tree", "rebase", "mounts", "verify"}
