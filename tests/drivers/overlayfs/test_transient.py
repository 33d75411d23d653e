"""What goes with its process is not synced, and what cannot be mounted says why though nobody asked before."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.syscalls import mount

from overlaykit import errors
from overlaykit.driver import Durability, SnapshotId
from overlaykit.store import open_store

from .support import base, child, driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[[Callable[[Path], None]], None]

pytestmark = pytest.mark.native


def one(root: Path, name: str) -> Path:
    return root / "snapshots" / name


def is_marked(snapshot: Path) -> bool:
    """Tell whether an upper was mounted volatile: what the kernel makes then (overlayfs.rst, "Volatile mount")."""
    (snapshot / "work/work").chmod(0o700)
    return (snapshot / "work/work/incompat").is_dir()


def test_a_transient_snapshot_is_mounted_volatile_until_it_persists(run_here: Run) -> None:
    def check(root: Path) -> None:
        with driver(root, Durability.COMMIT) as made:
            parent = base(made)
            usual, passing = child(made, parent, "usual"), child(made, parent, "passing")
            made.transient(passing)
            for name in (usual, passing):
                made.tree(name, readonly=False).close()
            assert not is_marked(one(root, usual))
            assert is_marked(one(root, passing))
            assert not (one(root, passing) / "layers").read_text().startswith("-")
            with made.tree(passing, readonly=False) as tree:  # mounted volatile once more
                tree.write_text("new", "x")
            made.persist(passing)
            assert (one(root, passing) / "layers").read_text().startswith("-\n")
            with made.tree(passing, readonly=False) as tree:
                assert tree.read_text("new") == "x"
            assert not is_marked(one(root, passing))
        with driver(root, Durability.COMMIT) as made, made.tree(passing, readonly=False) as tree:
            assert tree.read_text("new") == "x"

    run_here(check)


def test_one_that_is_open_persists_when_it_is_closed(run_here: Run) -> None:
    def check(root: Path) -> None:
        with driver(root, Durability.COMMIT) as made:
            name = child(made, base(made), "passing")
            made.transient(name)
            with made.tree(name, readonly=False) as tree:
                made.persist(name)
                tree.write_text("new", "x")
                assert not (one(root, name) / "layers").read_text().startswith("-")
            assert (one(root, name) / "layers").read_text().startswith("-\n")
            with made.tree(name, readonly=False) as tree:
                assert tree.read_text("new") == "x"
            assert not is_marked(one(root, name))

    run_here(check)


def test_one_that_is_committed_is_as_any_other(run_here: Run) -> None:
    def check(root: Path) -> None:
        with driver(root, Durability.COMMIT) as made:
            name = child(made, base(made), "passing")
            made.transient(name)
            with made.tree(name, readonly=False) as tree:
                tree.write_text("new", "x")
            made.commit(name, SnapshotId("done"))
            assert (one(root, "done") / "layers").read_text().startswith("-\n")
            assert not (one(root, "done") / "work").exists()
            with made.tree(SnapshotId("done"), readonly=True) as tree:
                assert tree.read_text("new") == "x"

    run_here(check)


@pytest.mark.parametrize("end", ["keep", "commit", "discard"])
def test_a_working_snapshot_is_transient(run_here: Run, end: str) -> None:
    def check(root: Path) -> None:
        with open_store(root / "store", driver="overlayfs") as store, store.snapshot(key="work") as working:
            working.tree.write_text("new", "x")
            (snapshot,) = (root / "store/driver/snapshots").iterdir()
            assert is_marked(snapshot)
            if end == "keep":
                assert working.keep().key == "work"
            elif end == "commit":
                working.commit("kept")
        with open_store(root / "store") as store:
            if end == "discard":
                assert not list(store.walk())
            else:
                with store.tree("work" if end == "keep" else "kept") as tree:
                    assert tree.read_text("new") == "x"
                (snapshot,) = (root / "store/driver/snapshots").iterdir()
                assert (snapshot / "layers").read_text() == "-"

    run_here(check)


def test_a_store_is_opened_without_mounting_anything(run_here: Run) -> None:
    def check(root: Path) -> None:
        with open_store(root / "store", driver="overlayfs") as store:
            assert store.choice.asked is store.choice.probe
            offered = store.capabilities
        with open_store(root / "store") as store:
            assert store.choice.asked is None
            assert store.capabilities == offered
            assert store.choice.probe.capabilities == offered
            assert store.choice.asked is store.choice.probe

    run_here(check)


@pytest.mark.usefixtures("mount_namespace")
def test_what_cannot_be_mounted_any_more_says_what_its_probe_would(tmp_path: Path) -> None:
    """A store that was moved to where overlayfs finds no upper directory can be looked at, and not shown."""
    with open_store(tmp_path / "below/store", driver="overlayfs") as store:
        store.prepare("one")
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    data = f"lowerdir={tmp_path}/below,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    mount("overlay", str(tmp_path / "merged"), "overlay", 0, data)
    try:
        with open_store(tmp_path / "merged/store") as store:
            assert [info.key for info in store.walk()] == ["one"]
            with pytest.raises(errors.DriverUnavailableError, match="outside any overlay") as caught:
                store.tree("one")
            assert isinstance(caught.value.__cause__, OSError)
            with pytest.raises(errors.DriverUnavailableError, match="outside any overlay"):
                _ = store.capabilities
            with pytest.raises(errors.DriverUnavailableError, match="outside any overlay"), store.snapshot() as working:
                working.tree.write_text("new", "x")
            assert [info.key for info in store.walk()] == ["one"]
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)
