"""Hard and symbolic links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, FIFO, File, Link, Symlink, portrait
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._describe import Spec
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_LINKS: dict[str, Spec] = {"a": "old", "b": Link("a"), "d/c": Link("a")}
_NAMES = ("a", "b", "d/c")

_WRITES: dict[str, Callable[[Tree], object]] = {
    "write": lambda tree: tree.write_bytes("b", b"new"),
    "append": lambda tree: _append(tree),
    "truncate": lambda tree: tree.truncate("b", 1),
    "chmod": lambda tree: tree.chmod("b", 0o600),
    "utime": lambda tree: tree.utime("b", ns=(5, 5)),
    "xattr": lambda tree: tree.setxattr("b", "user.x", b"1"),
    "rename": lambda tree: (tree.rename("b", "z"), tree.write_bytes("z", b"new"), tree.rename("z", "b")),
    "rename-directory": lambda tree: (tree.rename("d", "e"), tree.write_bytes("e/c", b"new"), tree.rename("e", "d")),
    "link-and-write": lambda tree: (tree.link("b", "z"), tree.write_bytes("z", b"new"), tree.unlink("z")),
}


def _append(tree: Tree) -> None:
    with tree.open("b", "ab") as file:
        file.write(b"+")


def _group(tree: Tree, *names: str) -> set[tuple[int, int]]:
    return {(tree.lstat(name).st_dev, tree.lstat(name).st_ino) for name in names}


class TestLinks(Suite):
    """Names of files."""

    @pytest.mark.parametrize("change", _WRITES.values(), ids=_WRITES)
    def test_change_through_one_name(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """A change through one name of a lower file is seen through all of its names, which stay one file."""
        box = rig.over(_LINKS)
        change(box.tree)
        nodes = portrait(box.tree)
        assert {nodes[name] for name in _NAMES} == {nodes["a"]}
        assert len(_group(box.tree, *_NAMES)) == 1

    @pytest.mark.parametrize("change", _WRITES.values(), ids=_WRITES)
    def test_topology_is_kept(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """The names are one file after the tree was opened again, committed, and built upon."""
        box = rig.over(_LINKS)
        change(box.tree)
        box.reopen()
        assert len(_group(box.tree, *_NAMES)) == 1
        top = rig.box(box.commit())
        assert len(_group(top.tree, *_NAMES)) == 1
        top.tree.write_bytes("d/c", b"once more")
        assert [top.tree.read_bytes(name) for name in _NAMES] == [b"once more"] * 3

    def test_link_count(self, rig: Rig) -> None:
        """The link count of a lower file is the number of its names, and follows links and unlinks."""
        box = rig.over(_LINKS)
        tree = box.tree
        counts = [tree.stat("a").st_nlink]
        tree.link("a", "e")
        counts.append(tree.stat("b").st_nlink)
        tree.unlink("b")
        tree.unlink("e")
        counts.append(tree.stat("a").st_nlink)
        tree.unlink("d/c")
        counts.append(tree.stat("a").st_nlink)
        assert counts == [3, 4, 2, 1]

    def test_unlink_one_name(self, rig: Rig) -> None:
        """One name of a lower file deleted leaves the others."""
        box = rig.over(_LINKS)
        box.tree.unlink("a")
        box.shows({"b": "old", "d": DIR, "d/c": "old"})

    def test_unlink_after_a_write(self, rig: Rig) -> None:
        """The name written through deleted leaves the new content at the others."""
        box = rig.over(_LINKS)
        box.tree.write_bytes("a", b"new")
        box.tree.unlink("a")
        box.shows({"b": "new", "d": DIR, "d/c": "new"})

    def test_replace_one_name(self, rig: Rig) -> None:
        """One name replaced by a rename leaves the others with the old content."""
        box = rig.over(_LINKS)
        box.tree.write_bytes("new", b"new")
        box.tree.rename("new", "b")
        box.shows({"a": "old", "b": "new", "d": DIR, "d/c": "old"})

    def test_link_to_a_lower_file(self, rig: Rig) -> None:
        """A link to a lower file is the same file: one inode, one content, at least two links."""
        box = rig.over({"a": "old"})
        box.tree.link("a", "b")
        assert len(_group(box.tree, "a", "b")) == 1
        assert box.tree.stat("a").st_nlink == 2
        box.tree.write_bytes("a", b"new")
        assert box.tree.read_bytes("b") == b"new"

    def test_link_keeps_attributes(self, rig: Rig) -> None:
        """A link to a lower file keeps its mode, time and xattrs."""
        box = rig.over({"a": File("x", 0o640, 123_456_789, {"user.x": b"1"})})
        box.tree.link("a", "b")
        node = portrait(box.tree)["b"]
        assert (node.mode, node.mtime, node.xattrs) == (0o640, 123_456_789, (("user.x", b"1"),))

    def test_links_in_the_open(self, rig: Rig) -> None:
        """A file open through one name sees what is written through another."""
        box = rig.over(_LINKS)
        with box.tree.open("a", "r+b") as one:
            box.tree.write_bytes("b", b"NEW")
            assert one.read() == b"NEW"

    def test_links_written_in_two_layers(self, rig: Rig) -> None:
        """Names of one file, written through in different layers, stay one file with the last content."""
        box = rig.over(_LINKS, {"b": "two"}, {"d/c": "three"}, {"a": "four"})
        assert len(_group(box.tree, *_NAMES)) == 1
        box.shows({"a": "four", "b": "four", "d": DIR, "d/c": "four"})

    def test_link_added_in_each_layer(self, rig: Rig) -> None:
        """Names added to one file in different layers are one file, through whichever it is changed."""
        box = rig.over({"n0": "x"}, {"n1": Link("n0")}, {"n2": Link("n1")}, {"n3": Link("n0")})
        names = ("n0", "n1", "n2", "n3")
        assert len(_group(box.tree, *names)) == 1
        box.tree.write_bytes("n2", b"new")
        assert [box.tree.read_bytes(name) for name in names] == [b"new"] * 4

    def test_two_files_stay_two(self, rig: Rig) -> None:
        """Two lower files with the same content and attributes are two files."""
        box = rig.over({"a": File("x", 0o644, 1), "b": Link("a"), "c": File("x", 0o644, 1), "e": Link("c")})
        box.tree.write_bytes("b", b"new")
        assert [box.tree.read_bytes(name) for name in ("a", "b", "c", "e")] == [b"new", b"new", b"x", b"x"]

    def test_link_of_a_symlink(self, rig: Rig) -> None:
        """A link to a symbolic link links the symbolic link itself."""
        box = rig.over({"t": "1", "l": Symlink("t")})
        box.tree.link("l", "m")
        assert len(_group(box.tree, "l", "m")) == 1
        box.shows({"t": "1", "l": Symlink("t"), "m": Symlink("t")})

    def test_link_of_a_fifo(self, rig: Rig) -> None:
        """A lower FIFO can have two names."""
        box = rig.over({"p": FIFO})
        box.tree.link("p", "q")
        assert len(_group(box.tree, "p", "q")) == 1
        box.shows({"p": FIFO, "q": FIFO})

    def test_many_names(self, rig: Rig) -> None:
        """A lower file with 300 names over 30 directories stays one file when it is written."""
        names = [f"d{number % 30}/n{number}" for number in range(300)]
        box = rig.over({names[0]: "old", **{name: Link(names[0]) for name in names[1:]}})
        box.tree.write_bytes(names[150], b"new")
        assert {box.tree.read_bytes(name) for name in names} == {b"new"}
        assert len(_group(box.tree, *names)) == 1

    def test_symlink_target_is_verbatim(self, rig: Rig) -> None:
        """A symbolic link's target comes back byte for byte, whatever it is."""
        targets = ["a", "/abs/olute", "../../up", "a//b/./c/", " ", "x" * 4095, "new\nline", "\udcff\udcfe", "☃"]
        box = rig.over({f"l{number}": Symlink(target) for number, target in enumerate(targets)})
        box.tree.symlink(b"bytes\xff", "b")
        expected = {f"l{number}": Symlink(target) for number, target in enumerate(targets)}
        box.shows({**expected, "b": Symlink("bytes\udcff")})

    def test_symlink_attributes(self, rig: Rig) -> None:
        """utime of a lower symbolic link itself changes the link and not its target."""
        box = rig.over({"t": File("1", 0o644, 77), "l": Symlink("t")})
        box.tree.utime("l", ns=(5, 6), follow_symlinks=False)
        assert (box.tree.lstat("l").st_mtime_ns, box.tree.stat("l").st_mtime_ns) == (6, 77)
        assert box.changes()["l"]
        assert "t" not in box.changes()

    def test_symlinks_resolve_inside(self, rig: Rig) -> None:
        """Absolute targets and .. are taken from the root of the tree, and never leave it."""
        box = rig.over(
            {
                "etc/passwd": "ours",
                "absolute": Symlink("/etc/passwd"),
                "up": Symlink("../../../../etc/passwd"),
                "d/e/deep": Symlink("../../../../../etc/passwd"),
                "root": Symlink("/"),
                "dir": Symlink("/etc"),
            }
        )
        paths = [
            "absolute",
            "up",
            "d/e/deep",
            "root/etc/passwd",
            "dir/passwd",
            "../../etc/passwd",
            "d/../../etc/passwd",
        ]
        assert [box.tree.read_bytes(path) for path in paths] == [b"ours"] * len(paths)
        box.tree.write_bytes("up", b"new")
        assert box.tree.read_bytes("etc/passwd") == b"new"

    def test_symlink_to_a_later_layer(self, rig: Rig) -> None:
        """A symbolic link of a lower layer finds what a later layer puts at its target."""
        box = rig.over({"l": Symlink("d/t")}, {"d/t": "there"})
        assert box.tree.read_bytes("l") == b"there"

    def test_directory_through_a_symlink(self, rig: Rig) -> None:
        """Names are made, changed and deleted through a symbolic link to a lower directory."""
        box = rig.over({"d/a": "1", "d/b": "2", "l": Symlink("d")})
        tree = box.tree
        tree.write_bytes("l/a", b"new")
        tree.unlink("l/b")
        tree.mkdir("l/e")
        tree.rename("l/a", "l/c")
        box.shows({"d": DIR, "d/c": "new", "d/e": DIR, "l": Symlink("d")})
