"""Copying and removing directories inside a merged view.

Files are not copied but linked: the kernel copies a file of a layer up, with everything it has, and gives it a second
name.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from overlaykit.tree import HostTree

__all__ = ["copy_directory", "finish_join", "remove", "set_attributes"]


def copy_attributes(raw: HostTree, source: str, target: str, status: os.stat_result) -> None:
    """Give a directory the owner, extended attributes, mode and times of another."""
    set_attributes(raw, target, status, {name: raw.getxattr(source, name) for name in raw.listxattr(source)})


def set_attributes(raw: HostTree, path: str, status: os.stat_result, xattrs: Mapping[str, bytes]) -> None:
    """Give a directory an owner, extended attributes and no others, a mode and times."""
    made = raw.lstat(path)
    if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        raw.chown(path, status.st_uid, status.st_gid)
    for name in raw.listxattr(path):
        if name not in xattrs:  # inherited, such as a default ACL
            raw.removexattr(path, name)
    for name, value in xattrs.items():
        raw.setxattr(path, name, value)
    raw.chmod(path, stat.S_IMODE(status.st_mode))
    raw.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _open_up(raw: HostTree, path: str, status: os.stat_result) -> bool:
    """Let the owner, who is not root, look into a directory and change it; tell whether that was needed."""
    if os.geteuid() == 0 or status.st_mode & 0o700 == 0o700:
        return False
    raw.chmod(path, stat.S_IMODE(status.st_mode) | 0o700)
    return True


def copy_directory(raw: HostTree, join: Callable[[str], None], source: str, target: str) -> None:
    """Make a directory that holds what another holds; what the target has already is left alone.

    :param raw: the merged view.
    :param join: called with the path of every file before it is linked.
    :raises OSError: something could not be made; the target is there in part, the source is as it was.
    """
    todo = [(source, target)]
    made: list[tuple[str, str, os.stat_result]] = []
    opened: list[tuple[str, os.stat_result]] = []
    try:
        while todo:
            old, new = todo.pop()
            status = raw.lstat(old)
            try:
                raw.mkdir(new, 0o700)
            except FileExistsError:
                _open_up(raw, new, raw.lstat(new))
            made.append((old, new, status))
            if _open_up(raw, old, status):
                opened.append((old, status))
            for entry in raw.scandir(old):
                pair = (f"{old}/{entry.name}", f"{new}/{entry.name}")
                if entry.format == stat.S_IFDIR:
                    todo.append(pair)
                elif not raw.exists(pair[1], follow_symlinks=False):
                    join(pair[0])
                    raw.link(*pair)
        for old, new, status in reversed(made):
            copy_attributes(raw, old, new, status)
    finally:
        # Deepest first: a directory that cannot be searched any more hides those below it.
        for old, status in reversed(opened):
            raw.chmod(old, stat.S_IMODE(status.st_mode))
            raw.utime(old, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(raw: HostTree, path: str) -> None:
    """Remove anything, and all below it, whatever its owner may do with it at the moment."""
    todo = [(path, raw.lstat(path).st_mode, False)]
    while todo:
        here, mode, emptied = todo.pop()
        if not stat.S_ISDIR(mode):
            raw.unlink(here)
        elif emptied:
            raw.rmdir(here)
        else:
            _open_up(raw, here, raw.lstat(here))
            todo.append((here, mode, True))
            todo += [(f"{here}/{entry.name}", entry.format, False) for entry in raw.scandir(here)]


def finish_join(raw: HostTree, paths: Sequence[str]) -> None:
    """Make further names links of the file that a first name shows; done again, it does what is left to do.

    :param paths: the first name, then each further one followed by that of a passing object beside it.
    """
    for name, passing in zip(paths[1::2], paths[2::2], strict=True):
        parent = os.path.dirname(name)
        before = raw.stat(parent)
        opened = _open_up(raw, parent, before) if before.st_uid == os.geteuid() else False
        try:
            if not raw.exists(passing, follow_symlinks=False):
                raw.link(paths[0], passing)  # copies the first one up
            if raw.lstat(name).st_ino == raw.lstat(paths[0]).st_ino:
                raw.unlink(passing)
            else:
                # To the kernel the two are different files yet, or this would do nothing.
                raw.rename(passing, name)
        finally:
            if opened:
                raw.chmod(parent, stat.S_IMODE(before.st_mode))
            raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
