"""Whiteouts: what is deleted stays deleted, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, FIFO, GONE, Directory, Fifo, Fresh, Symlink, apply, see
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig

_Kind = str | Directory | Symlink | Fifo
_KINDS: dict[str, _Kind] = {"file": "new", "directory": DIR, "symlink": Symlink("t"), "fifo": FIFO}


class TestWhiteouts(Suite):
    """Deletion over lower layers."""

    def test_deleted_file(self, rig: Rig) -> None:
        """A deleted lower file is neither listed nor found, here and in every layer above."""
        box = rig.over({"d/a": "1", "d/b": "2"})
        box.tree.unlink("d/a")
        with pytest.raises(FileNotFoundError):
            box.tree.lstat("d/a")
        box.shows({"d": DIR, "d/b": "2"})

    def test_deleted_file_at_the_root(self, rig: Rig) -> None:
        """A deleted lower file at the root of the tree stays deleted."""
        box = rig.over({"a": "1", "b": "2"})
        box.tree.unlink("a")
        box.shows({"b": "2"})

    def test_everything_at_the_root_deleted(self, rig: Rig) -> None:
        """A tree whose every root entry is deleted is empty, and stays so."""
        box = rig.over({"a": "1", "d/e/f": "2", "l": Symlink("a")})
        box.tree.rmtree("")
        box.shows({})

    def test_deleted_empty_directory(self, rig: Rig) -> None:
        """A lower empty directory can be removed and stays removed."""
        box = rig.over({"d": DIR, "a": "1"})
        box.tree.rmdir("d")
        box.shows({"a": "1"})

    def test_deleted_tree(self, rig: Rig) -> None:
        """A deleted directory takes its whole subtree with it, the parts of every layer."""
        box = rig.over({"d/x/1": "1"}, {"d/x/2": "2"}, {"d/y/3": "3", "k": "4"})
        box.tree.rmtree("d")
        box.shows({"k": "4"})

    def test_deleted_in_a_middle_layer(self, rig: Rig) -> None:
        """A file deleted in one layer is hidden in all layers below it, and in all above."""
        rig.over({"a": "1"}, {"a": "2"}, {"a": GONE}, {"b": "3"}).shows({"b": "3"})

    def test_file_deleted_and_made_in_turn(self, rig: Rig) -> None:
        """File, nothing, file, nothing in four layers: not there; made again: there; deleted again: not there."""
        box = rig.over({"a": "1"}, {"a": GONE}, {"a": "3"}, {"a": GONE})
        assert see(box.tree) == {}
        box.tree.write_bytes("a", b"5")
        assert see(box.tree) == {"a": b"5"}
        box.tree.unlink("a")
        box.shows({})

    def test_recreated_in_the_next_layer_but_one(self, rig: Rig) -> None:
        """A tree deleted in one layer and made again in the next but one shows none of its old children."""
        rig.over({"d/old": "1", "d/e/old": "2"}, {"d": GONE}, {"x": "3"}, {"d/e/new": "4"}).shows(
            {"x": "3", "d": DIR, "d/e": DIR, "d/e/new": "4"}
        )

    def test_recreated_in_one_layer(self, rig: Rig) -> None:
        """A directory deleted and made again in one layer shows only what was put there after."""
        box = rig.over({"d/old": "1", "d/e/old": "2"})
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        assert see(box.tree) == {"d": DIR}
        box.tree.write_bytes("d/new", b"3")
        box.shows({"d": DIR, "d/new": "3"})

    def test_recreated_at_the_root_stays_empty(self, rig: Rig) -> None:
        """An empty directory made in place of a deleted full one stays empty."""
        box = rig.over({"d/old": "1"}, {"d/older": "2"})
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        box.shows({"d": DIR})

    def test_ancestor_deleted_and_descendant_recreated(self, rig: Rig) -> None:
        """Where an ancestor was deleted, the same path made again below it shows none of the old children."""
        box = rig.over({"a/b/c/old": "1", "a/other": "2"})
        box.tree.rmtree("a")
        box.tree.makedirs("a/b/c")
        box.shows({"a": DIR, "a/b": DIR, "a/b/c": DIR})

    def test_ancestor_deleted_in_an_earlier_layer(self, rig: Rig) -> None:
        """The same with the deletion in one layer and the new path in a later one."""
        rig.over({"a/b/c/old": "1", "a/other": "2"}, {"a": GONE}, {"a/b/c/new": "3"}).shows(
            {"a": DIR, "a/b": DIR, "a/b/c": DIR, "a/b/c/new": "3"}
        )

    def test_only_deleted_children(self, rig: Rig) -> None:
        """A lower directory whose children were all deleted is empty, and can be removed."""
        box = rig.over({"d/a": "1", "d/b": "2"})
        box.tree.unlink("d/a")
        box.tree.unlink("d/b")
        assert see(box.reopen()) == {"d": DIR}
        box.tree.rmdir("d")
        box.shows({})

    def test_only_children_deleted_below(self, rig: Rig) -> None:
        """The same where the children were deleted in an earlier layer."""
        box = rig.over({"d/a": "1", "d/b": "2"}, {"d/a": GONE, "d/b": GONE})
        assert see(box.tree) == {"d": DIR}
        box.tree.rmdir("d")
        box.shows({})

    @pytest.mark.parametrize("new", _KINDS.values(), ids=_KINDS)
    @pytest.mark.parametrize("old", _KINDS.values(), ids=_KINDS)
    def test_replaced_by(self, rig: Rig, old: _Kind, new: _Kind) -> None:
        """A lower file, directory, symbolic link or FIFO is deleted and replaced by any of them, in one layer."""
        box = rig.over({"n": old})
        box.tree.write_bytes("t", b"t")
        apply(box.tree, {"n": Fresh(new)})
        box.shows({"t": "t", "n": new})

    def test_full_directory_replaced_by_file(self, rig: Rig) -> None:
        """A lower directory with content, replaced by a file, is a file; replaced again by a directory, is empty."""
        box = rig.over({"d/a/b": "1"})
        box.tree.rmtree("d")
        box.tree.write_bytes("d", b"file")
        child = box.shows({"d": "file"})
        child.tree.unlink("d")
        child.tree.mkdir("d")
        child.shows({"d": DIR})

    def test_full_directory_replaced_by_symlink(self, rig: Rig) -> None:
        """A lower directory with content, replaced by a symbolic link to another, shows the other's content."""
        box = rig.over({"d/a": "old", "e/a": "other"})
        box.tree.rmtree("d")
        box.tree.symlink("e", "d")
        assert box.tree.read_bytes("d/a") == b"other"
        box.shows({"d": Symlink("e"), "e": DIR, "e/a": "other"})

    def test_hidden_children_of_a_hidden_directory(self, rig: Rig) -> None:
        """Children deleted before their directory leave no trace when it is made again."""
        box = rig.over({"d/a": "1", "d/b": "2", "d/c/x": "3"})
        box.tree.unlink("d/a")
        box.tree.rmtree("d/c")
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        box.tree.write_bytes("d/c", b"4")
        box.shows({"d": DIR, "d/c": "4"})

    def test_deletion_in_a_recreated_directory(self, rig: Rig) -> None:
        """A name of the old directory, made and deleted in the new one, is gone."""
        box = rig.over({"d/a": "1"})
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        box.tree.write_bytes("d/a", b"2")
        box.tree.unlink("d/a")
        box.shows({"d": DIR})

    def test_made_and_deleted_leaves_nothing(self, rig: Rig) -> None:
        """A name that only the container had leaves nothing when it is deleted."""
        box = rig.over({"a": "1"})
        box.tree.write_bytes("new", b"2")
        box.tree.mkdir("dir")
        box.tree.unlink("new")
        box.tree.rmdir("dir")
        assert box.changes().keys() <= {"."}
        box.shows({"a": "1"})

    def test_changed_then_deleted_does_not_resurface(self, rig: Rig) -> None:
        """A lower file that was written and then deleted does not come back."""
        box = rig.over({"a": "1", "b": "2"})
        box.tree.write_bytes("a", b"new")
        box.reopen()
        box.tree.unlink("a")
        box.shows({"b": "2"})

    def test_recreated_file_has_nothing_of_the_old(self, rig: Rig) -> None:
        """A file made in place of a deleted one has its own content and mode, and no xattr of the old."""
        box = rig.over(
            lambda tree: (
                tree.write_bytes("a", b"a long old content"),
                tree.chmod("a", 0o751),
                tree.setxattr("a", "user.old", b"1"),
            )
        )
        box.tree.unlink("a")
        box.tree.write_bytes("a", b"new")
        box.tree.chmod("a", 0o600)
        child = box.shows({"a": "new"})
        assert child.tree.stat("a").st_mode == 0o100600
        assert child.tree.listxattr("a") == []

    def test_recreated_directory_has_nothing_of_the_old(self, rig: Rig) -> None:
        """A directory made in place of a deleted one has its own mode, and no xattr of the old."""
        box = rig.over(lambda tree: (tree.mkdir("d"), tree.chmod("d", 0o700), tree.setxattr("d", "user.old", b"1")))
        box.tree.rmdir("d")
        box.tree.mkdir("d")
        box.tree.chmod("d", 0o755)
        child = box.shows({"d": DIR})
        assert child.tree.stat("d").st_mode == 0o040755
        assert child.tree.listxattr("d") == []

    def test_deep_tree_deleted(self, rig: Rig) -> None:
        """Deleting a tree of many directories over two layers leaves nothing of it."""
        below = {f"d/{one}/{two}/f": "x" for one in range(5) for two in range(5)}
        above = {f"d/{one}/{two}/g": "y" for one in range(3, 8) for two in range(3)}
        box = rig.over(below, above)
        box.tree.rmtree("d")
        box.shows({})

    def test_marker_names_are_plain(self, rig: Rig) -> None:
        """A name that begins with .wh. is a plain name in a tree and hides nothing."""
        box = rig.over({"d/a": "1", "d/b": "2"})
        box.tree.write_bytes("d/.wh.a", b"3")
        box.tree.write_bytes("d/.wh..wh..opq", b"4")
        child = box.shows({"d": DIR, "d/a": "1", "d/b": "2", "d/.wh.a": "3", "d/.wh..wh..opq": "4"})
        child.tree.unlink("d/.wh.a")
        child.shows({"d": DIR, "d/a": "1", "d/b": "2", "d/.wh..wh..opq": "4"})

    def test_no_marker_is_ever_seen(self, rig: Rig) -> None:
        """Whatever a driver uses to mark deletions is in no listing, stat or xattr listing."""
        box = rig.over({"d/a": "1", "d/e/f": "2", "x": "3"})
        box.tree.unlink("x")
        box.tree.rmtree("d")
        box.tree.makedirs("d/e")
        child = box.shows({"d": DIR, "d/e": DIR})
        assert [child.tree.listxattr(path) for path in ("", "d", "d/e")] == [[], [], []]

    def test_mkdir_over_a_deleted_file(self, rig: Rig) -> None:
        """Anything may be made where something was deleted, whatever type it hides."""
        box = rig.over({"a": "file"}, {"a": GONE})
        box.tree.mkdir("a")
        box.tree.write_bytes("a/b", b"1")
        box.shows({"a": DIR, "a/b": "1"})

    def test_rename_over_a_deleted_name(self, rig: Rig) -> None:
        """A rename onto a deleted name works, and deleting it again brings nothing back."""
        box = rig.over({"a": "1", "b": "2"})
        box.tree.unlink("b")
        box.tree.rename("a", "b")
        assert see(box.reopen()) == {"b": b"1"}
        box.tree.unlink("b")
        box.shows({})
