"""The changes that the directory driver finds by change times are those of a full comparison."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from overlaykit_directory import DirectoryDriver
from testkit.rich import fill

from overlaykit.driver import Aspect, Change, ChangeKind, SnapshotId
from overlaykit.tree import RenameFlag, Tree, compare

pytestmark = pytest.mark.native

BASE, WORK = SnapshotId("base"), SnapshotId("work")
NAMES = ("a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/f", "d/e/f/b", "g", "g/a", "g/b")


def make_base(tree: Tree) -> None:
    for name in ("d", "d/e", "d/e/f", "g"):
        tree.mkdir(name)
    for name in ("a", "d/a", "d/e/a", "g/a"):
        tree.write_text(name, f"content of {name}")
    tree.link("a", "d/b")
    tree.link("d/e/a", "d/e/f/b")
    tree.symlink("nowhere", "b")
    tree.mknod("g/b", 0o140644)  # a FIFO would make open() wait
    tree.setxattr("a", "user.x", b"1")


def same_size_edit(tree: Tree, path: str, other: str) -> None:
    status = tree.lstat(path)
    tree.write_text(path, "x" * status.st_size)
    tree.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


Operation = Callable[[Tree, str, str], object]
OPERATIONS: dict[str, Operation] = {
    "write": lambda tree, path, _: tree.write_text(path, "other"),
    "edit": same_size_edit,
    "rewrite": lambda tree, path, _: tree.write_bytes(path, tree.read_bytes(path)),
    "unlink": lambda tree, path, _: tree.unlink(path),
    "rmtree": lambda tree, path, _: tree.rmtree(path),
    "mkdir": lambda tree, path, _: tree.mkdir(path),
    "rename": lambda tree, path, other: tree.rename(path, other),
    "exchange": lambda tree, path, other: tree.rename(path, other, flags=RenameFlag.EXCHANGE),
    "link": lambda tree, path, other: tree.link(path, other),
    "symlink": lambda tree, path, other: tree.symlink(other, path),
    "chmod": lambda tree, path, _: tree.chmod(path, 0o700),
    "unchmod": lambda tree, path, _: tree.chmod(path, tree.stat(path).st_mode & 0o7777),
    "utime": lambda tree, path, _: tree.utime(path, ns=(1, 2), follow_symlinks=False),
    "setxattr": lambda tree, path, _: tree.setxattr(path, "user.x", b"2"),
    "removexattr": lambda tree, path, _: tree.removexattr(path, "user.x"),
    "touch": lambda tree, path, _: tree.open(path, "a").close(),
}


@pytest.fixture
def based(driver: DirectoryDriver) -> DirectoryDriver:
    """Return a driver with a committed base."""
    driver.prepare(WORK, None)
    with driver.tree(WORK, readonly=False) as tree:
        make_base(tree)
    driver.commit(WORK, BASE)
    return driver


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=8
    )
)
def test_whatever_is_done_the_changes_are_those_of_a_comparison(
    based: DirectoryDriver, steps: list[tuple[str, str, str]]
) -> None:
    work, committed = SnapshotId(secrets.token_hex(8)), SnapshotId(secrets.token_hex(8))
    based.prepare(work, BASE)
    with based.tree(work, readonly=False) as tree:
        for name, path, other in steps:
            try:
                OPERATIONS[name](tree, path, other)
            except OSError:
                continue  # not every operation is possible everywhere
    with based.tree(BASE, readonly=True) as before, based.tree(work, readonly=True) as after:
        expected = list(compare(before, after))
    assert list(based.changes(work, BASE)) == expected
    based.commit(work, committed)
    assert list(based.changes(committed, BASE)) == expected
    based.remove(committed)
    based.cleanup()


@pytest.mark.parametrize("names", [("d", "g"), ("d/a", "g/a"), ("pair/one", "pair/two")])
def test_files_and_directories_of_equal_attributes_that_change_places(
    driver: DirectoryDriver, names: tuple[str, str]
) -> None:
    """No change time tells of it: a directory takes its files along, and XFS exchanges files without touching them."""
    driver.prepare(WORK, None)
    with driver.tree(WORK, readonly=False) as tree:
        # Copied last, so that the others are not copied in the tick of the clock in which preparing ends.
        tree.mkdir("filler")
        for number in range(1500):
            tree.write_text(f"filler/{number}", "x")
        for path in ("d/a", "g/a", "pair/one", "pair/two"):
            tree.makedirs(path.rpartition("/")[0], exist_ok=True)
            tree.write_text(path, path.rjust(20))
        for path in ("d/a", "g/a", "pair/one", "pair/two", "d", "g", "pair"):
            tree.utime(path, ns=(0, 0))
    driver.commit(WORK, BASE)
    driver.prepare(WORK, BASE)
    with driver.tree(WORK, readonly=False) as tree:
        tree.rename(names[0], names[1], flags=RenameFlag.EXCHANGE)
        for path in ("d", "g", "pair"):
            tree.utime(path, ns=(0, 0))
    with driver.tree(BASE, readonly=True) as before, driver.tree(WORK, readonly=True) as after:
        expected = list(compare(before, after))
    assert Aspect.CONTENT in {aspect for change in expected for aspect in change.aspects}
    assert list(driver.changes(WORK, BASE)) == expected


def test_every_kind_of_object_is_seen(driver: DirectoryDriver, place: Path) -> None:
    driver.prepare(WORK, None)
    fill(place / "driver/snapshots/work/tree")
    driver.commit(WORK, BASE)
    driver.prepare(WORK, BASE)
    root = place / "driver/snapshots/work/tree"
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, ns=(7, 7), follow_symlinks=False)
    with driver.tree(BASE, readonly=True) as before, driver.tree(WORK, readonly=True) as after:
        expected = list(compare(before, after))
        count = sum(1 for _ in after.walk()) + sum(len(files) for _, _, files in after.walk())
    assert len(expected) == count - 1
    assert list(driver.changes(WORK, BASE)) == expected


def test_against_another_than_its_parent(based: DirectoryDriver) -> None:
    """Change times since preparing say nothing of a snapshot that it was not made from."""
    other = SnapshotId("other")
    based.prepare(WORK, None)
    with based.tree(WORK, readonly=False) as tree:
        make_base(tree)
        same_size_edit(tree, "g/a", "")
    based.commit(WORK, other)
    based.prepare(WORK, BASE)
    with based.tree(WORK, readonly=True) as after, based.tree(other, readonly=True) as before:
        expected = list(compare(before, after))
    assert Aspect.CONTENT in next(change for change in expected if change.path == "g/a").aspects
    assert list(based.changes(WORK, other)) == expected
    assert Change(ChangeKind.ADDED, "g/b") in list(based.changes(WORK, None))
