"""Stacking: what a tree shows of the layers below it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, GONE, Fresh, Link, Symlink, portrait, see, tree_paths
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._describe import Layer, Seen
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_TEN = "0123456789"


def _numbered(count: int) -> list[Layer]:
    """Layers that each change a common file, and either add one of their own or change one of two dozen."""
    return [{_place(number): str(number), "common": str(number)} for number in range(count)]


def _place(number: int) -> str:
    return f"own/{number}" if number % 25 == 0 else f"ring/{number % 25}"


def _edit(tree: Tree, number: int) -> None:
    tree.makedirs(f"d{number}/x/y")
    tree.write_bytes(f"d{number}/x/file", str(number).encode() * number)
    tree.chmod(f"d{number}/x/file", 0o640)
    tree.setxattr(f"d{number}/x/file", "user.number", str(number).encode())
    tree.link(f"d{number}/x/file", f"d{number}/x/y/other")
    tree.symlink("../file", f"d{number}/x/y/link")


def _same_times(tree: Tree) -> None:
    for path in ["", *tree_paths(tree)]:
        tree.utime(path, ns=(7, 7), follow_symlinks=False)


def _expected(count: int) -> dict[str, Seen]:
    files: dict[str, Seen] = {_place(number): str(number).encode() for number in range(count)}
    return {"own": DIR, "ring": DIR, "common": str(count - 1).encode(), **files}


class TestStacking(Suite):
    """Layers on top of each other give one tree."""

    def test_name_only_below_is_shown(self, rig: Rig) -> None:
        """A name that only a lower layer has is stat'ed, listed and read from there."""
        box = rig.over({"a": "below"}, {"b": "above"})
        assert box.tree.stat("a").st_size == 5
        box.shows({"a": "below", "b": "above"})

    def test_topmost_file_wins(self, rig: Rig) -> None:
        """Of a file that several layers have, the topmost layer's content is shown."""
        rig.over({"a": "one"}, {"a": "two"}, {"a": "three"}).shows({"a": "three"})

    def test_directories_merge(self, rig: Rig) -> None:
        """A directory that several layers have lists the union of their names, each once."""
        rig.over({"d/a": "1", "d/same": "1"}, {"d/b": "2", "d/same": "2"}, {"d/c": "3", "d/same": "3"}).shows(
            {"d": DIR, "d/a": "1", "d/b": "2", "d/c": "3", "d/same": "3"}
        )

    def test_listing_names_each_once(self, rig: Rig) -> None:
        """Every way to list a merged directory gives each name once, and neither . nor .. ."""
        tree = rig.over({"d/a": "1", "d/same": "1"}, {"d/b": "2", "d/same": "2"}).tree
        assert sorted(tree.listdir("d")) == ["a", "b", "same"]
        assert sorted(entry.name for entry in tree.scandir("d")) == ["a", "b", "same"]
        assert sorted(entry.name for entry in next(tree.walk("d"))[2]) == ["a", "b", "same"]
        assert sorted(path.name for path in (tree / "d").iterdir()) == ["a", "b", "same"]

    def test_file_over_directory(self, rig: Rig) -> None:
        """A file in place of a directory hides the whole directory."""
        box = rig.over({"d/a/b": "1"}, {"d": Fresh("file")})
        box.shows({"d": "file"})

    def test_directory_over_file(self, rig: Rig) -> None:
        """A directory in place of a file shows only its own entries."""
        rig.over({"d": "file"}, {"d": Fresh(DIR), "d/a": "1"}).shows({"d": DIR, "d/a": "1"})

    def test_directory_file_directory(self, rig: Rig) -> None:
        """Directory, file and directory again in three layers: only the topmost directory's entries are shown."""
        rig.over({"d/old": "1"}, {"d": Fresh("file")}, {"d": Fresh(DIR), "d/new": "3"}).shows({"d": DIR, "d/new": "3"})

    def test_directory_whiteout_directory(self, rig: Rig) -> None:
        """Directory, nothing and directory again in three layers: only the topmost directory's entries are shown."""
        rig.over({"d/old": "1"}, {"d": GONE}, {"d/new": "3"}).shows({"d": DIR, "d/new": "3"})

    def test_symlink_over_directory(self, rig: Rig) -> None:
        """A symbolic link in place of a directory is a symbolic link, and nothing is merged through it."""
        box = rig.over({"d/old": "1", "e/e": "2"}, {"d": Fresh(Symlink("e"))})
        box.shows({"d": Symlink("e"), "e": DIR, "e/e": "2"})

    def test_directory_over_symlink(self, rig: Rig) -> None:
        """A directory in place of a symbolic link is not merged with the link's target."""
        box = rig.over({"e/e": "2", "d": Symlink("e")}, {"d": Fresh(DIR), "d/new": "1"})
        box.shows({"d": DIR, "d/new": "1", "e": DIR, "e/e": "2"})

    def test_file_over_symlink(self, rig: Rig) -> None:
        """A file in place of a symbolic link leaves the link's target alone."""
        rig.over({"t": "target", "l": Symlink("t")}, {"l": Fresh("own")}).shows({"t": "target", "l": "own"})

    def test_empty_layers_add_nothing(self, rig: Rig) -> None:
        """Layers that change nothing are transparent."""
        rig.over({"a": "1", "d/b": "2"}, {}, {}, {}).shows({"a": "1", "d": DIR, "d/b": "2"})

    def test_empty_base(self, rig: Rig) -> None:
        """An empty layer can be a parent, and shows an empty tree."""
        assert see(rig.over({}).tree) == {}

    @pytest.mark.parametrize("count", [2, 10, 128])
    def test_many_layers(self, rig: Rig, count: int) -> None:
        """2, 10 and 128 layers give the tree that applying them in order gives."""
        box = rig.over(*_numbered(count))
        assert see(box.tree) == _expected(count)

    @pytest.mark.parametrize("count", [2, 10, 128])
    def test_write_over_many_layers(self, rig: Rig, count: int) -> None:
        """A file of the lowest layer and one of the topmost are written over any number of layers alike."""
        box = rig.over(*_numbered(count))
        box.tree.write_bytes("own/0", b"new")
        box.tree.write_bytes("common", b"new")
        box.shows({**_expected(count), "own/0": b"new", "common": b"new"})

    def test_many_layers_equal_a_flat_copy(self, rig: Rig) -> None:
        """A tree over ten layers equals one layer with all of it, to the last attribute."""
        edits: list[Callable[[Tree], None]] = [functools.partial(_edit, number=number) for number in range(10)]
        stacked = rig.view(rig.stack(*edits, _same_times))
        flat = rig.view(rig.layer(lambda tree: [edit(tree) for edit in (*edits, _same_times)]))
        assert portrait(stacked) == portrait(flat)

    @pytest.mark.parametrize("depth", range(10))
    def test_delete_at_a_depth_and_recreate(self, rig: Rig, depth: int) -> None:
        """A directory deleted at any depth, and made again in the next layer, shows only what that layer put there."""
        path = "/".join(_TEN)
        at = "/".join(_TEN[: depth + 1])
        box = rig.over({f"{path}/f": "old"}, {at: GONE}, {f"{path}/g": "new"})
        assert see(box.tree) == {
            **{"/".join(_TEN[: number + 1]): DIR for number in range(10)},
            f"{path}/g": b"new",
        }

    @pytest.mark.parametrize("depth", range(10))
    def test_add_at_a_depth(self, rig: Rig, depth: int) -> None:
        """A file added at any depth of a lower directory chain stands beside what is there."""
        path = "/".join(_TEN)
        at = "/".join(_TEN[: depth + 1]) + "/new"
        box = rig.over({f"{path}/f": "old"}, {at: "new"})
        assert see(box.tree) == {
            **{"/".join(_TEN[: number + 1]): DIR for number in range(10)},
            f"{path}/f": b"old",
            at: b"new",
        }

    def test_five_changes_within_a_second(self, rig: Rig) -> None:
        """A file changed to the same size in five layers within one second has the content of the last."""
        layers: list[Layer] = [{"f": text} for text in (b"1111", b"2222", b"3333", b"4444", b"5555")]
        box = rig.over(*layers)
        box.shows({"f": b"5555"})

    def test_alternating_types(self, rig: Rig) -> None:
        """A name that is a file, a directory, a link and nothing in turn is what the topmost layer says."""
        box = rig.over(
            {"n": "file"},
            {"n": Fresh(DIR), "n/a": "1"},
            {"n": GONE},
            {"n": Symlink("x")},
            {"n": Fresh(DIR), "n/b": "2"},
        )
        box.shows({"n": DIR, "n/b": "2"})

    def test_root_of_ten_layers_lists_each_once(self, rig: Rig) -> None:
        """The root merges like any other directory."""
        layers: list[Layer] = [{f"f{number}": str(number), "same": str(number)} for number in range(10)]
        rig.over(*layers).shows({**{f"f{n}": str(n) for n in range(10)}, "same": "9"})

    def test_wide_directory(self, rig: Rig) -> None:
        """A merged directory of 3,000 entries lists each exactly once."""
        box = rig.over(
            lambda tree: (tree.mkdir("d"), [tree.mknod(f"d/low-{n:05}", 0o100644) for n in range(1500)]),
            lambda tree: [tree.mknod(f"d/high-{n:05}", 0o100644) for n in range(1500)],
        )
        names = box.tree.listdir("d")
        assert sorted(names) == [f"high-{n:05}" for n in range(1500)] + [f"low-{n:05}" for n in range(1500)]

    def test_deep_directory(self, rig: Rig) -> None:
        """A chain of 100 directories is read and written to at its end."""
        path = "/".join(["d"] * 100)
        box = rig.over({f"{path}/f": "old"})
        box.tree.write_bytes(f"{path}/f", b"new")
        child = rig.box(box.commit())
        assert child.tree.read_bytes(f"{path}/f") == b"new"

    def test_links_through_layers(self, rig: Rig) -> None:
        """A hard link made in an upper layer to a file of a lower one is the same file, with one content."""
        box = rig.over({"a": "1"}, {"d/b": Link("a")}, {"c": Link("d/b")})
        tree = box.tree
        assert {tree.stat(name).st_ino for name in ("a", "d/b", "c")} == {tree.stat("a").st_ino}
        box.shows({"a": "1", "d": DIR, "d/b": "1", "c": "1"})

    @pytest.mark.capability(Capability.DEEP_STACK)
    def test_500_layers(self, rig: Rig) -> None:
        """500 layers give the tree that applying them in order gives, and can be written over."""
        box = rig.over(*_numbered(500))
        assert see(box.tree) == _expected(500)
        box.tree.write_bytes("own/0", b"new")
        assert see(box.reopen()) == {**_expected(500), "own/0": b"new"}

    @pytest.mark.without(Capability.DEEP_STACK)
    def test_500_layers_are_refused(self, rig: Rig) -> None:
        """Where 500 layers are not promised, they are refused by a clear error, never cut silently."""
        with pytest.raises(OSError, match="layer"):
            rig.over(*_numbered(500))
