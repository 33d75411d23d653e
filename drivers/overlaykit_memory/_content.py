"""The bytes of large or sparse files: parts of fixed size, shared between snapshots until one is written."""

from __future__ import annotations

import errno
import os

from overlaykit.inodes import blocks_of

__all__ = ["PART", "Parts"]

PART = 65536
"""Bytes in a part. A file of at most one part is a single object and never comes here, unless it has holes."""


class Parts:
    """A file's bytes by part number; a missing part, and what is missing at the end of one, reads as zeros.

    Copies share the parts. ``private`` names those that this copy alone holds and may change in place: all others are
    replaced, never changed.
    """

    __slots__ = ("blocks", "parts", "private", "size")

    def __init__(self) -> None:
        self.size = 0
        self.blocks = 0
        self.parts: dict[int, bytes | bytearray] = {}
        self.private: set[int] = set()

    def copy(self) -> Parts:
        """Return a copy that shares every part."""
        twin = Parts()
        twin.size = self.size
        twin.blocks = self.blocks
        twin.parts = self.parts.copy()
        return twin

    def _put(self, number: int, part: bytes | bytearray, before: int) -> None:
        self.parts[number] = part
        self.blocks += blocks_of(len(part)) - blocks_of(before)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data`` at ``offset``; what lies between the old end and it becomes a hole."""
        view = memoryview(data)
        done, total = 0, len(view)
        while done < total:
            number, start = divmod(offset + done, PART)
            count = min(PART - start, total - done)
            piece = view[done : done + count]
            old = self.parts.get(number, b"")
            if count == PART:
                self._put(number, bytes(piece), len(old))
                self.private.discard(number)
            else:
                length = len(old)
                part = old if number in self.private and isinstance(old, bytearray) else bytearray(old)
                if length < start:
                    part.extend(bytes(start - length))
                part[start : start + count] = piece
                self._put(number, part, length)
                self.private.add(number)
            done += count
        self.size = max(self.size, offset + total)

    def read(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``offset``; fewer only at the end of the file."""
        count = min(count, self.size - offset)
        if count <= 0:
            return b""
        number, start = divmod(offset, PART)
        pieces = []
        while count:
            want = min(PART - start, count)
            part = self.parts.get(number, b"")
            piece = part if not start and want == len(part) else part[start : start + want]
            pieces.append(piece)
            if len(piece) < want:
                pieces.append(bytes(want - len(piece)))
            count -= want
            number += 1
            start = 0
        return b"".join(pieces)

    def truncate(self, length: int) -> None:
        """Cut the file, or extend it by a hole."""
        if length < self.size:
            number, rest = divmod(length, PART)
            for gone in [other for other in self.parts if other >= number]:
                if gone == number and rest:
                    part = self.parts[number]
                    if len(part) > rest:
                        self._put(number, bytes(part[:rest]), len(part))
                        self.private.discard(number)
                    continue
                self.blocks -= blocks_of(len(self.parts.pop(gone)))
                self.private.discard(gone)
        self.size = length

    def seek_data(self, offset: int) -> int:
        """Return the first offset from ``offset`` on that is no hole.

        :raises OSError: ENXIO: there is none.
        """
        if offset < self.size:
            number, start = divmod(offset, PART)
            if start < blocks_of(len(self.parts.get(number, b""))) * 512:
                return offset
            following = min((other for other in self.parts if other > number), default=None)
            if following is not None:
                return following * PART
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))

    def seek_hole(self, offset: int) -> int:
        """Return the first offset from ``offset`` on that lies in a hole; the end of the file counts as one.

        :raises OSError: ENXIO: ``offset`` is at or beyond the end.
        """
        if offset >= self.size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        number, start = divmod(offset, PART)
        while True:
            filled = blocks_of(len(self.parts.get(number, b""))) * 512
            if start >= filled:
                return min(number * PART + start, self.size)
            if filled < PART:
                return min(number * PART + filled, self.size)
            number += 1
            start = 0

    def __eq__(self, other: object) -> bool:
        """Tell whether both hold the same bytes; shared parts are not looked at."""
        if not isinstance(other, Parts):
            return NotImplemented
        if self.size != other.size:
            return False
        for number in self.parts.keys() | other.parts.keys():
            mine = self.parts.get(number, b"")
            theirs = other.parts.get(number, b"")
            if mine is not theirs and mine != theirs:
                length = max(len(mine), len(theirs))
                if bytes(mine).ljust(length, b"\0") != bytes(theirs).ljust(length, b"\0"):
                    return False
        return True

    __hash__ = None  # type: ignore[assignment]
