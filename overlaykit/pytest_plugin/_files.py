"""What the ways to make trees have in common."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from .. import linux
from ..tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["copy_attributes", "opened", "remove"]


def opened(path: Path) -> HostTree:
    """Return a directory as a tree to be read."""
    return HostTree(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), readonly=True)


def copy_attributes(source: Path, target: Path) -> None:
    """Give a file or directory the owner, mode, times and extended attributes of another, links not followed."""
    status, made = source.lstat(), target.lstat()
    if (status.st_uid, status.st_gid) != (made.st_uid, made.st_gid):
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    for name in set(os.listxattr(target, follow_symlinks=False)) - set(os.listxattr(source, follow_symlinks=False)):
        if not name.startswith("security."):  # a security module's label, which it sets by itself
            os.removexattr(target, name, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file or directory, whatever the modes in it; nothing where there is none."""
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        linux.remove_tree(parent, path.name)
    except FileNotFoundError:
        pass
    finally:
        os.close(parent)
