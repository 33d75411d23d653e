"""The writable layer of a container, from its tree: what a commit would make a layer of."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ..driver import NodeAttributes
from ..tree import Aspect, ChangeKind
from ._model import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..tree import Change, Tree
    from ._merged import MergedWriter

__all__ = ["apply_changes"]

_CHUNK = 1 << 20
_Inode = tuple[int, int]
_NODES = {bits: kind for kind, bits in FORMATS.items()}


def apply_changes(tree: Tree, changes: Iterable[Change], writer: MergedWriter) -> int:
    """Write what a container changes of its image.

    :param tree: the container's merged tree.
    :param changes: how it differs from the image's.
    :returns: how many objects were written.
    :raises OSError: a file cannot be read.
    """
    links: dict[_Inode, list[bytes]] = {}
    wanted: dict[_Inode, int] = {}
    count = 0
    for change in changes:
        path = b"" if change.path == "." else os.fsencode(change.path)
        count += 1
        if change.kind is ChangeKind.DELETED:
            writer.hide(path)
            continue
        status = tree.stat(change.path, follow_symlinks=False)
        attributes = NodeAttributes(
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            tuple(
                (os.fsencode(name), tree.getxattr(change.path, name, follow_symlinks=False))
                for name in tree.listxattr(change.path, follow_symlinks=False)
            ),
        )
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            if change.aspects & Aspect.TYPE:
                writer.remove(path)
            writer.directory(path, attributes)
            continue
        if status.st_nlink > 1:
            inode = (status.st_dev, status.st_ino)
            names = links.setdefault(inode, [])
            names.append(path)
            wanted[inode] = status.st_nlink
            if len(names) > 1:
                writer.link(path, names[0])
                continue
        _put(tree, change.path, status, attributes, writer)
    missing = {inode for inode, number in wanted.items() if len(links[inode]) < number}
    return count + _link_others(tree, missing, links, wanted, writer)


def _link_others(
    tree: Tree, missing: set[_Inode], links: dict[_Inode, list[bytes]], wanted: dict[_Inode, int], writer: MergedWriter
) -> int:
    """Link the names that did not change themselves: a layer has all names of a file of which it has one."""
    count = 0
    for _, _, files in tree.walk() if missing else ():
        for entry in files:
            status = entry.stat(follow_symlinks=False)
            inode = (status.st_dev, status.st_ino)
            path = os.fsencode(entry.path)
            if inode not in missing or path in links[inode]:
                continue
            links[inode].append(path)
            writer.link(path, links[inode][0])
            count += 1
            if len(links[inode]) == wanted[inode]:
                missing.discard(inode)
        if not missing:
            break
    return count


def _put(tree: Tree, name: str, status: os.stat_result, attributes: NodeAttributes, writer: MergedWriter) -> None:
    path, kind = os.fsencode(name), stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        writer.symlink(path, os.fsencode(tree.readlink(name)), attributes)
    elif kind == stat.S_IFREG:
        _file(tree, name, status, attributes, writer)
    elif kind == stat.S_IFSOCK:
        # A layer leaves it out (docs/semantics.md); what it hides is gone all the same.
        writer.remove(path)
    else:
        writer.node(path, _NODES[kind], attributes, 0 if kind == stat.S_IFIFO else status.st_rdev)


def _file(tree: Tree, name: str, status: os.stat_result, attributes: NodeAttributes, writer: MergedWriter) -> None:
    sink = writer.file(os.fsencode(name), attributes, status.st_size)
    with tree.open_raw(name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)) as file:
        while data := file.read(_CHUNK):
            sink.write(data)
    sink.close()
