"""Snapshots: sharing, isolation, what they cost and what changed in them."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import tracemalloc
import weakref
from typing import TYPE_CHECKING

import pytest
from overlaykit_memory import CAPABILITIES, MemoryDriver, probe
from overlaykit_memory.plugin import overlaykit_register_drivers

from overlaykit.driver import Aspect, Change, ChangeKind, DriverConfig, Durability, SnapshotId, Usage
from overlaykit.errors import CapabilityError, ExistsError, LayerInUseError, NotFoundError, StoreClosedError
from overlaykit.tree import RenameFlag, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit_memory import MemoryTree

    Layered = Callable[[Callable[[MemoryTree], object]], MemoryTree]

A, B, C = SnapshotId("a"), SnapshotId("b"), SnapshotId("c")


def test_what_is_registered_is_what_there_is() -> None:
    (spec,) = overlaykit_register_drivers()
    assert not spec.needs_path
    assert spec.capabilities == CAPABILITIES == probe(None).capabilities
    assert probe(None).usable
    assert MemoryDriver(DriverConfig(None, Durability.FULL)).capabilities == CAPABILITIES


def test_registering_loads_no_driver() -> None:
    code = "import sys, overlaykit_memory.plugin as p; p.overlaykit_register_drivers(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "overlaykit_memory.plugin" in loaded
    assert not {"overlaykit_memory._driver", "overlaykit._native", "psutil"} & set(loaded)


def test_life_of_ids(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    with pytest.raises(ExistsError):
        driver.prepare(A, None)
    driver.commit(A, B)
    assert list(driver.ids()) == [B]
    driver.prepare(A, B)
    with pytest.raises(ExistsError):
        driver.commit(A, B)
    assert sorted(driver.ids()) == [A, B]
    driver.remove(A)
    for use in (lambda: driver.remove(A), lambda: driver.usage(A), lambda: driver.commit(A, C)):
        with pytest.raises(NotFoundError):
            use()
    with pytest.raises(CapabilityError):
        driver.verify(B)
    with pytest.raises(CapabilityError):
        driver.mounts(B, readonly=True)
    driver.close()
    driver.close()
    with pytest.raises(StoreClosedError):
        driver.tree(B, readonly=True)
    with pytest.raises(StoreClosedError):
        driver.prepare(A, None)


def test_commit_waits_for_no_writer(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    tree = driver.tree(A, readonly=False)
    file = tree.open("log", "w")
    with pytest.raises(LayerInUseError, match="log"):
        driver.commit(A, B)
    assert list(driver.ids()) == [A]
    file.close()
    driver.commit(A, B)
    with pytest.raises(OSError, match="Read-only"):
        tree.write_bytes("log", b"")
    assert tree.readonly


def test_closed_trees(tree: MemoryTree) -> None:
    tree.close()
    tree.close()
    assert tree.closed
    for use in (tree.stat, tree.scandir, tree.statvfs, lambda: tree.mkdir("d"), lambda: tree.open("f"), tree.seal):
        with pytest.raises(StoreClosedError):
            use()


def test_many_siblings_share_everything(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        for number in range(500):
            tree.write_bytes(f"f{number}", b"x" * 1000)
        tree.write_bytes("large", b"x" * 5_000_000)
    driver.commit(A, B)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1_000):
            driver.prepare(SnapshotId(f"s{number}"), B)
        taken = tracemalloc.get_traced_memory()[0] - before
        assert taken < 1_000 * 2_000
        with driver.tree(SnapshotId("s7"), readonly=False) as tree, tree.open("large", "r+b") as file:
            file.seek(2_500_000)
            file.write(b"!")
        assert tracemalloc.get_traced_memory()[0] - before - taken < 400_000
    finally:
        tracemalloc.stop()
    assert driver.usage(SnapshotId("s7")) == Usage(65536, 1)
    assert driver.usage(SnapshotId("s8")) == Usage(0, 0)
    with driver.tree(SnapshotId("s8"), readonly=True) as tree:
        assert tree.read_bytes("large") == b"x" * 5_000_000


def test_snapshots_do_not_see_each_other(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        tree.makedirs("d/e")
        tree.write_bytes("d/e/f", b"base")
        tree.link("d/e/f", "hard")
        tree.setxattr("d", "user.a", b"1")
    driver.commit(A, B)
    inode = driver.tree(B, readonly=True).stat("hard").st_ino
    for number in range(3):
        sibling = SnapshotId(f"s{number}")
        driver.prepare(sibling, B)
        tree = driver.tree(sibling, readonly=False)
        tree.write_bytes("hard", b"%d" % number)
        tree.setxattr("d", "user.a", b"%d" % number)
        tree.write_bytes("d/new", b"")
        assert tree.stat("d/e/f").st_ino == tree.stat("hard").st_ino == inode
        assert tree.stat("hard").st_nlink == 2
    for number in range(3):
        tree = driver.tree(SnapshotId(f"s{number}"), readonly=True)
        assert tree.read_bytes("d/e/f") == b"%d" % number
        assert tree.getxattr("d", "user.a") == b"%d" % number
    base = driver.tree(B, readonly=True)
    assert base.read_bytes("hard") == b"base"
    assert base.listdir("d") == ["e"]
    assert len({driver.tree(known, readonly=True).stat().st_dev for known in driver.ids()}) == 4


def test_remove_leaves_what_costs_to_cleanup(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        for number in range(100):
            tree.write_bytes(str(number), b"")
    snapshot = driver._snapshots[A]
    table = snapshot.own

    class Witness(dict[int, object]):
        """A dictionary that can be watched."""

    witness = Witness(table)
    snapshot.own = witness  # type: ignore[assignment]
    watch = weakref.ref(witness)
    del tree, table, snapshot, witness
    driver.remove(A)
    assert watch() is not None
    driver.cleanup()
    assert watch() is None
    driver.cleanup()


def test_deep_stacks_read_the_same(driver: MemoryDriver) -> None:
    parent: SnapshotId | None = None
    for number in range(500):
        driver.prepare(A, parent)
        with driver.tree(A, readonly=False) as tree:
            tree.write_bytes(f"f{number}", b"%d" % number)
            tree.write_bytes("same", b"%d" % number)
            if number % 3 == 2:
                tree.unlink(f"f{number - 1}")
        parent = SnapshotId(f"l{number}")
        driver.commit(A, parent)
    assert parent is not None
    tree = driver.tree(parent, readonly=True)
    for _ in range(2):
        assert tree.read_bytes("same") == b"499"
        names = {f"f{number}" for number in range(500) if number % 3 != 1 or number > 498}
        assert set(tree.listdir()) == names | {"same"}
        assert all(tree.read_bytes(name) == name[1:].encode() for name in names)


def test_usage_counts_what_is_the_snapshots_own(layered: Layered, driver: MemoryDriver) -> None:
    def fill(tree: MemoryTree) -> None:
        tree.write_bytes("small", b"1")
        tree.write_bytes("large", b"x" * 200_000)
        tree.link("small", "hard")

    tree = layered(fill)
    base, child = SnapshotId("base0"), SnapshotId("child0")
    assert driver.usage(base) == Usage(4096 + 200_704, 3)
    tree.chmod("large", 0o600)
    assert driver.usage(child) == Usage(0, 1)
    tree.write_bytes("hard", b"2")
    assert driver.usage(child) == Usage(4096, 2)
    tree.write_bytes("new", b"3")
    tree.unlink("new")
    assert driver.usage(child) == Usage(4096, 3)  # the root, whose entries changed, and no trace of the file


def changes(driver: MemoryDriver, number: int = 0) -> list[Change]:
    child, base = SnapshotId(f"child{number}"), SnapshotId(f"base{number}")
    found = list(driver.changes(child, base))
    with driver.tree(base, readonly=True) as before, driver.tree(child, readonly=True) as after:
        assert found == list(compare(before, after))
    return found


def test_changes_of_links_that_no_inode_tells(layered: Layered, driver: MemoryDriver) -> None:
    """Swapping two directories changes what their names are linked with, though no file in them is touched."""

    def fill(tree: MemoryTree) -> None:
        for name in ("d", "e"):
            tree.mkdir(name)
            tree.write_bytes(f"{name}/x", b"")
            tree.utime(f"{name}/x", ns=(0, 0))
        tree.link("d/x", "f")
        for name in ("d", "e"):
            tree.utime(name, ns=(0, 0))

    tree = layered(fill)
    tree.rename("d", "e", flags=RenameFlag.EXCHANGE)
    tree.utime("", ns=(0, driver.tree(SnapshotId("base0"), readonly=True).stat().st_mtime_ns))
    assert changes(driver) == [Change(ChangeKind.MODIFIED, "f", Aspect.LINKS)]


def test_changes_go_nowhere_else(layered: Layered, driver: MemoryDriver) -> None:
    """A directory that holds nothing of the snapshot's own is not even listed."""

    def fill(tree: MemoryTree) -> None:
        for number in range(50):
            tree.makedirs(f"d{number}/e")
            tree.write_bytes(f"d{number}/e/f", b"0")

    tree = layered(fill)
    tree.chmod("d7/e/f", 0o600)
    tree.utime("d8", ns=(0, 0))
    tree.rename("d9", "moved")
    snapshot = driver._snapshots[SnapshotId("child0")]
    looked = snapshot.parent
    assert looked is not None

    class Counting(dict[int, object]):
        count = 0

        def __getitem__(self, key: int) -> object:
            Counting.count += 1
            return super().__getitem__(key)

    snapshot.base = Counting(snapshot.base)  # type: ignore[assignment]
    found = list(driver.changes(SnapshotId("child0"), SnapshotId("base0")))
    snapshot.base = looked.table
    assert Counting.count < 20
    assert found == changes(driver)
    assert [change.path for change in found] == [".", "d7/e/f", "d8", "d9", "moved", "moved/e", "moved/e/f"]


def test_first_layer_changes(driver: MemoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        tree.makedirs("d/e")
        tree.chmod("", 0o700)
        assert list(driver.changes(A, None)) == list(compare(None, tree))
    assert list(driver.changes(A, None)) == [
        Change(ChangeKind.MODIFIED, ".", Aspect.MODE),
        Change(ChangeKind.ADDED, "d"),
        Change(ChangeKind.ADDED, "d/e"),
    ]


def test_umask_and_caller_are_those_of_the_opening() -> None:
    old = os.umask(0o027)
    try:
        driver = MemoryDriver(DriverConfig(None))
        os.umask(0)
        driver.prepare(A, None)
        tree = driver.tree(A, readonly=False)
        tree.mkdir("d", 0o3777)
        tree.write_bytes("f", b"")
        tree.mknod("n", 0o6777)
        tree.symlink("f", "l")
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(tree.lstat(name).st_mode) for name in ("", "d", "f", "n", "l")]
    assert modes == [0o755, 0o1750, 0o640, 0o6750, 0o777]
    assert (tree.stat("f").st_uid, tree.stat("f").st_gid) == (os.geteuid(), os.getegid())


def test_inode_numbers(tree: MemoryTree) -> None:
    tree.makedirs("a/b")
    numbers = itertools.count()
    for name in ("f", "a/f", "a/b/f"):
        tree.write_bytes(name, b"%d" % next(numbers))
    seen = {tree.stat(path).st_ino for path in ("", "a", "a/b", "f", "a/f", "a/b/f")}
    assert len(seen) == 6
    before = tree.stat("a/f").st_ino
    tree.write_bytes("a/f", b"x" * 100_000)
    tree.rename("a/f", "g")
    assert tree.stat("g").st_ino == before
    assert {entry.name: entry.inode() for entry in tree.scandir()}["g"] == before
