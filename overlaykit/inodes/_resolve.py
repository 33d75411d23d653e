"""Paths to inodes, as the kernel walks them with RESOLVE_IN_ROOT."""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING

from ._node import Directory, Symlink, encode

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath
    from ._inodes import Inodes
    from ._node import Node

__all__ = ["Given", "Last", "Place", "failure", "is_long", "locate", "text", "walk"]

_NAME_MAX = 255
_LINKS_MAX = 40


Given = tuple["StrOrBytesPath"] | tuple["StrOrBytesPath", "StrOrBytesPath"]
"""The path or paths of an operation, as its caller gave them."""


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


def is_long(name: str) -> bool:
    """Tell whether a name has more bytes than a name may have."""
    return len(name) > _NAME_MAX or (not name.isascii() and len(encode(name)) > _NAME_MAX)


def locate(inodes: Inodes, path: StrOrBytesPath, given: Given, *, follow: bool, slash_follows: bool = True) -> Place:
    """Walk a path to what it names; see :func:`walk`.

    :raises OSError: ENOENT, ENOTDIR, ELOOP or ENAMETOOLONG.
    """
    place = walk(inodes, path, given, follow=follow, slash_follows=slash_follows)
    if is_long(place.name):
        raise failure(errno.ENAMETOOLONG, *given)
    return place


def walk(inodes: Inodes, path: StrOrBytesPath, given: Given, *, follow: bool, slash_follows: bool) -> Place:
    """Walk a path.

    :param path: the path as the caller gave it.
    :param given: the path or paths that an error names.
    :param follow: whether to follow a symbolic link at the end.
    :param slash_follows: whether to follow one before trailing slashes, as the kernel does where the path itself is
        wanted, but not where its directory is (mkdir, unlink, rename ...).
    :raises OSError: ENOENT, ENOTDIR, ELOOP or ENAMETOOLONG on the way to the last component, which may be missing or
        too long.
    """
    plain = inodes.walk_plain(path, follow) if type(path) is str else None
    if plain is not None:
        return plain
    whole = text(path)
    todo = whole.split("/")[::-1]
    slash = whole.endswith("/")
    root = inodes.node(inodes.root)
    assert isinstance(root, Directory)
    current = root
    place = Place(current, "", current, Last.ROOT, slash)
    links = 0
    walked = False
    while todo:
        part = todo.pop()
        if not part:
            continue
        # What follows the last component is empty strings alone: the trailing slashes.
        final = not any(todo)
        if part == ".":
            if walked:
                place = Place(current, "", current, Last.DOT, slash)
            continue
        walked = True
        if part == "..":
            above = inodes.node(current.home[0])
            assert isinstance(above, Directory)
            current = above
            place = Place(current, "", current, Last.DOTDOT, slash)
            continue
        if not final and is_long(part):
            raise failure(errno.ENAMETOOLONG, *given)
        ino = current.entries.get(part)
        node = None if ino is None else inodes.node(ino)
        if isinstance(node, Symlink) and (not final or (slash_follows if slash else follow)):
            links += 1
            if links > _LINKS_MAX:
                raise failure(errno.ELOOP, *given)
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
            raise failure(errno.ENOENT, *given)
        if not isinstance(node, Directory):
            raise failure(errno.ENOTDIR, *given)
        current = node
    return place
