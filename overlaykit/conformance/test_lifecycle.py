"""The life of a snapshot in a driver: prepare, commit, remove, and what each leaves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._coming import new_id
from overlaykit.conformance._describe import DIR, GONE, Directory, portrait, see
from overlaykit.conformance._rig import Rig
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability, Durability, NodeAttributes
from overlaykit.errors import CapabilityError, LayerInUseError

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.conformance._subject import Subject

_TIME = 1_300_000_000_000_000_001


class TestLifecycle(Suite):
    """Snapshots come, change, and go."""

    def test_new_snapshot_is_empty(self, rig: Rig) -> None:
        """A snapshot without a parent is one empty directory of mode 0755 that belongs to the caller."""
        box = rig.box()
        assert see(box.tree) == {}
        attributes = box.tree.stat("")
        assert attributes.st_mode == 0o040755
        assert box.tree.listxattr("") == []

    def test_new_snapshot_belongs_to_the_caller(self, rig: Rig) -> None:
        """The root of a new snapshot has the owner that a new file in it has."""
        box = rig.box()
        box.tree.write_bytes("f", b"")
        root, file = box.tree.stat(""), box.tree.stat("f")
        assert (root.st_uid, root.st_gid) == (file.st_uid, file.st_gid)

    def test_prepare_shows_the_parent(self, rig: Rig) -> None:
        """A new snapshot over a parent shows exactly the parent, to the last attribute."""
        id = rig.layer({"d/f": "1", "d": Directory(0o751, _TIME, {"user.x": b"y"})})
        assert portrait(rig.box(id).tree) == portrait(rig.view(id))

    def test_commit_keeps_the_tree(self, rig: Rig) -> None:
        """A committed snapshot shows exactly what the active one showed."""
        box = rig.over({"a": "1", "d/b": "2"})
        box.tree.write_bytes("c", b"3")
        box.tree.unlink("d/b")
        before = portrait(box.tree)
        assert portrait(rig.view(box.commit())) == before

    def test_commit_replaces_the_id(self, rig: Rig) -> None:
        """After a commit the new id is listed and the old one is not."""
        id = rig.prepare()
        new = rig.commit(id)
        assert sorted(rig.driver.ids()) == [new]

    def test_ids_lists_both_kinds(self, rig: Rig) -> None:
        """ids() lists every active and every committed snapshot once."""
        base = rig.layer({"a": "1"})
        active = [rig.prepare(base), rig.prepare(), rig.prepare(base)]
        assert sorted(rig.driver.ids()) == sorted([base, *active])

    def test_remove_active(self, rig: Rig) -> None:
        """A removed active snapshot is not listed any more, and its parent stays."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("b", b"2")
        box.remove()
        assert sorted(rig.driver.ids()) == [box.parent]

    def test_remove_committed(self, rig: Rig) -> None:
        """A removed committed snapshot is not listed any more, and the one below stays whole."""
        base = rig.layer({"a": "1"})
        top = rig.layer({"b": "2"}, base)
        rig.remove(top)
        assert sorted(rig.driver.ids()) == [base]
        assert see(rig.view(base)) == {"a": b"1"}

    def test_remove_then_prepare_again(self, rig: Rig) -> None:
        """A snapshot made after one was removed has nothing of it."""
        base = rig.layer({"a": "1"})
        box = rig.box(base)
        box.tree.write_bytes("b", b"2")
        box.tree.unlink("a")
        box.remove()
        assert see(rig.box(base).tree) == {"a": b"1"}

    def test_remove_cleans_up(self, rig: Rig) -> None:
        """After a removal and cleanup() the snapshot's storage is free: usage of the others stays, nothing is left."""
        base = rig.layer({"a": "1"})
        before = rig.driver.usage(base)
        box = rig.box(base)
        box.tree.write_bytes("big", bytes(1 << 20))
        box.remove()
        rig.driver.cleanup()
        assert rig.driver.usage(base) == before

    def test_remove_frees_a_readonly_directory(self, rig: Rig) -> None:
        """A snapshot with directories that nobody may write or list can be removed."""
        box = rig.over({"d/e/f": "1"})
        box.tree.write_bytes("d/e/g", b"2")
        box.tree.makedirs("x/y")
        for path in ("x/y", "x", "d/e", "d"):
            box.tree.chmod(path, 0)
        box.remove()
        rig.driver.cleanup()
        assert sorted(rig.driver.ids()) == [box.parent]

    def test_cleanup_removes_nothing_alive(self, rig: Rig) -> None:
        """cleanup() leaves active and committed snapshots and their open trees as they are."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("b", b"2")
        rig.driver.cleanup()
        rig.driver.cleanup()
        box.tree.write_bytes("c", b"3")
        assert see(box.tree) == {"a": b"1", "b": b"2", "c": b"3"}

    def test_root_mode_is_kept_and_inherited(self, rig: Rig) -> None:
        """Mode, time and xattrs of the root are committed with the rest and inherited by what is above."""
        id = rig.layer({"a": "1", ".": Directory(0o1711, _TIME, {"user.root": b"r"})})
        child = rig.box(id)
        assert (child.tree.stat("").st_mode, child.tree.stat("").st_mtime_ns) == (0o041711, _TIME)
        assert child.tree.getxattr("", "user.root") == b"r"
        top = child.commit()
        assert portrait(rig.view(top))["."] == portrait(rig.view(id))["."]

    def test_root_mode_of_the_topmost(self, rig: Rig) -> None:
        """Of several layers that set the root's mode, the topmost's holds."""
        box = rig.over({".": Directory(0o700)}, {".": Directory(0o711)}, {"a": "1"})
        assert box.tree.stat("").st_mode == 0o040711

    def test_two_trees_of_one_snapshot(self, rig: Rig) -> None:
        """Two trees of one active snapshot, open at once, show the same at every moment."""
        box = rig.over({"a": "1", "b": "2"})
        other = rig.track(rig.driver.tree(box.id, readonly=False))
        box.tree.write_bytes("a", b"new")
        assert other.read_bytes("a") == b"new"
        other.unlink("b")
        other.mkdir("d")
        assert see(box.tree) == {"a": b"new", "d": DIR}

    def test_readonly_tree_of_an_active_snapshot(self, rig: Rig) -> None:
        """A read-only tree of an active snapshot follows what the writable one does, and refuses writes."""
        box = rig.over({"a": "1"})
        view = rig.view(box.id)
        box.tree.write_bytes("a", b"new")
        box.tree.write_bytes("b", b"2")
        assert see(view) == {"a": b"new", "b": b"2"}
        assert (view.readonly, box.tree.readonly) == (True, False)
        with pytest.raises(OSError, match=r"[Rr]ead-only"):
            view.write_bytes("a", b"no")

    def test_trees_come_and_go(self, rig: Rig) -> None:
        """A tree can be opened and closed any number of times, and each shows all that was done before."""
        box = rig.over({"a": "1"})
        for number in range(10):
            box.reopen().write_bytes(f"n{number}", b"")
        assert len(box.tree.listdir("")) == 11

    def test_tree_outlives_a_sibling(self, rig: Rig) -> None:
        """A tree that is open keeps working when another container over the same parent is removed."""
        base = rig.layer({"a": "1"})
        one, two = rig.box(base), rig.box(base)
        one.remove()
        rig.driver.cleanup()
        two.tree.write_bytes("a", b"2")
        assert see(two.tree) == {"a": b"2"}

    def test_view_outlives_the_commit_of_a_child(self, rig: Rig) -> None:
        """A view of a layer keeps showing it while children of the layer are committed and removed."""
        base = rig.layer({"a": "1"})
        view = rig.view(base)
        top = rig.layer({"a": "2"}, base)
        rig.remove(top)
        assert see(view) == {"a": b"1"}

    def test_commit_with_an_open_writer(self, rig: Rig) -> None:
        """A tree with a file open for writing cannot be sealed: it is in use, and goes on working."""
        box = rig.over({"a": "1"})
        with box.tree.open("b", "wb") as file:
            with pytest.raises(LayerInUseError):
                box.tree.seal()
            file.write(b"2")
        assert see(rig.view(box.commit())) == {"a": b"1", "b": b"2"}

    def test_commit_with_an_open_reader(self, rig: Rig) -> None:
        """A file that is open for reading does not keep a tree from being committed, and stays readable."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("b", b"content")
        with box.tree.open("b", "rb") as file:
            box.commit()
            assert file.read() == b"content"

    def test_sealed_tree_is_readonly(self, rig: Rig) -> None:
        """After a seal nothing can be written through the tree any more."""
        box = rig.over({"a": "1"})
        box.tree.seal()
        with pytest.raises(OSError, match=r"[Rr]ead-only"):
            box.tree.write_bytes("a", b"2")
        assert see(box.tree) == {"a": b"1"}

    def test_parents_are_transitive(self, rig: Rig) -> None:
        """A snapshot shows what its parent's parents hold, through any number of commits."""
        one = rig.layer({"one": "1", "all": "1"})
        two = rig.layer({"two": "2", "all": "2"}, one)
        three = rig.layer({"three": "3", "all": "3"}, two)
        assert see(rig.view(three)) == {"one": b"1", "two": b"2", "three": b"3", "all": b"3"}
        assert [rig.view(id).read_bytes("all") for id in (one, two, three)] == [b"1", b"2", b"3"]

    def test_rotation(self, rig: Rig) -> None:
        """A container committed and continued in a new one, ten times over, shows what one container would."""
        box = rig.over({"d/a": "0", "d/b": "0"})
        for number in range(10):
            box.tree.write_bytes("d/a", str(number).encode())
            box.tree.write_bytes(f"d/n{number}", b"")
            before = portrait(box.tree)
            box = rig.box(box.commit())
            assert portrait(box.tree) == before
        assert box.tree.read_bytes("d/a") == b"9"

    @pytest.mark.parametrize("durability", Durability)
    def test_durability(self, subject: Subject, space: Path, durability: Durability) -> None:
        """Snapshots are the same whatever is to survive a power cut."""
        with Rig(subject, space, durability) as rig:
            base = rig.layer({"a": "1", "d/b": "2"})
            box = rig.box(base)
            box.tree.write_bytes("a", b"new")
            box.tree.unlink("d/b")
            box.shows({"a": "new", "d": DIR})

    def test_close_twice(self, rig: Rig) -> None:
        """Trees and drivers can be closed twice."""
        box = rig.over({"a": "1"})
        box.tree.close()
        box.tree.close()
        assert box.tree.closed
        rig.close_trees()
        rig.finish()
        rig.driver.close()
        rig.driver.close()
        # For the end of the test, which every rig comes to.
        rig.driver = rig.subject.create(rig.root)

    def test_driver_is_a_context_manager(self, subject: Subject, space: Path) -> None:
        """A driver can be used in a with statement, and closes at its end."""
        root = space / "other"
        root.mkdir()
        with subject.create(root) as driver:
            id = new_id()
            driver.prepare(id, None)
            driver.remove(id)
            driver.cleanup()
            assert list(driver.ids()) == []

    def test_usage_of_a_base(self, rig: Rig) -> None:
        """A base takes at least the bytes and the files that were written to it."""
        base = rig.layer({"big": bytes(1 << 20)})
        assert rig.driver.usage(base).bytes >= 1 << 20
        assert rig.driver.usage(base).inodes >= 2

    def test_usage_grows(self, rig: Rig) -> None:
        """The usage of a snapshot grows by what is written, in bytes and in inodes, and shrinks by what is deleted."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("first", b"1")
        before = rig.driver.usage(box.id)
        box.tree.write_bytes("new", bytes(range(256)) * 1024)
        after = rig.driver.usage(box.id)
        assert after.bytes - before.bytes >= 256 * 1024
        assert after.inodes - before.inodes == 1
        box.tree.unlink("new")
        assert rig.driver.usage(box.id) == before

    def test_usage_counts_a_hard_link_once(self, rig: Rig) -> None:
        """A further name of a file takes no further inode."""
        box = rig.box()
        box.tree.write_bytes("a", b"x" * 8192)
        before = rig.driver.usage(box.id)
        box.tree.link("a", "b")
        after = rig.driver.usage(box.id)
        assert (after.inodes, after.bytes) == (before.inodes, before.bytes)

    def test_usage_survives_the_commit(self, rig: Rig) -> None:
        """A commit does not change what the snapshot takes."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("new", bytes(64 << 10))
        box.tree.close()
        before = rig.driver.usage(box.id)
        assert rig.driver.usage(rig.commit(box.id)) == before

    def test_closed_tree_keeps_open_files(self, rig: Rig) -> None:
        """A file opened before its tree was closed can still be read and written."""
        box = rig.over({"a": "content"})
        with box.tree.open("a", "r+b") as file:
            box.tree.close()
            assert file.read() == b"content"
            file.write(b"+more")
        assert box.reopen().read_bytes("a") == b"content+more"

    @pytest.mark.capability(Capability.PERSISTENT)
    def test_survives_a_restart(self, rig: Rig) -> None:
        """Active and committed snapshots are there, whole, for a new driver over the same directory."""
        box = rig.over({"a": "1", "d/b": "2"}, {"d/b": GONE, "c": "3"})
        box.tree.write_bytes("a", b"new")
        before = portrait(box.tree)
        ids = sorted(rig.driver.ids())
        rig.restart()
        assert sorted(rig.driver.ids()) == ids
        assert portrait(rig.track(rig.driver.tree(box.id, readonly=False))) == before

    @pytest.mark.capability(Capability.PERSISTENT)
    def test_two_drivers_over_one_directory(self, rig: Rig, subject: Subject) -> None:
        """A second driver over the same directory sees what the first one made, at once, and the other way round."""
        base = rig.layer({"a": "1"})
        with subject.create(rig.root) as other, other.tree(base, readonly=True) as tree:
            assert see(tree) == {"a": b"1"}
            id = new_id()
            other.prepare(id, base)
            assert id in set(rig.driver.ids())
            rig.driver.remove(id)
            assert id not in set(other.ids())

    @pytest.mark.without(Capability.PERSISTENT)
    def test_does_not_survive_a_restart(self, rig: Rig, subject: Subject) -> None:
        """Where snapshots do not outlive the driver, a new one knows none of them."""
        rig.layer({"a": "1"})
        with subject.create(rig.root) as other:
            assert list(other.ids()) == []

    @pytest.mark.capability(Capability.HOST_MOUNT)
    def test_mounts(self, rig: Rig) -> None:
        """mounts() gives the same for every call, and something to mount for each kind of snapshot."""
        base = rig.stack({"a": "1"}, {"b": "2"})
        box = rig.box(base)
        for id, readonly in ((box.id, False), (box.id, True), (base, True)):
            first = rig.driver.mounts(id, readonly=readonly)
            assert first
            assert list(rig.driver.mounts(id, readonly=readonly)) == list(first)
            assert all(mount.type and mount.source for mount in first)

    @pytest.mark.without(Capability.HOST_MOUNT)
    def test_mounts_are_refused(self, rig: Rig) -> None:
        """Where there is nothing to mount, mounts() says which capability is missing."""
        box = rig.over({"a": "1"})
        with pytest.raises(CapabilityError) as caught:
            rig.driver.mounts(box.id, readonly=False)
        assert caught.value.capability == "host-mount"

    @pytest.mark.capability(Capability.VERIFY)
    def test_verify(self, rig: Rig) -> None:
        """verify() of a committed snapshot that nobody touched says nothing."""
        rig.driver.verify(rig.stack({"a": "1", "d/b": "2"}, {"d/b": GONE}))

    @pytest.mark.without(Capability.VERIFY)
    def test_verify_is_refused(self, rig: Rig) -> None:
        """Where snapshots cannot be verified, verify() says which capability is missing."""
        with pytest.raises(CapabilityError) as caught:
            rig.driver.verify(rig.layer({"a": "1"}))
        assert caught.value.capability == "verify"

    @pytest.mark.capability(Capability.REBASE)
    def test_rebase(self, rig: Rig) -> None:
        """A layer that was written before its parent is there joins, replaces and hides what the parent has."""
        own = (os.geteuid(), os.getegid())
        id = rig.prepare()
        parent = rig.stack({"d/kept": "1", "d/replaced": "1", "d/hidden": "1", "other": "1"}, {"top": "2"})
        with rig.driver.writer(id, None) as writer:
            writer.directory(b"", NodeAttributes(0o711, *own, 7))
            writer.directory(b"d", NodeAttributes(0o750, *own, 7))
            sink = writer.file(b"d/replaced", NodeAttributes(0o644, *own, 7), 3)
            sink.write(b"new")
            sink.close()
            # Whoever writes waits for the parent before hiding what it has.
            rig.rebase(id, parent)
            writer.hide(b"d/hidden")
            writer.settle([(b"d", 7), (b"", 7)])
        top = rig.commit(id)
        tree = rig.view(top)
        assert see(tree) == {"d": DIR, "d/kept": b"1", "d/replaced": b"new", "other": b"1", "top": b"2"}
        assert [tree.stat(path).st_mode & 0o7777 for path in ("", "d")] == [0o711, 0o750]
        assert {"d/hidden", "d/replaced"} <= rig.changes(top, parent).keys() <= {".", "d", "d/hidden", "d/replaced"}

    @pytest.mark.without(Capability.REBASE)
    def test_rebase_is_refused(self, rig: Rig) -> None:
        """Where snapshots stay over what they were prepared over, rebase() says which capability is missing."""
        parent, id = rig.layer({"a": "1"}), rig.prepare()
        with pytest.raises(CapabilityError) as caught:
            rig.driver.rebase(id, parent)
        assert caught.value.capability == "rebase"
