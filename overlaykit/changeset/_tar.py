"""Tar archives, read by the native module; this module joins the buffers and understands the rare cases."""

from __future__ import annotations

import enum
import os
import struct
from typing import TYPE_CHECKING, Any

from .. import errors
from ..driver import NodeAttributes
from ..linux._lib import load
from ..values import value_class
from . import _pax

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._limits import Limits

__all__ = ["TarEntry", "TarKind", "TarReader", "TarRun"]

_ROOM = 4096
"""Members read at once."""

_BLOCK = 512

_SECOND = 1_000_000_000

_NAMES = 1 << 20
"""Room for the names of a batch besides those that one member may have at most."""

_SIMPLE, _COMPLEX, _PARTIAL = 1, 2, 4

_KEPT = 2
"""OK_TAR_KEPT; OK_TAR_OWNERS is 1."""

_GNU_SPARSE, _GLOBAL = ord("S"), ord("g")

_LINK_TYPE, _FIFO_TYPE = ord("1"), ord("6")
"""The first and the last of the types without content."""

_RECORD = struct.Struct("=6I4q10Q")
"""struct ok_tar_entry."""

_TYPE, _FLAGS, _MODE, _MAJOR, _MINOR, _NSEC, _UID, _GID, _SIZE, _SECONDS = range(10)
_HEADER, _DATA, _PATH, _PATH_SIZE, _LINK, _LINK_SIZE, _DIRECTORY_SIZE, _PAX, _PAX_SIZE, _RUN = range(10, 20)

_FAULTS = {
    1: "its header has a wrong checksum",
    2: "a number in its header is none, or out of range",
    3: "a record of its pax header is damaged",
    5: "its path is empty, or has a NUL byte",
    6: "headers at the end belong to a member that does not come",
    7: "a block of zeros stands between two members",
}


class TarKind(enum.StrEnum):
    """What a member of an archive is."""

    FILE = "file"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    CHARACTER = "character"
    BLOCK = "block"
    DIRECTORY = "directory"
    FIFO = "fifo"
    SOCKET = "socket"


_KINDS = {
    0x31: TarKind.HARDLINK,
    0x32: TarKind.SYMLINK,
    0x33: TarKind.CHARACTER,
    0x34: TarKind.BLOCK,
    0x35: TarKind.DIRECTORY,
    0x36: TarKind.FIFO,
    0x73: TarKind.SOCKET,
}


@value_class
class TarEntry:
    """One member.

    :param kind: what it is; what is unknown is a file (POSIX pax, "typeflag").
    :param path: as the archive has it, long names and prefixes joined.
    :param target: of a symbolic or hard link.
    :param size: bytes of content that come out of it, holes included.
    :param attributes: mode, owner, time, extended attributes.
    :param device: of a device node, as :func:`os.makedev` gives it.
    :param offset: where its header stands in the archive, in bytes.
    """

    kind: TarKind
    path: bytes
    target: bytes
    size: int
    attributes: NodeAttributes
    device: int
    offset: int


class TarRun:
    """Small files one after another in one directory; a :class:`overlaykit.driver.FileRun`.

    It is only good until the reader goes on; using it later is a :class:`ValueError`.

    :ivar directory: the directory's path, of plain components; ``b""`` for the root.
    """

    def __init__(self, batch: _Batch, first: int, count: int) -> None:
        self._batch = batch
        self._scan = batch.scans
        self._first = first
        self._count = count
        entry = batch.fields(first)
        self.directory = batch.name(entry[_PATH], entry[_DIRECTORY_SIZE])

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> list[bytes]:
        """The names, in order."""
        start = len(self.directory) + 1 if self.directory else 0
        name = self._batch.name
        return [name(f[_PATH] + start, f[_PATH_SIZE] - start) for f in self._fields()]

    @property
    def size(self) -> int:
        """Bytes of content of all of them."""
        return sum(f[_SIZE] for f in self._fields())

    def _check(self) -> None:
        # The buffer that C would read from is another one by then.
        if self._batch.scans != self._scan:
            raise ValueError("the reader has gone on: a run of files is good until then")

    def _fields(self) -> Iterator[tuple[int, ...]]:
        self._check()
        start = self._first * _RECORD.size
        return _RECORD.iter_unpack(self._batch.records[start : start + self._count * _RECORD.size])

    def files(self) -> Iterator[tuple[bytes, NodeAttributes, memoryview]]:
        """Yield name, attributes and content of each."""
        start = len(self.directory) + 1 if self.directory else 0
        for f in self._fields():
            yield (
                self._batch.name(f[_PATH] + start, f[_PATH_SIZE] - start),
                NodeAttributes(f[_MODE], f[_UID], f[_GID], f[_SECONDS] * _SECOND + f[_NSEC]),
                self._batch.buffer[f[_DATA] : f[_DATA] + f[_SIZE]],
            )

    def write_to(self, directory: int, *, owners: bool = True, kept: bool = False) -> None:
        """Write all of them below a directory's descriptor, each in place of what is there.

        :param owners: set owner and group, which takes privileges.
        :param kept: keep owner and mode in an extended attribute instead.
        :raises OSError: the first that could not be written; ``filename`` is its path.
        """
        self._check()
        self._batch.write(directory, self._first, self._count, _KEPT if kept else owners)


class _Batch:
    """The native module's view of one buffer."""

    def __init__(self, limits: Limits) -> None:
        native = load("images and their layers need it")
        self._ffi, self._lib = native.ffi, native.lib
        self._entries = self._ffi.new("struct ok_tar_entry[]", _ROOM)
        headers = min(limits.header, 1 << 26)
        self._names = self._ffi.new("char[]", headers + _NAMES)
        self.native = self._ffi.new("struct ok_tar_batch *")
        self.native.entries = self._entries
        self.native.room = _ROOM
        self.native.names = self._names
        self.native.names_room = headers + _NAMES
        self.native.header_limit = headers
        self.native.name_limit = limits.name
        self.buffer = memoryview(b"")
        self.records = memoryview(b"")
        self._text = self._ffi.buffer(self._names)
        self._address: Any = None
        self.scans = 0

    def scan(self, buffer: memoryview, *, last: bool) -> int:
        self.buffer = buffer
        self.scans += 1
        self._address = self._ffi.from_buffer("uint8_t[]", buffer)
        result: int = self._lib.ok_tar_scan(self._address, len(buffer), last, self.native)
        self.records = memoryview(self._ffi.buffer(self._entries, self.native.count * _RECORD.size))
        return result

    def fields(self, index: int) -> tuple[int, ...]:
        return _RECORD.unpack_from(self.records, index * _RECORD.size)

    def name(self, at: int, size: int) -> bytes:
        found: bytes = self._text[at : at + size]
        return found

    def write(self, directory: int, first: int, count: int, how: int) -> None:
        failed = self._ffi.new("size_t *")
        result = self._lib.ok_tar_write(
            directory, self._address, self._entries + first, count, self._names, how, failed
        )
        if result < 0:
            f = self.fields(first + failed[0])
            raise OSError(-result, os.strerror(-result), os.fsdecode(self.name(f[_PATH], f[_PATH_SIZE])))


class TarReader:
    """Reads an archive from buffers, one pass, without seeking.

    ustar with prefixes, GNU (long names, sparse files, numbers in base 256) and pax (POSIX.1-2001, global headers,
    extended attributes of star and libarchive, the three sparse formats of GNU).

    :param chunks: buffers, of about a megabyte for speed; read-only once given.
    :param limits: what is refused.
    """

    def __init__(self, chunks: Iterable[bytes | memoryview], limits: Limits) -> None:
        self._chunks = iter(chunks)
        self._limits = limits
        self._batch = _Batch(limits)
        self._globals: dict[bytes, bytes] = {}
        self._buffer = memoryview(b"")
        self._offset = 0  # of the buffer in the archive
        self._at = 0  # where the content of the member goes on in the buffer
        self._left = 0  # bytes of the member's content that are not read yet
        self._padding = 0
        self._last = False
        self._sparse: _pax.Sparse | None = None
        self._path = b""
        self.entries = 0

    def __iter__(self) -> Iterator[TarEntry | TarRun]:
        """Yield the members; small plain files as runs.

        :raises LayerFormatError: the archive is damaged or cut short; the message has the place.
        :raises LimitError: a limit is exceeded.
        """
        native = self._batch.native
        while True:
            if self._batch.scan(self._buffer, last=self._last) < 0:
                raise self._fault(native.fault, native.fault_at)
            count, consumed, buffer = native.count, native.consumed, self._buffer
            self.entries += count
            self._limits.check("entries", self.entries, "the archive has more members")
            index = 0
            while index < count:
                f = self._batch.fields(index)
                if f[_FLAGS] & _SIMPLE:
                    yield TarRun(self._batch, index, f[_RUN])
                    index += f[_RUN]
                    continue
                index += 1
                entry = self._begin(f)
                if entry is not None:
                    yield entry
                self._skip()
            if self._buffer is buffer:
                self._advance(consumed)
            if native.ended:
                return
            if count == 0 and not self._more():
                if len(self._buffer) == 0 and self.entries:
                    return  # the blocks of zeros at the end are missing: nobody minds
                if len(self._buffer) == _BLOCK and not any(self._buffer):
                    return
                raise errors.LayerFormatError(
                    f"the archive is cut short at byte {self._offset + len(self._buffer)}: fetch or make it again"
                )

    def data(self) -> Iterator[memoryview | int]:
        """Yield the content of the file that was yielded last: buffers, and the lengths of holes.

        :raises LayerFormatError: it is cut short, or its map is damaged.
        """
        if self._sparse is None:
            yield from self._stored(self._left)
            return
        sparse, size = self._sparse, self._left
        if sparse.headed:
            sparse = _pax.headed_map(sparse, self._exact)
            size = self._left
        at = 0
        for start, length in sparse.check(size, self._what):
            if start > at:
                yield start - at
            yield from self._stored(length)
            at = start + length
        if sparse.size > at:
            yield sparse.size - at

    # -- the buffer --------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Put the next chunk behind what is left of the buffer."""
        for chunk in self._chunks:
            if len(chunk):
                view = memoryview(chunk)
                self._buffer = memoryview(b"".join((self._buffer, view))) if len(self._buffer) else view
                return True
        self._last, was = True, self._last
        return not was

    def _advance(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._offset += count

    def _stored(self, size: int) -> Iterator[memoryview]:
        while size:
            if self._at == len(self._buffer):
                self._advance(self._at)
                self._at = 0
                if not self._more() or not len(self._buffer):
                    raise errors.LayerFormatError(
                        f"the archive is cut short in {self._what}, at byte {self._offset}: fetch or make it again"
                    )
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            self._left -= len(piece)
            size -= len(piece)
            yield piece

    def _exact(self, size: int) -> bytes:
        if size > self._left:
            raise errors.LayerFormatError(f"the map of the sparse file {self._what} is damaged: make the layer again")
        return b"".join(self._stored(size))

    def _skip(self) -> None:
        """Go to the end of the member, where its content lies across buffers."""
        if not self._partial:
            return
        for _ in self._stored(self._left):
            pass
        # The content is whole: padding that is missing at the end of all (umoci's insert writes none) loses nothing.
        self._advance(self._at)
        self._at = 0
        while self._padding > len(self._buffer) and self._more():
            pass
        self._advance(min(self._padding, len(self._buffer)))

    @property
    def _what(self) -> str:
        return repr(os.fsdecode(self._path))

    # -- one member --------------------------------------------------------------------------------------------------

    def _begin(self, f: tuple[int, ...]) -> TarEntry | None:
        path = self._batch.name(f[_PATH], f[_PATH_SIZE])
        target = self._batch.name(f[_LINK], f[_LINK_SIZE])
        self._path = path
        self._partial = bool(f[_FLAGS] & _PARTIAL)
        self._at, self._left, self._padding = f[_DATA], f[_SIZE], -f[_SIZE] % _BLOCK
        self._sparse = None
        offset = self._offset + f[_HEADER]
        if f[_TYPE] == _GLOBAL:
            self._limits.check("header", f[_SIZE], f"the global header at byte {offset} is longer")
            self._globals.update(_pax.records(b"".join(self._stored(f[_SIZE])), self._what))
            # An empty value takes a record back. What no global header may say (the map of a sparse file) says nothing.
            self._globals = {
                key: value
                for key, value in self._globals.items()
                if value and (key in _pax.MEANT or _pax.is_xattr(key))
            }
            self._batch.native.all_complex = bool(self._globals)
            return None
        seconds, nsec, uid, gid, size = f[_SECONDS], f[_NSEC], f[_UID], f[_GID], f[_SIZE]
        mtime = seconds * _SECOND + nsec
        extended: tuple[tuple[bytes, bytes], ...] = ()
        found: dict[bytes, bytes] = {}
        if f[_FLAGS] & _COMPLEX:
            found = _pax.records(bytes(self._buffer[f[_PAX] : f[_PAX] + f[_PAX_SIZE]]), self._what)
        if self._globals or found:
            merged = {**self._globals, **found}
            merged = {key: value for key, value in merged.items() if value or _pax.is_xattr(key)}
            told = _pax.overrides(merged, self._what)
            path, target = told.get("path", path), told.get("linkpath", target)
            uid, gid, mtime = told.get("uid", uid), told.get("gid", gid), told.get("mtime", mtime)
            if told.get("size", size) != size and not _LINK_TYPE <= f[_TYPE] <= _FIFO_TYPE:
                raise errors.LayerFormatError(
                    f"a global header gives {self._what} another size than its own: make the layer again"
                )
            extended = _pax.xattrs(merged, self._what)
            self._limits.check("xattrs", len(extended), f"{self._what} has more extended attributes")
            self._sparse = _pax.map_of(merged, self._what)
            if self._sparse is not None and self._sparse.name:
                path = self._sparse.name
        if f[_TYPE] == _GNU_SPARSE:
            self._sparse = _pax.gnu_map(self._buffer[f[_HEADER] : f[_DATA]], self._what)
        if self._sparse is not None:
            size = self._sparse.size
        for text in (path, target):
            self._limits.check("name", len(text), f"a path at byte {offset} of the archive is longer")
        kind = _KINDS.get(f[_TYPE], TarKind.FILE)
        device = os.makedev(f[_MAJOR], f[_MINOR]) if kind in (TarKind.CHARACTER, TarKind.BLOCK) else 0
        attributes = NodeAttributes(f[_MODE], uid, gid, mtime, extended)
        return TarEntry(kind, path, target, size, attributes, device, offset)

    def _fault(self, fault: int, at: int) -> Exception:
        place = f"byte {self._offset + at}"
        if fault == _FAULT_LONG:
            return errors.LimitError(
                f"the headers of the member at {place} are longer than the limit header of {self._limits.header} "
                "takes: raise it to go on",
                limit="header",
            )
        return errors.LayerFormatError(f"the member at {place} of the archive is damaged: {_FAULTS[fault]}")


_FAULT_LONG = 4
