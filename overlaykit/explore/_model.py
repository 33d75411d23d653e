"""What an image's layers are, as values."""

from __future__ import annotations

import enum
import os
import stat
from typing import TYPE_CHECKING

from ..driver import NodeKind
from ..tree import Aspect, ChangeKind
from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..image import Image

__all__ = [
    "FORMATS",
    "Analysis",
    "Cause",
    "DirectoryTotal",
    "Duplicate",
    "Entry",
    "EntryChange",
    "LayerReport",
    "Step",
    "Waste",
]

FORMATS: dict[NodeKind, int] = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.DIRECTORY: stat.S_IFDIR,
    NodeKind.SYMLINK: stat.S_IFLNK,
    NodeKind.FIFO: stat.S_IFIFO,
    NodeKind.CHARACTER: stat.S_IFCHR,
    NodeKind.BLOCK: stat.S_IFBLK,
}
"""The type of each as stat(2) has it."""


@value_class
class Entry:
    """An object of a merged tree. Hard links of one file are one entry under several names.

    :param kind: what it is.
    :param mode: permission bits with set-uid, set-gid and sticky.
    :param uid: the owner.
    :param gid: the group.
    :param mtime: the modification time, nanoseconds since the epoch.
    :param layer: the index of the layer whose archive it comes from.
    :param inode: a number of its own: two names with one number are hard links.
    :param size: bytes of a file, holes included.
    :param stored: bytes of a file that its layer has, without holes.
    :param digest: SHA-256 of what a file holds.
    :param target: of a symbolic link.
    :param device: of a device node, as :func:`os.makedev` gives it.
    :param xattrs: extended attributes, name to value, in the order of their names.
    :param children: of a directory, by name.
    """

    kind: NodeKind
    mode: int
    uid: int
    gid: int
    mtime: int
    layer: int
    inode: int
    size: int = 0
    stored: int = 0
    digest: bytes = b""
    target: bytes = b""
    device: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    children: Mapping[bytes, Entry] | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.children is not None

    @property
    def st_mode(self) -> int:
        """Type and permission bits as stat(2) has them; a symbolic link has all permissions."""
        return FORMATS[self.kind] | (0o777 if self.kind is NodeKind.SYMLINK else self.mode)

    def find(self, path: str | bytes) -> Entry | None:
        """Return what is at a path below this directory, following no symbolic link; ``None`` where nothing is."""
        entry: Entry | None = self
        for name in os.fsencode(path).split(b"/"):
            if name in (b"", b"."):
                continue
            if entry is None or entry.children is None:
                return None
            entry = entry.children.get(name)
        return entry

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Yield all that is below this directory in tree order, each with its path from here."""
        for path, entry in self.walk_bytes():
            yield os.fsdecode(path), entry

    def walk_bytes(self) -> Iterator[tuple[bytes, Entry]]:
        """Yield as :meth:`walk` does, with paths as they are."""
        pending = [(b"", self)]
        while pending:
            path, entry = pending.pop()
            if path:
                yield path, entry
            if entry.children:
                before = path + b"/" if path else b""
                pending += [(before + name, child) for name, child in sorted(entry.children.items(), reverse=True)]


@value_class
class EntryChange:
    """One path that a layer adds, changes or removes.

    Unlike :class:`overlaykit.tree.Change` a list of these has what is below a removed directory too, and a file that
    the layer stores again as it was: ``MODIFIED`` without an aspect. Aspect ``LINKS`` is not told.

    :param kind: what happened.
    :param path: relative to the root; the root itself is ``"."``. Bytes that are not UTF-8 are surrogate-escaped.
    :param aspects: what differs, of a modified path.
    :param before: what was there.
    :param after: what is there now.
    :param stored: bytes of content that the layer has for it; those of hard links count at the first of their names.
    """

    kind: ChangeKind
    path: str
    aspects: Aspect
    before: Entry | None
    after: Entry | None
    stored: int

    @property
    def entry(self) -> Entry:
        """What is there now, or what was there where it was removed."""
        entry = self.after or self.before
        assert entry is not None
        return entry


class Cause(enum.StrEnum):
    """Why bytes of a layer are nowhere to be seen."""

    DELETED = "deleted"  #: the path is gone
    MOVED = "moved"  #: the path is gone, and the same content is in the layer that removed it under another path
    REPLACED = "replaced"  #: something else is at the path
    REWRITTEN = (
        "rewritten"  #: the same content is stored again at the path: its mode, owner, time or attributes changed
    )


@value_class
class Waste:
    """Content of a file that one layer stores and no name of the final tree leads to.

    :param path: where the file was; of several hard links, the first.
    :param bytes: how much of it is stored.
    :param layer: the index of the layer that stores it.
    :param hidden_by: the index of the layer that hides it; the same one where the archive itself has the path twice.
    :param cause: how.
    :param aspects: what the later layer changed, of a file that was rewritten.
    :param moved_to: where the same content went, of a file that was moved.
    """

    path: str
    bytes: int
    layer: int
    hidden_by: int
    cause: Cause
    aspects: Aspect = Aspect.NONE
    moved_to: str | None = None


@value_class
class Duplicate:
    """Content that a layer stores though a layer below has it in a file that still shows, under another path.

    :param digest: SHA-256 of the content.
    :param size: its length in bytes.
    :param bytes: what the layers above the lowest of these store of it.
    :param places: path and index of the layer of each such file, the lowest layer first; hard links count as one.
    """

    digest: str
    size: int
    bytes: int
    places: tuple[tuple[str, int], ...]


@value_class
class DirectoryTotal:
    """What a layer does below one directory, at any depth.

    :param added: how many objects that are no directories it adds.
    :param modified: how many of those it changes.
    :param removed: how many of those it removes.
    :param stored: bytes of content that it has there.
    :param hidden: bytes of content, of all layers below, that it hides there.
    """

    added: int = 0
    modified: int = 0
    removed: int = 0
    stored: int = 0
    hidden: int = 0


@value_class
class LayerReport:
    """One layer.

    :param index: its place, 0 for the lowest.
    :param created_by: the instruction that made it, as the history has it; ``""`` where that says nothing.
    :param comment: what the history notes about that.
    :param created: when, as RFC 3339 has it.
    :param digest: of its blob; ``""`` of a container's writable layer, and so are the next two.
    :param diff_id: of its archive, uncompressed.
    :param chain_id: of it and all below.
    :param size: bytes of its blob, compressed as it is.
    :param unpacked: bytes of its archive, uncompressed.
    :param stored: bytes of file content that it has.
    :param entries: members of its archive.
    :param root: the merged tree of it and all below.
    :param changes: how that differs from the one below, in tree order.
    :param wasted: bytes of its content that it or a later layer hides.
    :param hidden: bytes of content, its own or of layers below, that it hides.
    :param shared: names of the other images that have it over the same layers.
    """

    index: int
    created_by: str
    comment: str
    created: str
    digest: str
    diff_id: str
    chain_id: str
    size: int
    unpacked: int
    stored: int
    entries: int
    root: Entry
    changes: tuple[EntryChange, ...]
    wasted: int
    hidden: int
    shared: tuple[str, ...]

    @property
    def is_container(self) -> bool:
        """Whether it is the writable layer of a container."""
        return not self.diff_id

    def count(self, kind: ChangeKind) -> int:
        """Return how many objects that are no directories it adds, changes or removes."""
        return sum(one.kind is kind and one.entry.children is None for one in self.changes)

    @property
    def total(self) -> DirectoryTotal:
        """What it does in all."""
        added, modified, removed = (self.count(kind) for kind in ChangeKind)
        return DirectoryTotal(added, modified, removed, self.stored, self.hidden)


@value_class
class Step:
    """An instruction of the image's history.

    :param created_by: what, as the history has it.
    :param created: when, as RFC 3339 has it.
    :param comment: what was noted.
    :param layer: the index of the layer that it made; ``None`` where it made none.
    """

    created_by: str
    created: str
    comment: str
    layer: int | None


@value_class
class Analysis:
    """An image, or a container over one, layer by layer.

    :param image: the image.
    :param name: what it was asked for by.
    :param container: the container's name; ``""`` for none.
    :param layers: the lowest first; that of the container last.
    :param steps: the image's history, the oldest first; layers that it does not tell of come last.
    :param waste: the most bytes first.
    :param duplicates: the most bytes first.
    """

    image: Image
    name: str
    container: str
    layers: tuple[LayerReport, ...]
    steps: tuple[Step, ...]
    waste: tuple[Waste, ...]
    duplicates: tuple[Duplicate, ...]

    @property
    def stored(self) -> int:
        """Bytes of file content in all layers."""
        return sum(layer.stored for layer in self.layers)

    @property
    def wasted(self) -> int:
        """Bytes of those that the final tree does not show."""
        return sum(one.bytes for one in self.waste)

    @property
    def efficiency(self) -> float:
        """Which part of the stored bytes the final tree shows, 0 to 1; 1 where nothing is stored."""
        return 1 - self.wasted / self.stored if self.stored else 1.0

    @property
    def user_stored(self) -> int:
        """Bytes of file content in all layers but the lowest."""
        return sum(layer.stored for layer in self.layers[1:])

    @property
    def user_wasted(self) -> float:
        """Wasted bytes in proportion to :attr:`user_stored`; may exceed 1, and is 0 where there is nothing of both."""
        if not self.wasted:
            return 0.0
        return self.wasted / self.user_stored if self.user_stored else float("inf")

    @property
    def duplicated(self) -> int:
        """Bytes of duplicates, which :attr:`wasted` does not count."""
        return sum(one.bytes for one in self.duplicates)

    def directories(self, layer: int) -> dict[str, DirectoryTotal]:
        """Return what a layer does below each directory in which it does something, the root as ``"."``.

        :param layer: the layer's index.
        """
        sums: dict[str, list[int]] = {}

        def add(path: str, column: int, amount: int) -> None:
            while path != ".":
                path = path.rpartition("/")[0] or "."
                sums.setdefault(path, [0] * 5)[column] += amount

        kinds = list(ChangeKind)
        for one in self.layers[layer].changes:
            if one.entry.children is None:
                add(one.path, kinds.index(one.kind), 1)
                if one.stored:
                    add(one.path, 3, one.stored)
        for waste in self.waste:
            if waste.hidden_by == layer:
                add(waste.path, 4, waste.bytes)
            if waste.layer == waste.hidden_by == layer:
                # No change tells of it: the archive has the path twice.
                add(waste.path, 3, waste.bytes)
        return {path: DirectoryTotal(*numbers) for path, numbers in sums.items()}
