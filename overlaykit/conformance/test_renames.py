"""Renames over layers."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, FIFO, GONE, Directory, File, Fresh, Link, Symlink, portrait, see
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability
from overlaykit.tree import RenameFlag

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig

_TIME = 1_111_111_111_222_333_444


class TestRenames(Suite):
    """A rename shows the same whether what is renamed comes from below or not."""

    def test_file(self, rig: Rig) -> None:
        """A renamed lower file has its content at the new name and is gone at the old."""
        box = rig.over({"a": "1"})
        box.tree.rename("a", "b")
        box.shows({"b": "1"})

    def test_file_keeps_its_attributes(self, rig: Rig) -> None:
        """A renamed lower file keeps mode, time, xattrs and content."""
        box = rig.over({"a": File("1", 0o640, _TIME, {"user.x": b"y"})})
        before = portrait(box.tree)["a"]
        box.tree.rename("a", "b")
        after = portrait(box.reopen())["b"]
        assert (after.mode, after.mtime, after.xattrs, after.what) == (before.mode, before.mtime, before.xattrs, b"1")

    def test_into_another_directory(self, rig: Rig) -> None:
        """A lower file moves into a lower directory."""
        box = rig.over({"a": "1", "d/x/b": "2"})
        box.tree.rename("a", "d/x/a")
        box.shows({"d": DIR, "d/x": DIR, "d/x/a": "1", "d/x/b": "2"})

    def test_over_a_lower_file(self, rig: Rig) -> None:
        """A rename onto a lower file replaces it."""
        box = rig.over({"a": "1", "b": "2"})
        box.tree.rename("a", "b")
        box.shows({"b": "1"})

    def test_new_over_a_lower_file(self, rig: Rig) -> None:
        """The usual way to replace a file, writing beside it and renaming over it, shows the new file."""
        box = rig.over({"d/a": "old"})
        box.tree.write_bytes("d/.a.tmp", b"new")
        box.tree.rename("d/.a.tmp", "d/a")
        box.shows({"d": DIR, "d/a": "new"})

    def test_to_itself(self, rig: Rig) -> None:
        """A rename of a name to itself, or to another name of the same file, does nothing."""
        box = rig.over({"a": "1", "b": Link("a")})
        box.tree.rename("a", "a")
        box.tree.rename("a", "b")
        box.shows({"a": "1", "b": "1"})

    def test_symlink(self, rig: Rig) -> None:
        """A renamed lower symbolic link is the same link; its target is not touched."""
        box = rig.over({"a": "1", "l": Symlink("a")})
        box.tree.rename("l", "m")
        box.shows({"a": "1", "m": Symlink("a")})

    def test_fifo(self, rig: Rig) -> None:
        """A lower FIFO can be renamed."""
        box = rig.over({"p": FIFO})
        box.tree.rename("p", "q")
        box.shows({"q": FIFO})

    def test_directory(self, rig: Rig) -> None:
        """A lower directory renames with all that is in it, of every layer."""
        box = rig.over({"d/a": "1", "d/e/b": "2"}, {"d/e/c": "3", "d/l": Symlink("a")})
        box.tree.rename("d", "n")
        box.shows({"n": DIR, "n/a": "1", "n/e": DIR, "n/e/b": "2", "n/e/c": "3", "n/l": Symlink("a")})

    def test_directory_keeps_every_attribute(self, rig: Rig) -> None:
        """A renamed lower directory keeps modes, times, xattrs and hard links of all that is in it."""
        box = rig.over(
            {
                "d/f": File("1", 0o4711, _TIME, {"user.x": b"y"}),
                "d/g": Link("d/f"),
                "d/e/h": Link("d/f"),
                "d/p": FIFO,
                "d/e": Directory(0o1777, _TIME + 1, {"user.e": b""}),
                "d": Directory(0o750, _TIME + 2, {"user.d": b"z"}),
            }
        )
        before = portrait(box.tree)
        box.tree.rename("d", "n")
        after = portrait(box.reopen())
        moved = {path: node for path, node in after.items() if path != "."}
        assert {path.replace("n", "d", 1): (n.mode, n.mtime, n.xattrs, n.what) for path, n in moved.items()} == {
            path: (n.mode, n.mtime, n.xattrs, n.what) for path, n in before.items() if path != "."
        }
        assert set(after["n/f"].links) == {"n/f", "n/g", "n/e/h"}

    def test_changed_directory(self, rig: Rig) -> None:
        """A lower directory with changes of the container's own renames with them."""
        box = rig.over({"d/a": "1", "d/b": "2", "d/c": "3"})
        box.tree.write_bytes("d/a", b"new")
        box.tree.unlink("d/b")
        box.tree.write_bytes("d/d", b"4")
        box.tree.rename("d", "n")
        box.shows({"n": DIR, "n/a": "new", "n/c": "3", "n/d": "4"})

    def test_directory_into_another(self, rig: Rig) -> None:
        """A lower directory moves into another lower directory."""
        box = rig.over({"d/a": "1", "e/b": "2"})
        box.tree.rename("d", "e/d")
        box.shows({"e": DIR, "e/b": "2", "e/d": DIR, "e/d/a": "1"})

    def test_directory_there_and_back(self, rig: Rig) -> None:
        """A lower directory renamed away and back shows what it did before."""
        box = rig.over({"d/a": "1", "d/e/b": "2"})
        box.tree.rename("d", "n")
        box.tree.rename("n", "d")
        box.shows({"d": DIR, "d/a": "1", "d/e": DIR, "d/e/b": "2"})

    def test_directory_and_recreate(self, rig: Rig) -> None:
        """A new directory at the old name of a renamed one is empty."""
        box = rig.over({"d/a": "1", "d/e/b": "2"})
        box.tree.rename("d", "n")
        box.tree.mkdir("d")
        box.tree.write_bytes("d/z", b"3")
        box.shows({"d": DIR, "d/z": "3", "n": DIR, "n/a": "1", "n/e": DIR, "n/e/b": "2"})

    def test_directory_twice(self, rig: Rig) -> None:
        """A lower directory renamed in one layer renames again in the next."""
        box = rig.over({"d/a": "1"}, lambda tree: tree.rename("d", "n"), {"n/b": "2"})
        box.tree.rename("n", "m")
        box.shows({"m": DIR, "m/a": "1", "m/b": "2"})

    def test_directory_over_an_empty_one(self, rig: Rig) -> None:
        """A directory renames over an empty lower directory, and brings its own entries alone."""
        box = rig.over({"d/a": "1", "e": DIR})
        box.tree.rename("d", "e")
        box.shows({"e": DIR, "e/a": "1"})

    def test_new_directory_over_an_emptied_one(self, rig: Rig) -> None:
        """A new directory renamed over a lower directory whose children were deleted stays empty."""
        box = rig.over({"d/a": "1", "d/b": "2"})
        box.tree.unlink("d/a")
        box.tree.unlink("d/b")
        box.tree.mkdir("n")
        box.tree.rename("n", "d")
        box.shows({"d": DIR})

    def test_directory_over_a_full_one(self, rig: Rig) -> None:
        """A rename onto a directory that has lower entries is ENOTEMPTY and changes nothing."""
        box = rig.over({"d/a": "1", "e/b": "2"})
        box.tree.mkdir("n")
        for source in ("d", "n"):
            with pytest.raises(OSError) as caught:
                box.tree.rename(source, "e")
            assert caught.value.errno == errno.ENOTEMPTY
        box.shows({"d": DIR, "d/a": "1", "e": DIR, "e/b": "2", "n": DIR})

    def test_recreated_directory(self, rig: Rig) -> None:
        """A directory deleted and made again renames, and neither name brings back the old children."""
        box = rig.over({"d/a": "1", "e": DIR})
        box.tree.rmtree("d")
        box.tree.mkdir("d")
        box.tree.rename("d", "e")
        box.shows({"e": DIR})

    def test_recreated_over_an_emptied_directory(self, rig: Rig) -> None:
        """The same over a lower directory that was emptied: the old name stays gone, the new one empty."""
        box = rig.over({"d/a": "1", "e/b": "2"}, {"d": Fresh(DIR), "e/b": GONE})
        box.tree.rename("d", "e")
        box.shows({"e": DIR})

    def test_over_a_whiteout_leaves_nothing_under_it(self, rig: Rig) -> None:
        """A rename onto a deleted name, then a deletion of the new file, leaves the name deleted."""
        box = rig.over({"a": "1", "b/x": "2"})
        box.tree.rmtree("b")
        box.tree.rename("a", "b")
        box.tree.unlink("b")
        box.shows({})

    def test_file_into_its_own_place_between_layers(self, rig: Rig) -> None:
        """Two lower files that swap names by a third name have each other's content."""
        box = rig.over({"a": "1", "b": "2"})
        box.tree.rename("a", "t")
        box.tree.rename("b", "a")
        box.tree.rename("t", "b")
        box.shows({"a": "2", "b": "1"})

    def test_open_file_follows(self, rig: Rig) -> None:
        """A lower file that is open keeps reading the same while its directory is renamed."""
        box = rig.over({"d/a": "content"})
        with box.tree.open("d/a", "rb") as file:
            box.tree.rename("d", "n")
            assert file.read() == b"content"

    def test_noreplace(self, rig: Rig) -> None:
        """RENAME_NOREPLACE onto a lower name is EEXIST and changes nothing; onto a deleted one it works."""
        box = rig.over({"a": "1", "b": "2", "c": "3"})
        with pytest.raises(FileExistsError):
            box.tree.rename("a", "b", flags=RenameFlag.NOREPLACE)
        box.tree.unlink("c")
        box.tree.rename("a", "c", flags=RenameFlag.NOREPLACE)
        box.shows({"b": "2", "c": "1"})

    def test_failed_rename_changes_nothing(self, rig: Rig) -> None:
        """A rename that fails leaves the tree as it was, to the last attribute."""
        box = rig.over({"d/a": "1", "f": "2"})
        before = portrait(box.tree)
        for source, target in [("d", "f"), ("f", "d"), ("d", "d/a/x"), ("d", "d/x"), ("f", "no/x"), ("no", "x")]:
            with pytest.raises(OSError):
                box.tree.rename(source, target)
        assert portrait(box.tree) == before
        assert box.changes() == {}

    @pytest.mark.capability(Capability.EXCHANGE)
    def test_exchange_files(self, rig: Rig) -> None:
        """RENAME_EXCHANGE swaps two lower files."""
        box = rig.over({"a": "1", "d/b": "2"})
        box.tree.rename("a", "d/b", flags=RenameFlag.EXCHANGE)
        box.shows({"a": "2", "d": DIR, "d/b": "1"})

    @pytest.mark.capability(Capability.EXCHANGE)
    def test_exchange_file_and_directory(self, rig: Rig) -> None:
        """RENAME_EXCHANGE swaps a lower file and a lower directory with its content."""
        box = rig.over({"a": "1", "d/b": "2"})
        box.tree.rename("a", "d", flags=RenameFlag.EXCHANGE)
        box.shows({"d": "1", "a": DIR, "a/b": "2"})

    @pytest.mark.capability(Capability.EXCHANGE)
    def test_exchange_needs_both(self, rig: Rig) -> None:
        """RENAME_EXCHANGE with a name that does not exist is ENOENT."""
        box = rig.over({"a": "1"})
        with pytest.raises(FileNotFoundError):
            box.tree.rename("a", "b", flags=RenameFlag.EXCHANGE)
        box.shows({"a": "1"})

    @pytest.mark.without(Capability.EXCHANGE)
    def test_exchange_is_refused(self, rig: Rig) -> None:
        """Where RENAME_EXCHANGE is not declared it is EINVAL and changes nothing."""
        box = rig.over({"a": "1", "b": "2"})
        with pytest.raises(OSError) as caught:
            box.tree.rename("a", "b", flags=RenameFlag.EXCHANGE)
        assert caught.value.errno == errno.EINVAL
        assert see(box.tree) == {"a": b"1", "b": b"2"}
