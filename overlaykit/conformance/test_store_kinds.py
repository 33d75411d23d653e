"""Kinds and life of snapshots in a store over the driver."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, GONE, Directory, portrait
from overlaykit.conformance._rig import added, deleted, modified
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Aspect, Capability, SnapshotKind, Usage
from overlaykit.errors import CapabilityError, LayerInUseError, ReadOnlyError, StoreClosedError

if TYPE_CHECKING:
    from overlaykit.conformance._store import StoreRig
    from overlaykit.tree import Tree


class TestStoreKinds(Suite):
    """Active, committed, view."""

    def test_basic(self, bench: StoreRig) -> None:
        """Prepared, written, committed and prepared again, a snapshot shows what was written."""
        store = bench.store
        store.prepare("one")
        bench.write("one", {"etc/motd": "hello"})
        store.commit("one", "base")
        store.prepare("two", "base")
        bench.write("two", {"etc/motd": "bye", "new": "1"})
        store.commit("two", "top")
        assert bench.sees("base") == {"etc": DIR, "etc/motd": b"hello"}
        assert bench.sees("top") == {"etc": DIR, "etc/motd": b"bye", "new": b"1"}

    def test_stat_of_an_active_snapshot(self, bench: StoreRig) -> None:
        """stat of an active snapshot gives its key, kind, parent and labels."""
        bench.base()
        made = bench.store.prepare("key", "base", labels={"a": "1"})
        assert made == bench.store.stat("key")
        assert (made.key, made.kind, made.parent, dict(made.labels)) == ("key", SnapshotKind.ACTIVE, "base", {"a": "1"})

    def test_stat_of_a_committed_snapshot(self, bench: StoreRig) -> None:
        """stat of a committed snapshot gives its name, kind and parent."""
        bench.base()
        bench.store.prepare("key", "base")
        made = bench.store.commit("key", "top")
        assert made == bench.store.stat("top")
        assert (made.key, made.kind, made.parent) == ("top", SnapshotKind.COMMITTED, "base")

    def test_stat_of_a_view(self, bench: StoreRig) -> None:
        """stat of a view gives its key, kind and parent."""
        bench.base()
        made = bench.store.view("v", "base")
        assert made == bench.store.stat("v")
        assert (made.key, made.kind, made.parent) == ("v", SnapshotKind.VIEW, "base")

    def test_times(self, bench: StoreRig) -> None:
        """Created and updated are the present, in UTC, and created is not after updated."""
        before = datetime.datetime.now(datetime.UTC)
        info = bench.store.prepare("key")
        after = datetime.datetime.now(datetime.UTC)
        assert before <= info.created <= info.updated <= after
        assert info.created.utcoffset() == datetime.timedelta(0)

    def test_commit_takes_the_key(self, bench: StoreRig) -> None:
        """After a commit the key is free and the name is taken."""
        bench.store.prepare("key")
        bench.store.commit("key", "name")
        assert bench.keys() == ["name"]
        bench.store.prepare("key", "name")
        assert sorted(bench.keys()) == ["key", "name"]

    def test_generated_names(self, bench: StoreRig) -> None:
        """A commit without a name gives each snapshot one of its own."""
        store = bench.store
        for key in ("a", "b"):
            store.prepare(key)
        names = {store.commit(key).key for key in ("a", "b")}
        assert len(names) == 2
        assert set(bench.keys()) == names

    def test_transitivity(self, bench: StoreRig) -> None:
        """Parents of parents hold: each snapshot names the one below it, down to the base."""
        bench.base("0", {"f": "0"})
        for number in range(1, 6):
            bench.base(str(number), {"f": str(number)}, str(number - 1))
        names = ["5", "4", "3", "2", "1", "0"]
        assert [bench.store.stat(name).parent for name in names] == [*names[1:], None]
        assert [bench.sees(name)["f"] for name in names] == [name.encode() for name in names]

    def test_view_shows_its_parent(self, bench: StoreRig) -> None:
        """A view shows its parent, to the last attribute, and takes nothing."""
        bench.base(layer={"f": "1", "d": Directory(0o700), ".": Directory(0o711)})
        bench.store.view("v", "base")
        with bench.store.tree("v") as view, bench.store.tree("base") as base:
            assert portrait(view) == portrait(base)
            assert view.readonly
        assert bench.store.usage("v") == Usage(0, 0)
        assert list(bench.store.changes("v")) == []

    @pytest.mark.parametrize("key", ["v", "base"])
    def test_readonly(self, bench: StoreRig, key: str) -> None:
        """The tree of a view and of a committed snapshot is read-only, and no writable one can be had."""
        bench.base(layer={"f": "1"})
        bench.store.view("v", "base")
        with bench.store.tree(key) as tree, pytest.raises(OSError, match=r"[Rr]ead-only"):
            tree.write_bytes("f", b"2")
        with pytest.raises(ReadOnlyError):
            bench.store.tree(key, readonly=False)
        assert bench.sees(key) == {"f": b"1"}

    def test_readonly_tree_of_an_active_snapshot_by_the_store(self, bench: StoreRig) -> None:
        """A read-only tree of an active snapshot follows what its writable one does."""
        bench.store.prepare("key")
        with bench.store.tree("key") as tree, bench.store.tree("key", readonly=True) as view:
            tree.write_bytes("f", b"1")
            assert view.read_bytes("f") == b"1"
            assert view.readonly

    def test_remove_and_reuse(self, bench: StoreRig) -> None:
        """A removed key can be used again, and nothing of the old snapshot is in the new one."""
        store = bench.store
        for number in range(3):
            store.prepare("key")
            bench.write("key", {f"f{number}": "1"})
            assert bench.sees("key") == {f"f{number}": b"1"}
            store.remove("key")
        assert bench.keys() == []

    def test_reuse_of_a_committed_name(self, bench: StoreRig) -> None:
        """The name of a removed committed snapshot can be used again, for other content."""
        bench.base("name", {"old": "1"})
        bench.store.remove("name")
        bench.base("name", {"new": "2"})
        assert bench.sees("name") == {"new": b"2"}

    def test_remove_after_commit(self, bench: StoreRig) -> None:
        """A committed snapshot without children can be removed, and what is below stays."""
        bench.base("base", {"f": "1"})
        bench.base("top", {"g": "2"}, "base")
        bench.store.remove("top")
        bench.store.cleanup()
        assert bench.keys() == ["base"]
        assert bench.sees("base") == {"f": b"1"}

    def test_remove_with_children(self, bench: StoreRig) -> None:
        """A snapshot with children cannot be removed, and the error names them."""
        bench.base("base", {"f": "1"})
        bench.store.prepare("active", "base")
        bench.store.view("view", "base")
        bench.base("top", {}, "base")
        with pytest.raises(LayerInUseError) as caught:
            bench.store.remove("base")
        assert sorted(caught.value.users) == ["active", "top", "view"]
        for key in ("active", "view", "top", "base"):
            bench.store.remove(key)
        assert bench.keys() == []

    def test_remove_an_intermediate(self, bench: StoreRig) -> None:
        """A snapshot in the middle of a chain cannot be removed, and the chain stays whole."""
        bench.base("0", {"f": "0"})
        bench.base("1", {"f": "1"}, "0")
        bench.base("2", {"f": "2"}, "1")
        with pytest.raises(LayerInUseError):
            bench.store.remove("1")
        assert bench.sees("2") == {"f": b"2"}

    def test_children(self, bench: StoreRig) -> None:
        """children() gives the keys directly over a snapshot, and no others."""
        bench.base("base")
        bench.base("top", {}, "base")
        bench.store.prepare("key", "base")
        bench.store.prepare("over", "top")
        assert bench.store.children("base") == ["top", "key"]
        assert (bench.store.children("top"), bench.store.children("key")) == (["over"], [])

    def test_root_mode(self, bench: StoreRig) -> None:
        """The root's mode is kept by a commit, inherited, and shown by a view."""
        bench.base("base", {".": Directory(0o1711)})
        bench.store.view("view", "base")
        bench.store.prepare("key", "base")
        modes = []
        for key in ("base", "view", "key"):
            with bench.store.tree(key) as tree:
                modes.append(tree.stat("").st_mode)
        assert modes == [0o041711] * 3

    def test_changes(self, bench: StoreRig) -> None:
        """changes() of an active and of a committed snapshot are those against its parent."""
        bench.base("base", {"f": "1", "gone": "2"})
        bench.store.prepare("key", "base")
        bench.write("key", {"f": "new", "gone": GONE, "added": "3"})
        expected = {
            **modified(Aspect.CONTENT | Aspect.MTIME, "f"),
            **deleted("gone"),
            **added("added"),
            **modified(Aspect.MTIME, "."),
        }
        seen = [{change.path: (change.kind, change.aspects) for change in bench.store.changes("key")}]
        bench.store.commit("key", "top")
        seen.append({change.path: (change.kind, change.aspects) for change in bench.store.changes("top")})
        assert seen == [expected, expected]

    def test_changes_while_a_tree_is_open(self, bench: StoreRig) -> None:
        """changes() can be listed while a writable tree of the snapshot is open."""
        bench.store.prepare("key")
        with bench.store.tree("key") as tree:
            tree.write_bytes("f", b"1")
            assert [change.path for change in bench.store.changes("key")] == ["f"]

    def test_usage(self, bench: StoreRig) -> None:
        """usage() is of the snapshot alone: what it wrote, not what is below."""
        bench.base("base", {"big": bytes(range(256)) * 1024})
        bench.base("top", {"small": "1"}, "base")
        base, top = bench.store.usage("base"), bench.store.usage("top")
        assert base.bytes >= 256 * 1024
        assert base.inodes >= 2
        assert top.inodes >= 1

    def test_working_snapshot(self, bench: StoreRig) -> None:
        """A working snapshot that commits leaves a committed one."""
        with bench.store.snapshot() as working:
            working.tree.write_bytes("f", b"1")
            assert [change.path for change in working.changes()] == ["f"]
            info = working.commit("base")
        assert (info.kind, bench.keys()) == (SnapshotKind.COMMITTED, ["base"])

    def test_working_snapshot_discards(self, bench: StoreRig) -> None:
        """Leaving a working snapshot without a commit discards it."""
        with bench.store.snapshot() as working:
            working.tree.write_bytes("f", b"1")
            assert bench.keys() == [working.key]
        assert bench.keys() == []

    def test_working_snapshot_discards_on_an_error(self, bench: StoreRig) -> None:
        """An exception in a working snapshot's with discards it and goes on."""
        bench.base("base", {"f": "1"})

        with pytest.raises(KeyError), bench.store.snapshot("base") as working:
            _fail_after_a_write(working.tree)
        assert bench.keys() == ["base"]
        assert bench.sees("base") == {"f": b"1"}

    def test_commit_with_an_open_writer_by_the_store(self, bench: StoreRig) -> None:
        """A commit while a file is open for writing is refused and changes nothing; then it works."""
        bench.store.prepare("key")
        with bench.store.tree("key") as tree:
            with tree.open("f", "wb") as file:
                file.write(b"1")
                with pytest.raises(LayerInUseError):
                    bench.store.commit("key", "name")
            assert tree.read_bytes("f") == b"1"
            bench.store.commit("key", "name")
            with pytest.raises(StoreClosedError):
                tree.read_bytes("f")
        assert bench.sees("name") == {"f": b"1"}

    def test_close_twice_by_the_store(self, bench: StoreRig) -> None:
        """A store can be closed twice, and refuses everything afterwards."""
        bench.base()
        bench.store.close()
        bench.store.close()
        with pytest.raises(StoreClosedError):
            bench.store.stat("base")

    def test_close_closes_trees(self, bench: StoreRig) -> None:
        """Closing a store closes the trees that it opened."""
        bench.base(layer={"f": "1"})
        tree = bench.store.tree("base")
        bench.store.close()
        with pytest.raises(StoreClosedError):
            tree.read_bytes("f")

    def test_capabilities(self, bench: StoreRig) -> None:
        """The store says which driver it has and what that offers."""
        assert bench.store.driver_name == bench.store.choice.driver.spec.name
        assert bench.store.capabilities <= bench.store.choice.driver.spec.capabilities

    @pytest.mark.capability(Capability.PERSISTENT)
    def test_survives_reopening(self, bench: StoreRig) -> None:
        """All snapshots with their kinds, parents, labels and content are there when the store is opened again."""
        bench.base("base", {"f": "1"})
        bench.store.prepare("key", "base", labels={"a": "1"})
        bench.write("key", {"g": "2"})
        bench.store.view("view", "base")
        before = list(bench.store.walk())
        assert list(bench.reopen().walk()) == before
        assert [bench.sees(key) for key in ("base", "key", "view")] == [
            {"f": b"1"},
            {"f": b"1", "g": b"2"},
            {"f": b"1"},
        ]

    @pytest.mark.capability(Capability.HOST_MOUNT)
    def test_mounts_are_idempotent(self, bench: StoreRig) -> None:
        """mounts() gives the same for every call, of each kind of snapshot."""
        bench.base("base", {"f": "1"})
        bench.store.view("view", "base")
        bench.store.prepare("key", "base")
        for key in ("base", "view", "key"):
            assert list(bench.store.mounts(key)) == list(bench.store.mounts(key)) != []

    @pytest.mark.without(Capability.HOST_MOUNT)
    def test_mounts_are_refused_by_the_store(self, bench: StoreRig) -> None:
        """Where there is nothing to mount, mounts() is a CapabilityError."""
        bench.base("base")
        with pytest.raises(CapabilityError):
            bench.store.mounts("base")

    @pytest.mark.capability(Capability.VERIFY)
    def test_verify_by_the_store(self, bench: StoreRig) -> None:
        """verify() of an untouched snapshot, or of a view of it, says nothing."""
        bench.base("base", {"f": "1"})
        bench.store.view("view", "base")
        bench.store.verify("base")
        bench.store.verify("view")

    @pytest.mark.without(Capability.VERIFY)
    def test_verify_is_refused_by_the_store(self, bench: StoreRig) -> None:
        """Where snapshots cannot be verified, verify() is a CapabilityError."""
        bench.base("base")
        with pytest.raises(CapabilityError):
            bench.store.verify("base")


def _fail_after_a_write(tree: Tree) -> None:
    tree.write_bytes("f", b"2")
    raise KeyError("ours")
