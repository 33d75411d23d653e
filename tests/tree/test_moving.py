"""Moving directories by links, and removing what is in their place."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from overlaykit.tree import HostTree, link_directory, open_up, remove_path, set_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[HostTree]:
    with HostTree(os.open(tmp_path, os.O_RDONLY)) as tree:
        tree.makedirs("old/deep")
        tree.write_bytes("old/file", b"1")
        tree.link("old/file", "beside")
        tree.symlink("file", "old/deep/link")
        tree.setxattr("old", "user.x", b"1")
        tree.chmod("old/deep", 0o500)
        tree.utime("old/deep", ns=(1, 2))
        tree.utime("old", ns=(3, 4))
        yield tree


def test_a_directory_is_made_again_of_links(tree: HostTree) -> None:
    seen: list[str] = []
    link_directory(tree, "old", "new", join=seen.append)
    assert sorted(seen) == ["old/deep/link", "old/file"]
    assert tree.stat("new/file").st_ino == tree.stat("beside").st_ino
    assert tree.lstat("new/deep/link").st_ino == tree.lstat("old/deep/link").st_ino
    for path in ("deep", ""):
        old, new = tree.stat(f"old/{path}"), tree.stat(f"new/{path}")
        assert (old.st_mode, old.st_mtime_ns) == (new.st_mode, new.st_mtime_ns)
    assert tree.getxattr("new", "user.x") == b"1"


def test_done_again_it_does_what_is_left(tree: HostTree) -> None:
    tree.makedirs("new/deep")
    tree.link("old/file", "new/file")
    tree.setxattr("new", "user.other", b"1")
    link_directory(tree, "old", "new")
    assert sorted(tree.listdir("new")) == ["deep", "file"]
    assert tree.listdir("new/deep") == ["link"]
    assert tree.listxattr("new") == ["user.x"]


def test_a_join_that_fails_leaves_the_source(tree: HostTree) -> None:
    def fail(path: str) -> None:
        raise OSError(path)

    with pytest.raises(OSError, match="old"):
        link_directory(tree, "old", "new", join=fail)
    assert stat.S_IMODE(tree.stat("old/deep").st_mode) == 0o500
    assert tree.stat("old/deep").st_mtime_ns == 2


def test_anything_is_removed(tree: HostTree) -> None:
    remove_path(tree, "old")
    remove_path(tree, "beside")
    assert tree.listdir() == []
    with pytest.raises(FileNotFoundError):
        remove_path(tree, "old")


def test_attributes_and_no_others(tree: HostTree) -> None:
    tree.mkdir("new")
    tree.setxattr("new", "user.gone", b"1")
    set_attributes(tree, "new", tree.stat("old/deep"), {"user.y": b"2"})
    assert (stat.S_IMODE(tree.stat("new").st_mode), tree.stat("new").st_mtime_ns) == (0o500, 2)
    assert {name: tree.getxattr("new", name) for name in tree.listxattr("new")} == {"user.y": b"2"}


def test_owners_open_what_is_closed_to_them(tree: HostTree) -> None:
    tree.mkdir("closed", 0o300)
    assert not open_up(tree, "old", tree.stat("old"))
    assert open_up(tree, "closed", tree.stat("closed")) == (os.geteuid() != 0)
    assert tree.listdir("closed") == []
