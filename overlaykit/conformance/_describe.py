"""Plain Python descriptions of layers and trees: what a test builds, and what it expects to see."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..values import field, value_class

if TYPE_CHECKING:
    from ..tree import Tree

__all__ = [
    "DIR",
    "FIFO",
    "GONE",
    "Directory",
    "Fifo",
    "File",
    "Fresh",
    "Gone",
    "Layer",
    "Link",
    "Node",
    "Portrait",
    "Seen",
    "Spec",
    "Special",
    "Symlink",
    "apply",
    "portrait",
    "see",
    "tree_paths",
]


@value_class
class File:
    """A regular file; what is ``None`` is left as it comes."""

    data: bytes | str = b""
    mode: int | None = None
    mtime: int | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


@value_class
class Directory:
    """A directory; one that exists gets the attributes."""

    mode: int | None = None
    mtime: int | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


@value_class
class Symlink:
    """A symbolic link with its target, verbatim."""

    target: str


@value_class
class Link:
    """A further name of the file at another path."""

    source: str


@value_class
class Fifo:
    """A named pipe."""


@value_class
class Special:
    """Anything else: its type bits and device number."""

    format: int
    device: int = 0


@value_class
class Gone:
    """The name is deleted, with all below it."""


@value_class
class Fresh:
    """The name is deleted with all below it, then made anew."""

    spec: Spec


DIR = Directory()
FIFO = Fifo()
GONE = Gone()

Spec = bytes | str | File | Directory | Symlink | Link | Fifo | Gone | Fresh
Layer = Mapping[str, Spec] | Callable[["Tree"], object]
"""What a layer does to the tree below it: paths to what becomes of them, in order; or a function of the tree."""
Seen = bytes | Directory | Symlink | Fifo | Special


def apply(tree: Tree, layer: Layer) -> None:
    """Make a layer's changes in a tree; parent directories that are missing are made."""
    if callable(layer):
        layer(tree)
        return
    for path, spec in layer.items():
        parent = path.rpartition("/")[0]
        if parent:
            tree.makedirs(parent, exist_ok=True)
        _apply_one(tree, path, spec)


def _apply_one(tree: Tree, path: str, spec: Spec) -> None:
    match spec:
        case bytes() | str():
            tree.write_bytes(path, os.fsencode(spec))
        case File():
            tree.write_bytes(path, os.fsencode(spec.data))
            _attributes(tree, path, spec)
        case Directory():
            tree.makedirs(path, exist_ok=True)
            _attributes(tree, path, spec)
        case Symlink():
            tree.symlink(spec.target, path)
        case Link():
            tree.link(spec.source, path)
        case Fifo():
            tree.mknod(path, stat.S_IFIFO | 0o644)
        case Gone():
            _delete(tree, path)
        case Fresh():
            if tree.exists(path, follow_symlinks=False):
                _delete(tree, path)
            _apply_one(tree, path, spec.spec)


def _delete(tree: Tree, path: str) -> None:
    if tree.is_dir(path, follow_symlinks=False):
        tree.rmtree(path)
    else:
        tree.unlink(path)


def _attributes(tree: Tree, path: str, spec: File | Directory) -> None:
    for name, value in spec.xattrs.items():
        tree.setxattr(path, name, value)
    if spec.mode is not None:
        tree.chmod(path, spec.mode)
    if spec.mtime is not None:
        tree.utime(path, ns=(spec.mtime, spec.mtime))


def tree_paths(tree: Tree, *, locked: bool = False) -> list[str]:
    """Return every path in a tree but the root, a parent before its children; a name listed twice stands twice.

    :param locked: whether there may be directories that the caller may not list.
    """
    found: list[str] = []
    pending = [""]
    while pending:
        try:
            entries = list(tree.scandir(pending.pop()))
        except PermissionError:
            if not locked:
                raise
            continue
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            found.append(entry.path)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
    return found


def see(tree: Tree, top: str = "") -> dict[str, Seen]:
    """Describe what a tree, or a directory in it, shows: each path below ``top`` and what is there.

    A name that listing shows twice, or that listing shows and stat does not find, is an error here.
    """
    result: dict[str, Seen] = {}
    pending = [(top, "")]
    while pending:
        directory, prefix = pending.pop()
        for entry in tree.scandir(directory):
            name = prefix + entry.name
            assert name not in result, f"listing shows {name!r} twice"
            attributes = tree.lstat(entry.path)
            assert stat.S_IFMT(attributes.st_mode) == entry.format, f"listing and stat disagree about {name!r}"
            result[name] = _see_one(tree, entry.path, attributes)
            if stat.S_ISDIR(attributes.st_mode):
                pending.append((entry.path, name + "/"))
    return result


def _see_one(tree: Tree, path: str, attributes: os.stat_result) -> Seen:
    match stat.S_IFMT(attributes.st_mode):
        case stat.S_IFREG:
            return tree.read_bytes(path)
        case stat.S_IFDIR:
            return DIR
        case stat.S_IFLNK:
            return Symlink(tree.readlink(path))
        case stat.S_IFIFO:
            return FIFO
        case format:
            return Special(format, attributes.st_rdev)


@value_class
class Node:
    """All of one path that a layer stores, and that is the same in every driver."""

    format: int
    mode: int
    uid: int
    gid: int
    mtime: int
    what: bytes
    device: int
    xattrs: tuple[tuple[str, bytes], ...]
    links: tuple[str, ...]


Portrait = dict[str, Node]
"""A whole tree: path to node; the root is ``"."``."""


def portrait(tree: Tree, *, locked: bool = False) -> Portrait:
    """Take down all of a tree: content, attributes, and which names are one file.

    :param locked: whether there may be files and directories that the caller may not read; their content is left out.
    """
    attributes = {}
    for path in [".", *tree_paths(tree, locked=locked)]:
        try:
            attributes[path] = tree.lstat(path)
        except PermissionError:
            if not locked:
                raise
    groups: dict[tuple[int, int], list[str]] = {}
    for path, result in attributes.items():
        if not stat.S_ISDIR(result.st_mode):
            groups.setdefault((result.st_dev, result.st_ino), []).append(path)
    found: Portrait = {}
    for path, result in attributes.items():
        format = stat.S_IFMT(result.st_mode)
        what = b""
        if format == stat.S_IFREG:
            what = _content(tree, path, locked)
        elif format == stat.S_IFLNK:
            what = os.fsencode(tree.readlink(path))
        names = [] if locked else tree.listxattr(path, follow_symlinks=False)
        found[path] = Node(
            format=format,
            mode=stat.S_IMODE(result.st_mode),
            uid=result.st_uid,
            gid=result.st_gid,
            mtime=result.st_mtime_ns,
            what=what,
            device=result.st_rdev,
            xattrs=tuple((name, tree.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)),
            links=tuple(groups.get((result.st_dev, result.st_ino), ())),
        )
    return found


def _content(tree: Tree, path: str, locked: bool) -> bytes:
    try:
        return tree.read_bytes(path)
    except PermissionError:
        if not locked:
            raise
        return b""
