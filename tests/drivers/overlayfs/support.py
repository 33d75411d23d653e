"""Drivers and contents for the tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from overlaykit_overlayfs._driver import OverlayfsDriver

from overlaykit.driver import DriverConfig, Durability, SnapshotId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.tree import Tree

__all__ = ["base", "child", "driver", "populate"]


def driver(root: Path, durability: Durability = Durability.NONE, **options: str) -> OverlayfsDriver:
    """Open a driver."""
    return OverlayfsDriver(DriverConfig(root, durability, options))


def populate(tree: Tree) -> None:
    """Make a small tree with one of most things, hard links above all."""
    for directory in ("a/b/c", "d/e", "empty", "f"):
        tree.makedirs(directory)
    for number, path in enumerate(("top", "a/one", "a/two", "a/b/three", "a/b/c/four", "d/five", "d/e/six", "f/seven")):
        tree.write_text(path, f"content {number} " * (number * 300 + 1))
        tree.utime(path, ns=(10**18 + number, 10**18 + number))
    tree.link("a/one", "a/b/one-too")
    tree.link("a/one", "z-one")
    tree.link("d/five", "d/five-too")
    tree.link("a/b/c/four", "f/four-too")
    for number in range(12):
        tree.makedirs(f"more{number}/deep")
        tree.write_text(f"more{number}/deep/file", str(number))
        tree.write_text(f"more{number}/file", "x" * number)
    tree.symlink("one", "a/link")
    tree.link("a/link", "a/link-too")
    tree.symlink("/a", "absolute")
    tree.mknod("fifo", 0o010644)
    tree.setxattr("a", "user.directory", b"1")
    tree.setxattr("top", "user.file", b"2")
    tree.setxattr("top", "user.overlay.opaque", b"y")


def base(made: OverlayfsDriver, name: str = "base0", fill: Callable[[Tree], object] = populate) -> SnapshotId:
    """Make a committed snapshot with some content."""
    active = SnapshotId("active" + name)
    made.prepare(active, None)
    with made.tree(active, readonly=False) as tree:
        fill(tree)
    made.commit(active, SnapshotId(name))
    return SnapshotId(name)


def child(made: OverlayfsDriver, parent: str, name: str) -> SnapshotId:
    """Prepare an active snapshot."""
    made.prepare(SnapshotId(name), SnapshotId(parent))
    return SnapshotId(name)


def descriptors() -> int:
    """Count the open files of this process."""
    return len(os.listdir("/proc/self/fd"))
