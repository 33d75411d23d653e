"""What a layer that is being applied has touched so far: a tree of directories."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import EllipsisType

__all__ = ["Node", "Put"]


class Put(enum.Enum):
    """What the layer itself put at a path."""

    NOTHING = enum.auto()
    DIRECTORY = enum.auto()
    SYMLINK = enum.auto()


class Node:
    """A path that was looked at: a directory, or something that matters for those that come later.

    Plain files have none: their names are in :attr:`files` of their directory.

    :ivar put: what the layer put here.
    :ivar target: of a symbolic link that the layer put here.
    :ivar mtime: of a directory that the layer put here, in nanoseconds.
    :ivar files: names of what the layer put into this directory that has no node.
    :ivar hidden: names in this directory that the layer hides from the layers below.
    :ivar opaque: whether the layer hides all of them.
    :ivar fresh: whether nothing of the layers below may show in this directory that the layer put here.
    :ivar below: what the layers below have at this path; not asked yet: ``...``.
    :ivar seen: whether a decision rests on what the layers below have at this path.
    :ivar seen_below: the same of a path below this one.
    """

    __slots__ = (
        "below",
        "children",
        "files",
        "fresh",
        "hidden",
        "mtime",
        "name",
        "opaque",
        "parent",
        "put",
        "seen",
        "seen_below",
        "target",
    )

    def __init__(self, name: bytes, parent: Node | None) -> None:
        self.name = name
        self.parent = parent
        self.put = Put.NOTHING
        self.target = b""
        self.mtime = 0
        self.children: dict[bytes, Node] = {}
        self.files: set[bytes] = set()
        self.hidden: set[bytes] = set()
        self.opaque = False
        self.fresh = False
        self.seen = False
        self.seen_below = False
        self.below: os.stat_result | EllipsisType | None = ...

    @property
    def path(self) -> bytes:
        """The path, ``b""`` for the root."""
        names = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return b"/".join(reversed(names))

    def child(self, name: bytes) -> Node:
        """Return the node of a name in this directory, made where there is none."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = Node(name, self)
        return found

    def has_put(self, name: bytes) -> bool:
        """Tell whether the layer put something at a name in this directory."""
        found = self.children.get(name)
        return name in self.files or (found is not None and found.put is not Put.NOTHING)

    def see(self) -> None:
        """Note that a decision rests on what the layers below have here."""
        self.seen = True
        node = self.parent
        while node is not None and not node.seen_below:
            node.seen_below = True
            node = node.parent

    def is_hidden(self) -> bool:
        """Tell whether the layer hides what the layers below have at this path."""
        node = self
        while node.parent is not None:
            if node.parent.opaque or node.parent.fresh or node.name in node.parent.hidden:
                return True
            node = node.parent
        return False

    def is_replaced(self) -> bool:
        """Tell whether the layer put something that is no directory at this path, or above it."""
        node = self
        while node.parent is not None:
            if node.put is not Put.DIRECTORY and node.parent.has_put(node.name):
                return True
            node = node.parent
        return False

    def forget(self) -> None:
        """Drop what is below: something that is no directory, or a new one, takes its place."""
        self.children.clear()
        self.files.clear()
        self.hidden.clear()
        self.opaque = False
        self.seen_below = False

    def walk(self) -> Iterator[Node]:
        """Yield this node and those below, a parent before its children by the bytes of their names."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.children[name] for name in sorted(node.children, reverse=True))

    def put_below(self) -> Iterator[bytes]:
        """Yield the paths of all that the layer put below this directory, in tree order."""
        for node in self.walk():
            path = node.path
            if node is not self and node.put is not Put.NOTHING:
                yield path
            before = path + b"/" if path else b""
            yield from (before + name for name in sorted(node.files))
