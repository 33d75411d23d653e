"""Which bytes no name of the final tree leads to, and which are there twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..tree import Aspect
from ._difference import aspects_of
from ._model import Cause, Duplicate, Waste

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._model import Entry, EntryChange

__all__ = ["Ledger"]


class Ledger:
    """Follows each stored file from the layer that brings it to the one in which its last name goes.

    Layers are told one after another, the lowest first.
    """

    def __init__(self) -> None:
        self._names: dict[int, int] = {}
        self._where: dict[int, tuple[bytes, Entry]] = {}
        self._waste: list[Waste] = []

    def layer(
        self, index: int, stored: Sequence[tuple[bytes, Entry]], changes: Sequence[EntryChange], root: Entry
    ) -> None:
        """Take a layer.

        :param stored: the regular files that its archive has.
        :param changes: how its merged tree differs from the one below.
        :param root: its merged tree.
        """
        names, gone = self._names, set()
        for one in changes:
            # Counted before anything is taken off: a file may lose one name and win another.
            if one.after is not None and one.after.stored and one.after is not one.before:
                names[one.after.inode] = names.get(one.after.inode, 0) + 1
        for one in changes:
            old = one.before
            if old is not None and old.stored and old is not one.after:
                names[old.inode] -= 1
                if not names[old.inode]:
                    gone.add(old.inode)
        fresh: dict[bytes, bytes] = {}
        for path, entry in stored:
            if not entry.stored:
                continue
            self._where[entry.inode] = (path, entry)
            if names.get(entry.inode):
                fresh.setdefault(entry.digest, path)
            else:
                gone.add(entry.inode)
        for inode in sorted(gone):
            path, entry = self._where.pop(inode)
            names.pop(inode, None)
            self._waste.append(_wasted(path, entry, index, root, fresh))

    def waste(self) -> tuple[Waste, ...]:
        """Return what is wasted, the most bytes first."""
        return tuple(sorted(self._waste, key=lambda one: (-one.bytes, os.fsencode(one.path), one.layer)))

    def duplicates(self, root: Entry) -> tuple[Duplicate, ...]:
        """Return what the final tree has several times, from several layers, the most bytes first."""
        same: dict[bytes, list[Entry]] = {}
        names: dict[int, bytes] = {}
        for path, entry in root.walk_bytes():
            if entry.stored and entry.inode not in names:
                names[entry.inode] = path
                same.setdefault(entry.digest, []).append(entry)
        found = []
        for digest, files in same.items():
            if len(files) == 1 or len({entry.layer for entry in files}) == 1:
                continue
            files.sort(key=lambda entry: entry.layer)
            places = tuple((os.fsdecode(names[entry.inode]), entry.layer) for entry in files)
            again = sum(entry.stored for entry in files if entry.layer > files[0].layer)
            found.append(Duplicate(digest.hex(), files[0].size, again, places))
        return tuple(sorted(found, key=lambda one: (-one.bytes, os.fsencode(one.places[0][0]))))


def _wasted(path: bytes, entry: Entry, index: int, root: Entry, fresh: dict[bytes, bytes]) -> Waste:
    now = root.find(path)
    cause, aspects = Cause.REPLACED, Aspect.NONE
    moved: str | None = None
    if now is None:
        there = fresh.get(entry.digest)
        moved = None if there is None else os.fsdecode(there)
        cause = Cause.DELETED if there is None else Cause.MOVED
    elif now.digest == entry.digest:
        cause, aspects = Cause.REWRITTEN, aspects_of(entry, now)
    return Waste(os.fsdecode(path), entry.stored, entry.layer, index, cause, aspects, moved)
