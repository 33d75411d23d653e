"""Names: any bytes but NUL and the slash."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, see, tree_paths
from overlaykit.conformance._rig import added
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig

_NAMES = {
    "space": " ",
    "newline": "a\nb",
    "tab": "\t",
    "colon": "a:b",
    "comma": "a,b",
    "backslash": "a\\b",
    "escape": "\\012",
    "dash": "-rf",
    "star": "*?[x]",
    "quote": "'\"`",
    "dots": "...",
    "hidden": ".hidden",
    "tilde": "~",
    "percent": "%s%n",
    "control": "\x01\x7f",
    "accent": "é",
    "decomposed": "e\u0301",
    "emoji": "😀",
    "not-utf8": "\udcff\udc80",
    "long": "n" * 255,
    "long-utf8": "é" * 127,
    "whiteout": ".wh.x",
    "whiteout-alone": ".wh.",
    "opaque": ".wh..wh..opq",
    "work": "work",
    "upper": "upper",
    "xattr": "trusted.overlay.opaque",
}


class TestNames(Suite):
    """What files may be called."""

    @pytest.mark.parametrize("name", _NAMES.values(), ids=_NAMES)
    def test_name(self, rig: Rig, name: str) -> None:
        """A file and a directory of this name are made, read, changed and deleted over layers like any other."""
        box = rig.over({f"d/{name}": "1", f"{name}/f": "2", "keep": "3"})
        assert see(box.tree) == {"d": DIR, f"d/{name}": b"1", name: DIR, f"{name}/f": b"2", "keep": b"3"}
        box.tree.write_bytes(f"d/{name}", b"new")
        box.tree.rename(f"{name}/f", f"{name}/{name}")
        child = box.shows({"d": DIR, f"d/{name}": "new", name: DIR, f"{name}/{name}": "2", "keep": "3"})
        child.tree.unlink(f"d/{name}")
        child.tree.rmtree(name)
        child.shows({"d": DIR, "keep": "3"})

    @pytest.mark.parametrize("name", _NAMES.values(), ids=_NAMES)
    def test_name_in_changes(self, rig: Rig, name: str) -> None:
        """changes() gives the name as listing does."""
        box = rig.box()
        box.tree.mkdir(name)
        box.tree.write_bytes(f"{name}/{name}", b"1")
        assert box.changes() == added(name, f"{name}/{name}")

    def test_all_together(self, rig: Rig) -> None:
        """All these names live beside each other in one directory."""
        box = rig.over({name: key for key, name in _NAMES.items()})
        box.shows({name: key for key, name in _NAMES.items()})

    def test_case_matters(self, rig: Rig) -> None:
        """Names that differ in case alone are different names."""
        rig.over({"name": "1"}, {"NAME": "2"}).shows({"name": "1", "NAME": "2"})

    def test_normalization_matters(self, rig: Rig) -> None:
        """Names that Unicode calls equivalent are different names."""
        rig.over({"é": "1"}, {"e\u0301": "2"}).shows({"é": "1", "e\u0301": "2"})

    @pytest.mark.parametrize("name", ["n" * 256, "é" * 128])
    def test_name_too_long(self, rig: Rig, name: str) -> None:
        """A name of 256 bytes is ENAMETOOLONG, to make and to look up."""
        box = rig.over({"a": "1"})
        for operation in (box.tree.mkdir, box.tree.stat, lambda path: box.tree.rename("a", path)):
            with pytest.raises(OSError) as caught:
                operation(name)
            assert caught.value.errno == errno.ENAMETOOLONG

    def test_bytes_and_paths(self, rig: Rig) -> None:
        """Paths are str, bytes or path-like, with or without a leading slash."""
        from pathlib import PurePosixPath

        box = rig.over({"d/f": "1"})
        tree = box.tree
        assert [
            tree.read_bytes(path) for path in ("d/f", b"d/f", PurePosixPath("d/f"), "/d/f", "//d//f", "./d/./f")
        ] == [b"1"] * 6
        assert {tree.stat(path).st_ino for path in ("", ".", "/", b"", b"/")} == {tree.stat("").st_ino}

    def test_path_beyond_the_system_limit(self, rig: Rig) -> None:
        """A path longer than 4096 bytes is made, read, changed and removed over layers."""
        deep = "/".join(["n" * 200] * 25)
        box = rig.over({f"{deep}/f": "old"})
        box.tree.write_bytes(f"{deep}/f", b"new")
        child = rig.box(box.commit())
        assert child.tree.read_bytes(f"{deep}/f") == b"new"
        assert tree_paths(child.tree)[-1] == f"{deep}/f"
        child.tree.rmtree("n" * 200)
        assert see(child.tree) == {}

    def test_names_survive_a_rename_of_their_directory(self, rig: Rig) -> None:
        """A lower directory with all these names renames with them."""
        box = rig.over({f"d/{name}": key for key, name in _NAMES.items()})
        box.tree.rename("d", "e")
        box.shows({"e": DIR, **{f"e/{name}": key for key, name in _NAMES.items()}})
