"""What pax headers say beyond plain attributes: global records, extended attributes, maps of sparse files."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import unquote_to_bytes

from .. import errors
from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["MEANT", "Sparse", "gnu_map", "headed_map", "is_xattr", "map_of", "overrides", "records", "xattrs"]

MEANT = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
"""Records that change a member when they stand in a global header."""

_STAR = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."
_DIGITS = re.compile(rb"[0-9]{1,18}")
_TIME = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")
_END = (1 << 63) - 1_000_000_000
"""Nanoseconds from the epoch that a time may be away."""
_HEADS = 1 << 20
"""Entries that a map may have at most."""
_NAME, _VALUE = 255, 64 << 10
"""Bytes of an extended attribute's name and value at most: Linux's XATTR_NAME_MAX and XATTR_SIZE_MAX."""
_SPACES = (b"user.", b"trusted.", b"security.")
_ACLS = frozenset((b"system.posix_acl_access", b"system.posix_acl_default"))
_ACL_VERSION = b"\2\0\0\0"
"""What the kernel's form of a list begins with; entries of 8 bytes follow."""


class Overrides(TypedDict, total=False):
    """Attributes that records give a member."""

    path: bytes
    linkpath: bytes
    size: int
    uid: int
    gid: int
    mtime: int


@value_class
class Sparse:
    """The map of a sparse file.

    :param size: its length, holes included.
    :param pieces: offset and length of each piece that is stored, in order.
    :param name: its name where the header has another one; ``b""`` for the header's.
    :param headed: the map stands in front of the content (GNU's format 1.0).
    """

    size: int
    pieces: tuple[tuple[int, int], ...] = ()
    name: bytes = b""
    headed: bool = False

    def check(self, stored: int, what: str) -> Iterator[tuple[int, int]]:
        """Return the pieces.

        :raises LayerFormatError: they overlap, stand in disorder, or do not fit the size or what is stored.
        """
        at = total = 0
        for start, length in self.pieces:
            if start < at or start + length > self.size:
                raise _bad_map(what)
            at, total = start + length, total + length
        if total != stored:
            raise _bad_map(what)
        return iter([piece for piece in self.pieces if piece[1]])


def _bad_map(what: str) -> errors.LayerFormatError:
    return errors.LayerFormatError(f"the map of the sparse file {what} is damaged: make the layer again")


def records(data: bytes, what: str) -> dict[bytes, bytes]:
    """Return the records of a pax header; of two with one key the last.

    The numbered pairs of GNU's sparse format 0.0 come out as one ``GNU.sparse.map``, that of format 0.1.
    """
    found: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        number = data[at:space] if space > 0 else b""
        end = at + int(number) if _DIGITS.fullmatch(number) else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not at < end <= len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise errors.LayerFormatError(f"a record of the pax header of {what} is damaged: make the layer again")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pairs.append(value)
        found[key] = value
        at = end
    if pairs and b"GNU.sparse.map" not in found:
        found[b"GNU.sparse.map"] = b",".join(pairs)
    return found


def _number(value: bytes, what: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise errors.LayerFormatError(f"a number in the pax header of {what} is damaged: make the layer again")
    return int(value)


def overrides(found: Mapping[bytes, bytes], what: str) -> Overrides:
    """Return the attributes that records give a member."""
    told: Overrides = {}
    if value := found.get(b"path"):
        told["path"] = _text(value, what)
    if value := found.get(b"linkpath"):
        told["linkpath"] = _text(value, what)
    if value := found.get(b"size"):
        told["size"] = _number(value, what)
    if value := found.get(b"uid"):
        told["uid"] = _owner(value, what)
    if value := found.get(b"gid"):
        told["gid"] = _owner(value, what)
    if value := found.get(b"mtime"):
        told["mtime"] = _time(value, what)
    return told


def _time(value: bytes, what: str) -> int:
    found = _TIME.fullmatch(value)
    if found is None:
        raise errors.LayerFormatError(f"the time in the pax header of {what} is damaged: make the layer again")
    sign, whole, fraction = found.groups(b"")
    time = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    if sign:
        # Rounded down, and what is below a nanosecond counts.
        time = -time - bool(fraction[9:].strip(b"0"))
    if not -_END < time < _END:
        raise errors.LayerFormatError(f"the time in the pax header of {what} is out of range: make the layer again")
    return time


def _owner(value: bytes, what: str) -> int:
    number = _number(value, what)
    if number >= (1 << 32) - 1:
        raise errors.LayerFormatError(f"the owner in the pax header of {what} is out of range: make the layer again")
    return number


def _text(value: bytes, what: str) -> bytes:
    if b"\0" in value:
        raise errors.LayerFormatError(f"a path in the pax header of {what} has a NUL byte: make the layer again")
    return value


def is_xattr(key: bytes) -> bool:
    """Tell whether a record is an extended attribute."""
    return key.startswith((_STAR, _LIBARCHIVE))


def xattrs(found: Mapping[bytes, bytes], what: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the extended attributes, of star's form (``SCHILY.xattr.NAME``) or libarchive's, in their order."""
    values: dict[bytes, bytes] = {}
    for key, value in found.items():
        if key.startswith(_STAR):
            values[key[len(_STAR) :]] = value
        elif key.startswith(_LIBARCHIVE):
            name = unquote_to_bytes(key[len(_LIBARCHIVE) :])
            try:
                plain = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
            except binascii.Error as error:
                raise errors.LayerFormatError(f"an attribute in the pax header of {what} is damaged") from error
            values.setdefault(name, plain)
    for name, value in values.items():
        if not name or b"\0" in name or len(name) > _NAME or name in _SPACES:
            raise errors.LayerFormatError(f"the name of an extended attribute of {what} cannot be one")
        if len(value) > _VALUE:
            raise errors.LayerFormatError(
                f"an extended attribute of {what} has {len(value)} bytes, and {_VALUE} is the most there can be"
            )
        if name in _ACLS and (value[:4] != _ACL_VERSION or len(value) % 8 != 4):
            raise errors.LayerFormatError(f"the access control list of {what} is none: make the layer again")
    # Others, as those of macOS, are nothing that Linux could keep, in whatever file system.
    return tuple((name, value) for name, value in values.items() if name in _ACLS or name.startswith(_SPACES))


def map_of(found: Mapping[bytes, bytes], what: str) -> Sparse | None:
    """Return the map of a sparse file by pax records, ``None`` where it is no sparse file."""
    name = _text(found.get(b"GNU.sparse.name", b""), what)
    if found.get(b"GNU.sparse.major") == b"1" and found.get(b"GNU.sparse.minor") == b"0":
        return Sparse(_number(found.get(b"GNU.sparse.realsize", b""), what), name=name, headed=True)
    if b"GNU.sparse.map" not in found:
        return None
    numbers = [_number(value, what) for value in found[b"GNU.sparse.map"].split(b",") if value]
    if len(numbers) % 2 or len(numbers) > 2 * _HEADS:
        raise _bad_map(what)
    size = found.get(b"GNU.sparse.size", found.get(b"GNU.sparse.realsize", b""))
    return Sparse(_number(size, what), tuple(zip(numbers[::2], numbers[1::2], strict=True)), name)


def headed_map(sparse: Sparse, read: Callable[[int], bytes]) -> Sparse:
    """Return a map that stands in front of the content: decimal lines, padded to a block (GNU's format 1.0)."""
    text = b""

    def line() -> int:
        nonlocal text
        while b"\n" not in text:
            if len(text) > 20:
                raise _bad_map("with a map in front")
            text += read(512)
        value, _, text = text.partition(b"\n")
        return _number(value, "with a map in front")

    count = line()
    if count > _HEADS:
        raise _bad_map("with a map in front")
    return Sparse(sparse.size, tuple((line(), line()) for _ in range(count)), sparse.name)


def gnu_map(header: memoryview, what: str) -> Sparse:
    """Return the map in GNU's own header of a sparse file, and the blocks behind it."""
    pieces = []
    fields = [bytes(header[386 + 24 * i : 410 + 24 * i]) for i in range(4)]
    for block in range(512, len(header), 512):
        fields += [bytes(header[block + 24 * i : block + 24 * i + 24]) for i in range(21)]
    for field in fields:
        start, length = _octal(field[:12], what), _octal(field[12:], what)
        if field[:1] != b"\0":
            pieces.append((start, length))
    return Sparse(_octal(bytes(header[483:495]), what), tuple(pieces))


def _octal(field: bytes, what: str) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        try:
            value = int(field.strip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise _bad_map(what) from error
    if not 0 <= value < 1 << 61:
        raise _bad_map(what)
    return value
