"""A layer with something of everything, all of one time: what tests of changes start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..driver import SnapshotId
    from ..tree import Tree
    from ._rig import Rig

__all__ = ["TIME", "base", "same_root_time", "still"]

TIME = 1_234_567_890_123_456_789


def still(tree: Tree, *paths: str) -> None:
    """Give paths the time that base gave them, so that only what a test is about differs."""
    for path in paths:
        tree.utime(path, ns=(TIME, TIME), follow_symlinks=False)


def base(tree: Tree) -> None:
    """Fill an empty tree: directories, files with and without links and xattrs, a symbolic link, a FIFO."""
    tree.makedirs("d/e")
    tree.write_bytes("d/f", b"12345")
    tree.write_bytes("d/e/g", b"deep")
    tree.setxattr("d/f", "user.x", b"1")
    tree.symlink("d/f", "l")
    tree.mknod("p", 0o010644)
    tree.write_bytes("h1", b"hard")
    tree.link("h1", "h2")
    tree.link("h1", "h3")
    tree.write_bytes("k", b"other")
    still(tree, "d/e/g", "d/f", "d/e", "d", "l", "p", "h1", "k", "")


def same_root_time(rig: Rig, tree: Tree, parent: SnapshotId | None) -> None:
    """Give the root the time that it has in the parent: names came and went in it, which no test here is about."""
    assert parent is not None
    with rig.driver.tree(parent, readonly=True) as before:
        time = before.stat("").st_mtime_ns
    tree.utime("", ns=(time, time))
