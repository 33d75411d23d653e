"""Operations on many entries, on top of any tree's single ones. Iterative: a tree may be deeper than Python's stack."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._entry import TreeEntry
    from ._tree import StrOrBytesPath, Tree

__all__ = ["from_root", "makedirs", "rmtree", "walk"]

Level = tuple[str, list["TreeEntry"], list["TreeEntry"]]


def from_root(path: StrOrBytesPath) -> str:
    """Return a path as entries have it: from the root, no slash around it, ``""`` for the root itself."""
    text = os.fsdecode(path).strip("/")
    return "" if text == "." else text


def makedirs(tree: Tree, path: StrOrBytesPath, mode: int, exist_ok: bool) -> None:
    """Make a directory and what is missing above it; :meth:`Tree.makedirs`."""
    text = from_root(path)
    missing: list[str] = []
    try:
        while True:
            try:
                tree.mkdir(text, 0o777 if missing else mode)
                break
            except FileNotFoundError:
                # A path without a directory in it fails for another reason than that the directory is not there.
                if "/" not in text:
                    raise
                missing.append(text)
                text = text.rpartition("/")[0].rstrip("/")
            except FileExistsError:
                if not missing:
                    raise
                break  # somebody else was faster
        for position, name in enumerate(reversed(missing), 1):
            try:
                tree.mkdir(name, mode if position == len(missing) else 0o777)
            except FileExistsError:
                if position == len(missing):
                    raise
    except OSError:
        # Any error: in a read-only tree a directory that exists is as good as one that was made.
        if not exist_ok or not tree.is_dir(path):
            raise


def _level(tree: Tree, path: str) -> Level:
    directories: list[TreeEntry] = []
    others: list[TreeEntry] = []
    for entry in tree.scandir(path):
        (directories if entry.format == stat.S_IFDIR else others).append(entry)
    return path, directories, others


def walk(tree: Tree, top: StrOrBytesPath, topdown: bool) -> Iterator[Level]:
    """Yield every directory below ``top`` with what it holds; :meth:`Tree.walk`."""
    todo: list[str | Level] = [from_root(top)]
    while todo:
        item = todo.pop()
        if not isinstance(item, str):
            yield item
            continue
        level = _level(tree, item)
        if topdown:
            yield level
        else:
            todo.append(level)
        todo += [entry.path for entry in reversed(level[1])]


def rmtree(tree: Tree, path: StrOrBytesPath) -> None:
    """Remove a directory and all below it; :meth:`Tree.rmtree`."""
    # Without a slash at the end, through which a link would be followed.
    top = from_root(path)
    try:
        is_directory = stat.S_ISDIR(tree.stat(top, follow_symlinks=False).st_mode)
    except OSError as error:
        if error.filename is not None:
            error.filename = os.fspath(path)
        raise
    if not is_directory:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    todo: list[tuple[str, bool]] = [(top, False)]
    while todo:
        here, emptied = todo.pop()
        if emptied:
            tree.rmdir(here)
            continue
        if here:
            todo.append((here, True))
        for entry in tree.scandir(here):
            if entry.format == stat.S_IFDIR:
                todo.append((entry.path, False))
            else:
                tree.unlink(entry.path)
