"""Paths to inodes, as the kernel walks them with RESOLVE_IN_ROOT."""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING

from ._node import Directory, Symlink, encode

if TYPE_CHECKING:
    from overlaykit.tree import StrOrBytesPath

    from ._node import Node
    from ._snapshot import Snapshot

__all__ = ["Last", "Place", "failure", "locate", "text"]

_NAME_MAX = 255
_LINKS_MAX = 40


class Last(enum.Enum):
    """What the last component of a path is; the kernel's LAST_*."""

    NAME = enum.auto()
    DOT = enum.auto()
    DOTDOT = enum.auto()
    ROOT = enum.auto()


class Place:
    """Where a path leads.

    :param directory: the directory of the last component; for anything but a name, the directory meant.
    :param name: the last component, where it is a name.
    :param node: what is there, ``None`` for nothing.
    :param last: what the last component is.
    :param slash: whether slashes follow it.
    """

    __slots__ = ("directory", "last", "name", "node", "slash")

    def __init__(self, directory: Directory, name: str, node: Node | None, last: Last, slash: bool) -> None:
        self.directory = directory
        self.name = name
        self.node = node
        self.last = last
        self.slash = slash


def failure(code: int, path: StrOrBytesPath, other: StrOrBytesPath | None = None) -> OSError:
    """Return the OSError of an errno and the paths as the caller gave them."""
    message = os.strerror(code)
    if other is None:
        return OSError(code, message, path)
    return OSError(code, message, path, None, other)


def text(path: StrOrBytesPath) -> str:
    """Return a path as the one ``str`` that stands for its bytes.

    :raises ValueError: it contains a NUL.
    """
    name = os.fspath(path)
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    if "\0" in name:
        raise ValueError("embedded null byte")
    if not name.isascii():
        # Surrogates that together are valid UTF-8 would else be a second spelling of the same bytes.
        name = encode(name).decode("utf-8", "surrogateescape")
    return name


def locate(snapshot: Snapshot, path: str, given: StrOrBytesPath, *, follow: bool, slash_follows: bool = True) -> Place:
    """Walk a path.

    :param path: from :func:`text`.
    :param given: the path for errors.
    :param follow: whether to follow a symbolic link at the end.
    :param slash_follows: whether to follow one before trailing slashes, as the kernel does where the path itself is
        wanted, but not where its directory is (mkdir, unlink, rename ...).
    :raises OSError: ENOENT, ENOTDIR, ELOOP or ENAMETOOLONG on the way to the last component, which may be missing.
    """
    todo = path.split("/")[::-1]
    slash = path.endswith("/")
    root = snapshot.node(snapshot.root)
    assert isinstance(root, Directory)
    current = root
    place = Place(current, "", current, Last.ROOT, slash)
    links = 0
    while todo:
        part = todo.pop()
        if not part:
            continue
        # What follows the last component is empty strings alone: the trailing slashes.
        final = not any(todo)
        if part == ".":
            place = Place(current, "", current, Last.DOT, slash)
            continue
        if part == "..":
            above = snapshot.node(current.home[0])
            assert isinstance(above, Directory)
            current = above
            place = Place(current, "", current, Last.DOTDOT, slash)
            continue
        if len(part) > _NAME_MAX or (not part.isascii() and len(encode(part)) > _NAME_MAX):
            raise failure(errno.ENAMETOOLONG, given)
        ino = current.entries.get(part)
        node = None if ino is None else snapshot.node(ino)
        if isinstance(node, Symlink) and (not final or follow or (slash and slash_follows)):
            links += 1
            if links > _LINKS_MAX:
                raise failure(errno.ELOOP, given)
            target = node.target
            if target.startswith("/"):
                current = root
                place = Place(current, "", current, Last.ROOT, slash)
            if final:
                slash = slash or target.endswith("/")
                todo.clear()
            todo.extend(target.split("/")[::-1])
            continue
        if final:
            return Place(current, part, node, Last.NAME, slash)
        if node is None:
            raise failure(errno.ENOENT, given)
        if not isinstance(node, Directory):
            raise failure(errno.ENOTDIR, given)
        current = node
    return place
