"""What a tree holds, entry by entry, and what differs between two: a second opinion to the library's own."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit.tree import Aspect, Change, ChangeKind, change_order

if TYPE_CHECKING:
    from overlaykit.tree import Tree

__all__ = ["Dump", "Node", "differences", "dump_directory", "dump_tree"]


@dataclass(frozen=True, slots=True)
class Node:
    """Everything of one entry that two trees can have in common.

    :param first: the first name, in tree order, of the same file in the same tree.
    """

    format: int
    mode: int
    owner: tuple[int, int]
    mtime: int
    device: int
    size: int
    digest: str
    target: str
    xattrs: tuple[tuple[str, bytes], ...]
    first: str


Dump = Mapping[str, Node]
"""Path to entry; the root is ``"."``."""


def dump_directory(root: str | os.PathLike[str], paths: Iterable[str] | None = None) -> Dump:
    """Look at a directory of the host with nothing but :mod:`os`.

    :param paths: what to look at; ``None`` for all of it.
    """
    top = Path(root)

    def walk() -> Iterator[str]:
        yield "."
        for directory, names, files in os.walk(top, onerror=_raise):
            for name in (*names, *files):
                yield os.path.relpath(os.path.join(directory, name), top)

    def xattrs(path: str) -> Iterator[tuple[str, bytes]]:
        for name in os.listxattr(top / path, follow_symlinks=False):
            yield name, os.getxattr(top / path, name, follow_symlinks=False)

    return _dump(
        walk() if paths is None else iter(paths),
        lambda path: os.lstat(top / path),
        lambda path: (top / path).read_bytes(),
        lambda path: os.readlink(top / path),
        xattrs,
    )


def dump_tree(tree: Tree, paths: Iterable[str] | None = None) -> Dump:
    """Look at a tree through its own operations.

    :param paths: what to look at; ``None`` for all of it.
    """

    def walk() -> Iterator[str]:
        yield "."
        for directory, directories, rest in tree.walk():
            for entry in (*directories, *rest):
                assert entry.path == os.path.join(directory, entry.name)
                yield entry.path

    def xattrs(path: str) -> Iterator[tuple[str, bytes]]:
        for name in tree.listxattr(path, follow_symlinks=False):
            yield name, tree.getxattr(path, name, follow_symlinks=False)

    return _dump(walk() if paths is None else iter(paths), tree.lstat, tree.read_bytes, tree.readlink, xattrs)


def _raise(error: OSError) -> None:
    raise error


def _dump(
    paths: Iterator[str],
    lstat: Callable[[str], os.stat_result],
    read: Callable[[str], bytes],
    readlink: Callable[[str], str],
    xattrs: Callable[[str], Iterator[tuple[str, bytes]]],
) -> Dump:
    found = sorted(paths, key=change_order)
    assert len(found) == len(set(found)), "a name is listed twice"
    first: dict[tuple[int, int], str] = {}
    nodes = {}
    for path in found:
        status = lstat(path)
        regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
        content = read(path) if regular else b""
        assert not regular or len(content) == status.st_size, path
        nodes[path] = Node(
            format=stat.S_IFMT(status.st_mode),
            mode=stat.S_IMODE(status.st_mode),
            owner=(status.st_uid, status.st_gid),
            mtime=status.st_mtime_ns,
            device=status.st_rdev,
            size=len(content),
            digest=hashlib.blake2b(content).hexdigest() if regular else "",
            target=readlink(path) if link else "",
            xattrs=tuple(sorted(xattrs(path))),
            first=first.setdefault((status.st_dev, status.st_ino), path),
        )
    return nodes


def differences(before: Dump, after: Dump) -> list[Change]:
    """Return what :meth:`Driver.changes` must say, from the two dumps alone."""
    both = before.keys() & after.keys()
    links = _first_names(before, both), _first_names(after, both)
    found = []
    for path in sorted(before.keys() | after.keys(), key=change_order):
        old, new = before.get(path), after.get(path)
        if old is None:
            found.append(Change(ChangeKind.ADDED, path))
        elif new is None:
            parent = after.get(os.path.dirname(path) or ".")
            if parent is not None and parent.format == stat.S_IFDIR:
                found.append(Change(ChangeKind.DELETED, path))
        else:
            aspects = _aspects(old, new)
            if Aspect.TYPE not in aspects and links[0][path] != links[1][path]:
                aspects |= Aspect.LINKS
            if aspects:
                found.append(Change(ChangeKind.MODIFIED, path, aspects))
    return found


def _first_names(dump: Dump, paths: set[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    return {path: groups.setdefault(dump[path].first, path) for path in sorted(paths, key=change_order)}


def _aspects(old: Node, new: Node) -> Aspect:
    if old.format != new.format:
        return Aspect.TYPE
    aspects = Aspect.NONE
    for differs, aspect in (
        ((old.size, old.digest) != (new.size, new.digest), Aspect.CONTENT),
        (old.mode != new.mode, Aspect.MODE),
        (old.owner != new.owner, Aspect.OWNER),
        (old.mtime != new.mtime, Aspect.MTIME),
        (old.xattrs != new.xattrs, Aspect.XATTRS),
        (old.target != new.target, Aspect.TARGET),
        (old.device != new.device, Aspect.DEVICE),
    ):
        if differs:
            aspects |= aspect
    return aspects
