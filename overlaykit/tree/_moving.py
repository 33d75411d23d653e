"""Moving a directory where its storage cannot rename it: making it again under the new name, and removing the old one.

Merged file systems are of that kind: a directory that comes from a layer below is EXDEV to them. Files are not copied
but linked: whoever merges copies a file of a layer up, with everything it has, and gives it a second name.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._tree import Tree

__all__ = ["link_directory", "open_up", "remove_path", "set_attributes"]


def copy_attributes(tree: Tree, source: str, target: str, status: os.stat_result) -> None:
    """Give a directory the owner, extended attributes, mode and times of another."""
    set_attributes(tree, target, status, {name: tree.getxattr(source, name) for name in tree.listxattr(source)})


def set_attributes(tree: Tree, path: str, status: os.stat_result, xattrs: Mapping[str, bytes]) -> None:
    """Give a directory an owner, extended attributes and no others, a mode and times.

    :param tree: the tree that it is in.
    :param path: the directory.
    :param status: has the owner, the mode and the times.
    :param xattrs: name to value.
    :raises OSError: what setting one of them raises.
    """
    made = tree.lstat(path)
    if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        tree.chown(path, status.st_uid, status.st_gid)
    for name in tree.listxattr(path):
        if name not in xattrs:  # inherited, such as a default ACL
            tree.removexattr(path, name)
    for name, value in xattrs.items():
        tree.setxattr(path, name, value)
    tree.chmod(path, stat.S_IMODE(status.st_mode))
    tree.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def open_up(tree: Tree, path: str, status: os.stat_result) -> bool:
    """Let the owner, who is not root, look into a directory and change it.

    :param status: the directory's.
    :returns: whether that was needed: then the mode is no longer what ``status`` says.
    :raises OSError: what chmod raises.
    """
    if os.geteuid() == 0 or status.st_mode & 0o700 == 0o700:
        return False
    tree.chmod(path, stat.S_IMODE(status.st_mode) | 0o700)
    return True


def link_directory(tree: Tree, source: str, target: str, *, join: Callable[[str], None] | None = None) -> None:
    """Make a directory that holds what another holds, every file as a link; what the target has already is left alone.

    :param tree: where both are. It is changed by the tree's own operations, and by nobody else meanwhile.
    :param source: the directory, whose own permissions may forbid its owner to look into it: they are lifted meanwhile.
    :param target: a path that is not there, or what an earlier call left.
    :param join: called with the path of every file before it is linked.
    :raises OSError: something could not be made; the target is there in part, the source is as it was.
    """
    todo = [(source, target)]
    made: list[tuple[str, str, os.stat_result]] = []
    opened: list[tuple[str, os.stat_result]] = []
    try:
        while todo:
            old, new = todo.pop()
            status = tree.lstat(old)
            try:
                tree.mkdir(new, 0o700)
            except FileExistsError:
                open_up(tree, new, tree.lstat(new))
            made.append((old, new, status))
            if open_up(tree, old, status):
                opened.append((old, status))
            for entry in tree.scandir(old):
                pair = (f"{old}/{entry.name}", f"{new}/{entry.name}")
                if entry.format == stat.S_IFDIR:
                    todo.append(pair)
                elif not tree.exists(pair[1], follow_symlinks=False):
                    if join is not None:
                        join(pair[0])
                    tree.link(*pair)
        for old, new, status in reversed(made):
            copy_attributes(tree, old, new, status)
    finally:
        # Deepest first: a directory that cannot be searched any more hides those below it.
        for old, status in reversed(opened):
            tree.chmod(old, stat.S_IMODE(status.st_mode))
            tree.utime(old, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove_path(tree: Tree, path: str) -> None:
    """Remove anything, and all below it, whatever its owner may do with it at the moment.

    :raises OSError: something could not be removed; what came before it is gone.
    """
    todo = [(path, tree.lstat(path).st_mode, False)]
    while todo:
        here, mode, emptied = todo.pop()
        if not stat.S_ISDIR(mode):
            tree.unlink(here)
        elif emptied:
            tree.rmdir(here)
        else:
            open_up(tree, here, tree.lstat(here))
            todo.append((here, mode, True))
            todo += [(f"{here}/{entry.name}", entry.format, False) for entry in tree.scandir(here)]
