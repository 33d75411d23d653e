"""Changes: the difference of a container and its parent, exact, minimal and complete."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from overlaykit.conformance._change_base import TIME, base, same_root_time, still
from overlaykit.conformance._describe import GONE, Directory, File, portrait
from overlaykit.conformance._rig import added, deleted, modified
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Aspect
from overlaykit.tree import change_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree


class TestChanges(Suite):
    """What changes() lists."""

    def test_nothing(self, rig: Rig) -> None:
        """A container in which nothing happened has no changes."""
        assert rig.over(base).changes() == {}

    def test_empty_base_has_no_changes(self, rig: Rig) -> None:
        """An empty snapshot without a parent has no changes."""
        assert rig.box().changes() == {}

    def test_without_a_parent_all_is_added(self, rig: Rig) -> None:
        """Without a parent every path is added, and the root is not listed for its time."""
        box = rig.box()
        base(box.tree)
        assert box.changes() == added("d", "d/e", "d/e/g", "d/f", "h1", "h2", "h3", "k", "l", "p")

    def test_root_without_a_parent(self, rig: Rig) -> None:
        """Without a parent the root is modified where its mode or its xattrs are not those of a new root."""
        box = rig.box()
        box.tree.chmod("", 0o700)
        box.tree.setxattr("", "user.x", b"1")
        assert box.changes() == modified(Aspect.MODE | Aspect.XATTRS, ".")

    def test_same_after_commit(self, rig: Rig) -> None:
        """The changes of a committed snapshot are those that it had before the commit."""
        box = rig.over(base)
        _several(box.tree)
        before = box.changes()
        assert rig.changes(box.commit(), box.parent) == before

    def test_same_after_reopening(self, rig: Rig) -> None:
        """The changes do not depend on how often the tree was opened."""
        box = rig.over(base)
        _several(box.tree)
        before = box.changes()
        box.reopen()
        assert box.changes() == before

    def test_exact_set(self, rig: Rig) -> None:
        """A mixed lot of operations gives exactly the paths they touched, each with what differs."""
        box = rig.over(base)
        _several(box.tree)
        assert box.changes() == {
            **added("d/new", "new", "new/x"),
            **deleted("d/e", "k"),
            **modified(Aspect.CONTENT | Aspect.MTIME, "d/f"),
            **modified(Aspect.TARGET | Aspect.MTIME, "l"),
            **modified(Aspect.MODE, "p"),
            **modified(Aspect.MTIME, ".", "d"),
        }

    def test_order(self, rig: Rig) -> None:
        """Changes come in tree order: a directory, then its children, by the bytes of the names."""
        names = ["a", "a-b", "a/x", "a/y/z", "a0", "b/c", "Z", "é", "a.b"]
        box = rig.over({"a/old": "1", "b/old": "2"})
        for name in names:
            box.tree.makedirs(name, exist_ok=True)
        paths = [change.path for change in rig.changes_list(box.id, box.parent)]
        assert paths == sorted(paths, key=change_order)
        assert {*names, "a/y"} - {"a"} <= set(paths)

    def test_deleted_directory_stands_alone(self, rig: Rig) -> None:
        """A deleted directory is listed, and nothing below it."""
        box = rig.over({"d/a": "1", "d/e/b": "2", "k": "3"})
        box.tree.rmtree("d")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == deleted("d")

    def test_added_directory_lists_all(self, rig: Rig) -> None:
        """An added directory is listed with everything below it."""
        box = rig.over({"k": "3"})
        box.tree.makedirs("d/e/f")
        box.tree.write_bytes("d/e/g", b"1")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == added("d", "d/e", "d/e/f", "d/e/g")

    def test_same_size_edit_at_once(self, rig: Rig) -> None:
        """An edit to the same size, in the moment of the commit before it, is a change."""
        box = rig.over({"f": "11111"})
        box.tree.write_bytes("f", b"22222")
        assert box.changes()["f"][1] & Aspect.CONTENT

    def test_same_size_edit_with_the_old_time(self, rig: Rig) -> None:
        """An edit to the same size whose time was set back is a change of the content alone."""
        box = rig.over(base)
        box.tree.write_bytes("d/f", b"54321")
        still(box.tree, "d/f")
        assert box.changes() == modified(Aspect.CONTENT, "d/f")

    def test_same_size_edit_five_times(self, rig: Rig) -> None:
        """Five edits to the same size within one second, each in its own layer, are five changes."""
        ids = [rig.layer(base)]
        for text in (b"1____", b"2____", b"3____", b"4____", b"5____"):
            ids.append(rig.layer({"d/f": File(text, mtime=TIME)}, ids[-1]))
        assert [rig.changes(id, parent) for parent, id in itertools.pairwise(ids)] == [
            modified(Aspect.CONTENT, "d/f")
        ] * 5

    def test_same_content_written_again(self, rig: Rig) -> None:
        """A file written again with the same content and given its old time is no change."""
        box = rig.over(base)
        box.tree.write_bytes("d/f", b"12345")
        still(box.tree, "d/f")
        assert box.changes() == {}

    def test_change_taken_back(self, rig: Rig) -> None:
        """Mode, xattr and time changed and changed back are no change."""
        box = rig.over(base)
        mode = box.tree.stat("d/f").st_mode & 0o7777
        box.tree.chmod("d/f", 0o600)
        box.tree.chmod("d/f", mode)
        box.tree.setxattr("d/f", "user.x", b"2")
        box.tree.setxattr("d/f", "user.x", b"1")
        box.tree.utime("d/f", ns=(1, 1))
        still(box.tree, "d/f")
        assert box.changes() == {}

    def test_chmod_to_the_same_mode(self, rig: Rig) -> None:
        """A chmod to the mode that a file has is no change, though it may copy the file up."""
        box = rig.over(base)
        box.tree.chmod("d/f", box.tree.stat("d/f").st_mode & 0o7777)
        assert box.changes() == {}

    def test_made_again_the_same(self, rig: Rig) -> None:
        """A file deleted and made again with all it had is no change: only the two trees count."""
        box = rig.over(base)
        mode = box.tree.stat("d/f").st_mode & 0o7777
        box.tree.unlink("d/f")
        box.tree.write_bytes("d/f", b"12345")
        box.tree.chmod("d/f", mode)
        box.tree.setxattr("d/f", "user.x", b"1")
        still(box.tree, "d/f", "d")
        assert box.changes() == {}

    def test_directory_made_again(self, rig: Rig) -> None:
        """A directory deleted and made again is compared entry by entry."""
        box = rig.over({"d/same": File("1", 0o644, TIME), "d/gone": "2", "d/e/x": "3", "d": Directory(0o755, TIME)})
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        box.tree.write_bytes("d/same", b"1")
        box.tree.chmod("d/same", 0o644)
        box.tree.write_bytes("d/new", b"4")
        box.tree.chmod("d", 0o755)
        still(box.tree, "d/same", "d")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == {**added("d/new"), **deleted("d/gone", "d/e")}

    def test_renamed_file(self, rig: Rig) -> None:
        """A renamed file is deleted at the old name and added at the new."""
        box = rig.over(base)
        box.tree.rename("k", "d/k")
        still(box.tree, "d", "")
        assert box.changes() == {**deleted("k"), **added("d/k")}

    def test_renamed_directory(self, rig: Rig) -> None:
        """A renamed directory is deleted at the old name and added, with all in it, at the new."""
        box = rig.over(base)
        box.tree.rename("d", "n")
        still(box.tree, "")
        assert box.changes() == {**deleted("d"), **added("n", "n/e", "n/e/g", "n/f")}

    def test_made_and_removed(self, rig: Rig) -> None:
        """What was made and removed in the container is no change."""
        box = rig.over(base)
        box.tree.write_bytes("d/new", b"1")
        box.tree.makedirs("x/y")
        box.tree.unlink("d/new")
        box.tree.rmtree("x")
        still(box.tree, "d", "")
        assert box.changes() == {}

    def test_deleted_in_a_made_again_directory(self, rig: Rig) -> None:
        """Old entries of a directory made again are deleted one by one; those deleted first are not listed twice."""
        box = rig.over({"d/a": "1", "d/b": "2", "d/e/x": "3"})
        box.tree.unlink("d/a")
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        changes = box.changes()
        assert {path for path in changes if path.startswith("d/")} == {"d/a", "d/b", "d/e"}
        assert changes.items() >= deleted("d/a", "d/b", "d/e").items()

    def test_only_against_the_parent(self, rig: Rig) -> None:
        """Changes are against the parent, not against all layers below."""
        first = rig.layer({"a": "1", "b": "2"})
        second = rig.layer({"a": "changed", "b": GONE}, first)
        box = rig.box(second)
        assert box.changes() == {}
        box.tree.write_bytes("b", b"again")
        assert box.changes().keys() - {"."} == {"b"}

    def test_while_the_tree_is_open(self, rig: Rig) -> None:
        """Changes can be listed again and again while the container's tree is open, each time of that moment."""
        box = rig.over({"a": "1"})
        seen = []
        for number in range(3):
            box.tree.write_bytes(f"n{number}", b"")
            seen.append(sorted(box.changes().keys() - {"."}))
        assert seen == [["n0"], ["n0", "n1"], ["n0", "n1", "n2"]]

    def test_buffered_write_is_seen(self, rig: Rig) -> None:
        """What was written to a file that is still open is a change once it was flushed."""
        box = rig.over({"a": "1"})
        with box.tree.open("a", "ab") as file:
            file.write(b"2")
            file.flush()
            assert box.changes()["a"][1] & Aspect.CONTENT

    def test_every_change_applied_gives_the_container(self, rig: Rig) -> None:
        """The listed paths, taken over from the container into a copy of its parent, give the container's tree."""
        parent = rig.layer(base)
        box = rig.box(parent)
        _several(box.tree)
        other = rig.box(parent)
        for change in rig.changes_list(box.id, parent):
            _take_over(other.tree, box.tree, change.path)
        for path in reversed([".", *box.changes()]):
            _copy_time(other.tree, box.tree, path)
        assert portrait(other.tree) == portrait(box.tree)


def _several(tree: Tree) -> None:
    tree.write_bytes("d/f", b"changed")
    tree.write_bytes("d/new", b"new")
    tree.rmtree("d/e")
    tree.unlink("k")
    tree.mkdir("new")
    tree.write_bytes("new/x", b"x")
    tree.unlink("l")
    tree.symlink("elsewhere", "l")
    tree.chmod("p", 0o600)


def _copy_time(to: Tree, of: Tree, path: str) -> None:
    exists: Callable[[str], bool] = lambda path: of.exists(path, follow_symlinks=False)  # noqa: E731
    for one in filter(exists, [path]):
        time = of.lstat(one).st_mtime_ns
        to.utime(one, ns=(time, time), follow_symlinks=False)


def _take_over(to: Tree, of: Tree, path: str) -> None:
    if path != "." and to.exists(path, follow_symlinks=False) and not to.is_dir(path, follow_symlinks=False):
        to.unlink(path)
    if not of.exists(path, follow_symlinks=False):
        if to.is_dir(path, follow_symlinks=False):
            to.rmtree(path)
        return
    attributes = of.lstat(path)
    if of.is_symlink(path):
        to.symlink(of.readlink(path), path)
        return
    if of.is_dir(path):
        to.makedirs(path, exist_ok=True)
    elif of.is_file(path):
        to.write_bytes(path, of.read_bytes(path))
    else:
        to.mknod(path, attributes.st_mode, attributes.st_rdev)
    to.chmod(path, attributes.st_mode & 0o7777)
    for name in of.listxattr(path):
        to.setxattr(path, name, of.getxattr(path, name))
