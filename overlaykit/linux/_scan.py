"""What an overlay's upper directory or a layer holds, as it is stored."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, NamedTuple

from ._lib import load
from ._trees import TreeUsage, call_with_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Scan", "ScanEntry", "ScanFlag", "scan_layer"]

_FIELDS = 13
_WORD = 8


class ScanFlag(enum.IntFlag):
    """What an entry means to overlayfs."""

    NONE = 0
    OPAQUE = 1  #: a directory that hides the directory of its name in the layers below
    WHITEOUT = 2  #: no file: its name is hidden
    UNREADABLE = 4  #: a directory that the caller may not list


class ScanEntry(NamedTuple):
    """One stored entry; times in seconds and nanoseconds since the epoch, ``flags`` of :class:`ScanFlag`."""

    path: bytes  #: relative to the layer's root, which is ``b""``
    mode: int
    ino: int
    dev: int
    nlink: int
    uid: int
    gid: int
    size: int
    rdev: int
    mtime: int
    mtime_nanoseconds: int
    ctime: int
    ctime_nanoseconds: int
    flags: int


class Scan:
    """A scanned layer: a sequence of entries in tree order, kept as it came from C.

    :param records: 13 native 64-bit integers an entry.
    :param names: their paths, each ended by a NUL.
    :param usage: what they take; not known of a scan that was written down.
    """

    __slots__ = ("names", "records", "usage")

    def __init__(self, records: bytes, names: bytes, usage: TreeUsage | None = None) -> None:
        self.records = records
        self.names = names
        self.usage = usage

    def __len__(self) -> int:
        return len(self.records) // (_FIELDS * _WORD)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scan) and self.records == other.records and self.names == other.names

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[ScanEntry]:
        numbers = iter(memoryview(self.records).cast("q"))
        paths = self.names.split(b"\0")
        del paths[-1]
        return map(ScanEntry, paths, *[numbers] * _FIELDS)

    def linked(self) -> dict[tuple[int, int], list[bytes]]:
        """Return the paths of the hard links in the layer, by device and inode; groups of one name are left out."""
        numbers = memoryview(self.records).cast("q").tolist()
        if max(numbers[3::_FIELDS], default=0) < 2:
            return {}
        groups: dict[tuple[int, int], list[bytes]] = {}
        paths = self.names.split(b"\0")
        for index, links in enumerate(numbers[3::_FIELDS]):
            at = index * _FIELDS
            if links > 1 and numbers[at] & 0o170000 != 0o040000 and not numbers[at + 12] & ScanFlag.WHITEOUT:
                groups.setdefault((numbers[at + 2], numbers[at + 1]), []).append(paths[index])
        return {key: names for key, names in groups.items() if len(names) > 1}

    def to_bytes(self) -> bytes:
        """Return the scan as one block, for a machine of the same byte order."""
        return len(self).to_bytes(_WORD, "little") + self.records + self.names

    @classmethod
    def from_bytes(cls, data: bytes) -> Scan:
        """Read what :meth:`to_bytes` gave.

        :raises ValueError: it is cut or damaged.
        """
        end = _WORD + int.from_bytes(data[:_WORD], "little") * _FIELDS * _WORD
        scan = cls(data[_WORD:end], data[end:])
        if len(data) < end or scan.names.count(b"\0") != len(scan):
            raise ValueError("a scan is damaged")
        return scan


def scan_layer(directory: int, attributes: str) -> Scan:
    """Scan an upper directory or a layer, not a merged view.

    What disappears meanwhile is left out. Other mounts are not entered.

    :param directory: the directory's descriptor.
    :param attributes: what overlayfs' own extended attributes begin with: ``"trusted.overlay."``, or
        ``"user.overlay."`` for one that is mounted with ``userxattr``.
    :returns: the root, and all below it.
    :raises OSError: something cannot be looked at; ``filename`` is its path below the directory.
    """
    native = load()
    scan = native.ffi.new("struct ok_scan *")
    call_with_path(native.lib.ok_scan, directory, os.fsencode(attributes), scan)
    try:
        size = scan.count * _FIELDS * _WORD
        return Scan(
            bytes(native.ffi.buffer(scan.records, size)),
            bytes(native.ffi.buffer(scan.names, scan.names_size)),
            TreeUsage(scan.bytes, scan.inodes),
        )
    finally:
        native.lib.ok_scan_free(scan)
