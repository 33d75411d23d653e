"""The bytes of files: pieces of fixed size, each in the layer that wrote it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from overlaykit.inodes import File, blocks_of

if TYPE_CHECKING:
    from ._snapshot import Snapshot

__all__ = ["PIECE", "SqliteFile"]

PIECE = 1 << 16
"""Bytes in a piece, at most: what is missing at its end reads as zeros."""


class SqliteFile(File):
    """A regular file.

    ``below`` says how many bytes of the version of the layers below still show: all when the file is copied up, which
    copies none of them; no more than a truncation left.
    """

    __slots__ = ("allocated", "below", "length", "snapshot")

    snapshot: Snapshot
    length: int
    allocated: int
    below: int

    @property
    def size(self) -> int:
        return self.length

    @property
    def blocks(self) -> int:
        return self.allocated

    def copy(self) -> SqliteFile:
        twin = super().copy()
        twin.snapshot, twin.length, twin.allocated, twin.below = self.snapshot, self.length, self.allocated, self.below
        return twin

    # -- pieces --------------------------------------------------------------------------------------------------

    def _find(self, what: str, first: int, last: int) -> dict[int, tuple[int, bytes]]:
        """Return the pieces that show, number to layer and ``what`` of them."""
        found: dict[int, tuple[int, bytes]] = {}
        for layer, limit in self.snapshot.versions(self):
            last = min(last, (limit - 1) // PIECE)
            if first > last:
                break
            rows = self.snapshot.database.execute(
                f"SELECT number, {what} FROM pieces WHERE layer = ? AND ino = ? AND number BETWEEN ? AND ?",
                (layer, self.ino, first, last),
            )
            for number, value in rows:
                found.setdefault(number, (layer, value))
            if len(found) > last - first:
                break
        return found

    def _piece(self, number: int) -> bytes:
        found = self._find("data", number, number)
        return found[number][1] if found else b""

    def _put(self, number: int, data: bytes, before: int) -> None:
        self.snapshot.database.execute(
            "INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?)", (self.snapshot.layer, self.ino, number, data)
        )
        self.allocated += blocks_of(len(data)) - blocks_of(before)

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, offset: int, count: int) -> bytes:
        count = min(count, self.length - offset)
        if count <= 0:
            return b""
        first, last = offset // PIECE, (offset + count - 1) // PIECE
        found = self._find("data", first, last)
        parts = []
        for number in range(first, last + 1):
            data = found[number][1] if number in found else b""
            start = max(0, offset - number * PIECE)
            end = min(PIECE, offset + count - number * PIECE)
            parts.append(data[start:end].ljust(end - start, b"\0"))
        return b"".join(parts)

    def _filled(self) -> Iterator[tuple[int, int]]:
        """Yield the stretches that are no holes, in order."""
        found = self._find("length(data)", 0, self.length // PIECE)
        for number in sorted(found):
            end = number * PIECE + blocks_of(int(found[number][1])) * 512
            yield number * PIECE, min(end, self.length)

    def seek_data(self, offset: int) -> int:
        for start, end in self._filled():
            if offset < end:
                return max(start, offset)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))

    def seek_hole(self, offset: int) -> int:
        for start, end in self._filled():
            if start <= offset < end:
                offset = end
        return offset

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, offset: int, data: memoryview) -> None:
        done, total = 0, len(data)
        while done < total:
            number, start = divmod(offset + done, PIECE)
            piece = bytes(data[done : done + PIECE - start])
            old = self._piece(number) if number * PIECE < self.length else b""
            if len(piece) < PIECE:
                piece = old[:start].ljust(start, b"\0") + piece + old[start + len(piece) :]
            self._put(number, piece, len(old))
            done += PIECE - start
        self.length = max(self.length, offset + total)

    def truncate(self, length: int) -> None:
        if length < self.length:
            number, rest = divmod(length, PIECE)
            cut = self._piece(number)[:rest] if rest else b""
            self.below = min(self.below, number * PIECE)
            self.snapshot.database.execute(
                "DELETE FROM pieces WHERE layer = ? AND ino = ? AND number >= ?",
                (self.snapshot.layer, self.ino, number),
            )
            if cut:
                self._put(number, cut, 0)
            kept = self._find("length(data)", 0, number) if length else {}
            self.allocated = sum(blocks_of(int(size)) for _, size in kept.values())
        self.length = length
