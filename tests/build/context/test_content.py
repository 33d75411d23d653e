"""What decides whether a COPY is done again, and what is remembered of files."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from overlaykit.build.context import Ignore, StatCache, content_digest, select
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.tree import Tree

OLD = 1_000_000_000


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "context" / name).write_text(name)
    return tmp_path / "context"


@pytest.fixture
def tree(context: Path) -> Iterator[Tree]:
    with HostTree(os.open(context, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as opened:
        yield opened


def _digest(tree: Tree, stats: StatCache | None = None, *, owners: bool = False) -> str:
    found = select(tree, ["."], ignore=Ignore(), exclude=Ignore())
    return content_digest(tree, found, owners=owners, stats=stats)


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a time": (lambda path: os.utime(path / "a", (OLD, OLD)), False),
    "the time of a directory": (lambda path: os.utime(path / "sub", (OLD, OLD)), False),
    "the mode of the context": (lambda path: path.chmod(0o700), False),
    "content": (lambda path: (path / "a").write_text("A"), True),
    "a mode": (lambda path: (path / "a").chmod(0o640), True),
    "the mode of a directory": (lambda path: (path / "sub").chmod(0o711), True),
    "a name": (lambda path: (path / "a").rename(path / "z"), True),
    "a new file": (lambda path: (path / "new").touch(), True),
    "an empty directory": (lambda path: (path / "new").mkdir(), True),
    "a link": (lambda path: (path / "l").symlink_to("a"), True),
    "an attribute": (lambda path: os.setxattr(path / "a", "user.x", b"1"), True),
    "an attribute of a directory": (lambda path: os.setxattr(path / "sub", "user.x", b"1"), True),
    "an attribute that is not copied": (lambda path: os.setxattr(path / "a", "user.overlay.x", b"1"), False),
    "one file of two names": (lambda path: ((path / "b").unlink(), os.link(path / "a", path / "b")), True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_the_digest(tree: Tree, context: Path, name: str) -> None:
    change, differs = CHANGES[name]
    before = _digest(tree)
    change(context)
    assert (_digest(tree) != before) is differs


def test_a_hard_link_to_elsewhere_does_not_matter(tree: Tree, context: Path) -> None:
    before = _digest(tree)
    os.link(context / "a", context.parent / "elsewhere")
    assert _digest(tree) == before


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    really = HostTree.open_raw

    def spy(self: HostTree, path: str, flags: int, mode: int = 0o666) -> object:
        opened.append(path)
        return really(self, path, flags, mode)

    monkeypatch.setattr(HostTree, "open_raw", spy)
    return opened


def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock be later, so that what was just written counts as old."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10_000_000_000)


def test_what_did_not_change_is_not_read_again(
    tree: Tree, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stats/one"
    with monkeypatch.context() as patch:
        _later(patch)
        stats = StatCache(path)
        first = _digest(tree, stats)
        stats.save()
    opened = _reads(monkeypatch)
    assert _digest(tree, StatCache(path)) == first
    assert opened == []
    (context / "b").write_text("B")
    os.setxattr(context / "sub/c", "user.x", b"1")
    second = _digest(tree, StatCache(path))
    assert opened == ["b", "sub/c"]
    assert second == _digest(tree) != first


def test_what_was_written_just_before_is_read_again(
    tree: Tree, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stats/one"
    now = time.time_ns()
    os.utime(context / "a", ns=(now, now))
    monkeypatch.setattr(time, "time_ns", lambda: os.stat(context / "a").st_ctime_ns + 1)
    stats = StatCache(path)
    _digest(tree, stats)
    stats.save()
    opened = _reads(monkeypatch)
    _digest(tree, StatCache(path))
    assert "a" in opened


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "directory"])
def test_a_damaged_file_counts_as_empty_and_is_replaced(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path = tmp_path / "stats/one"
    _later(monkeypatch)
    stats = StatCache(path)
    digest = _digest(tree, stats)
    stats.save()
    data = path.read_bytes()
    if damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        flipped = bytearray(data)
        flipped[60] ^= 1
        path.write_bytes({"cut": data[:-1], "flipped": bytes(flipped), "empty": b"", "foreign": b"x" * 300}[damage])
    again = StatCache(path)
    assert _digest(tree, again) == digest
    again.save()
    assert damage == "directory" or path.read_bytes() == data
    assert [one.name for one in path.parent.iterdir()] == ["one"]


def test_large_files_are_hashed_at_the_same_time(tree: Tree, context: Path) -> None:
    for number in range(6):
        (context / f"large{number}").write_bytes(bytes([number]) * (1 << 20))
    first = _digest(tree)
    (context / "large3").write_bytes(b"\xff" * (1 << 20))
    assert _digest(tree) != first


def test_owners_matter_where_they_are_kept(tree: Tree, context: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root: owners are given away")
    kept, given = _digest(tree, owners=True), _digest(tree)
    os.chown(context / "a", 5, 6)
    assert _digest(tree, owners=True) != kept
    assert _digest(tree) == given
