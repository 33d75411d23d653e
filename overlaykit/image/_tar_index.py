"""Where the members of a tar archive stand: only headers are read, and the archive is left as it is.

For the archives around images, which are large and have few members; layers themselves are read by
:class:`overlaykit.changeset.TarReader`. What image tools never write is refused, not understood.
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING

from .. import errors
from ..values import value_class

if TYPE_CHECKING:
    from ..changeset import Limits

__all__ = ["Member", "MemberKind", "header", "is_header", "read_index"]

_BLOCK = 512
_MOST = 200_000
"""Members: an image has a handful for each of its layers."""


class MemberKind(enum.StrEnum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    OTHER = "special file"


_KINDS = {
    b"0": MemberKind.FILE,
    b"\0": MemberKind.FILE,
    b"7": MemberKind.FILE,
    b"1": MemberKind.HARDLINK,
    b"2": MemberKind.SYMLINK,
    b"5": MemberKind.DIRECTORY,
}


@value_class
class Member:
    """One member.

    :param kind: what it is.
    :param offset: where its content begins, in bytes.
    :param size: bytes of content.
    :param target: of a link.
    """

    kind: MemberKind
    offset: int
    size: int
    target: str


def is_header(block: bytes) -> bool:
    """Return whether a block is a member's header, by its checksum."""
    return len(block) == _BLOCK and any(block) and _checksum(block)


def read_index(descriptor: int, size: int, origin: str, limits: Limits) -> dict[str, Member]:
    """Return the members by their names, without ``./`` before and ``/`` behind them.

    :param size: bytes of the archive.
    :param origin: what messages call it.
    :raises ImageFormatError: it is no tar archive, is damaged or cut short, or names a file twice.
    :raises LimitError: a header is larger than it may be, or there are too many.
    """
    members: dict[str, Member] = {}
    at = 0
    extra: dict[str, str] = {}
    count = 0
    while at < size:
        block = os.pread(descriptor, _BLOCK, at)
        if not any(block):
            break
        if len(block) < _BLOCK:
            raise _cut(origin, size)
        if not _checksum(block):
            what = "is no tar archive" if at == 0 else f"is damaged at byte {at}, where a header should be"
            raise errors.ImageFormatError(f"{origin} {what}: give an OCI or docker archive, or make it again")
        count += 1
        if count > _MOST:
            raise errors.LimitError(f"{origin} has more than {_MOST} members: it is no image", limit="entries")
        kind = block[156:157]
        length = int(extra["size"]) if "size" in extra and kind not in b"xgLK" else _number(block[124:136], origin, at)
        at += _BLOCK
        if length > size - at:
            raise _cut(origin, size)
        if kind in b"xgLK":
            limits.check("header", length, f"{origin}: a header has more bytes")
            _extend(extra, kind, os.pread(descriptor, length, at), origin)
        else:
            _add(members, block, Member(_KINDS.get(kind, MemberKind.OTHER), at, length, ""), extra, origin)
            extra = {}
        at += -(-length // _BLOCK) * _BLOCK
    return members


def _add(members: dict[str, Member], block: bytes, found: Member, extra: dict[str, str], origin: str) -> None:
    name = extra.get("path")
    if name is None:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = f"{_text(block[345:500])}/{name}"
    target = extra.get("linkpath", _text(block[157:257]))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    if not parts or found.kind is MemberKind.DIRECTORY:
        return
    if name in members:
        raise errors.ImageFormatError(f"{origin} has {name!r:.200} twice: it is ambiguous; make it again")
    members[name] = Member(found.kind, found.offset, found.size, target)


def _extend(extra: dict[str, str], kind: bytes, data: bytes, origin: str) -> None:
    if kind in b"LK":
        extra["path" if kind == b"L" else "linkpath"] = _text(data)
        return
    while data:
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or length > len(data) or not value.endswith(b"\n"):
            raise errors.ImageFormatError(f"{origin} has a damaged pax header: make or get it again")
        data = data[length:]
        # A global header says something of every member; what image tools write there is a comment.
        if kind == b"x" and key in (b"path", b"linkpath", b"size"):
            text = value[:-1].decode("utf-8", "surrogateescape")
            if key == b"size" and not (text.isascii() and text.isdigit() and len(text) < 20):
                raise errors.ImageFormatError(f"{origin} has a size in a pax header that is none: make it again")
            extra[key.decode()] = text
        elif key.startswith(b"GNU.sparse."):
            raise errors.ImageFormatError(f"{origin} has sparse members, which no image has: make it without --sparse")


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _checksum(block: bytes) -> bool:
    # The sum of all bytes, with its own field taken as spaces (POSIX ustar).
    digits = block[148:156].strip(b" \0")
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    return 0 < len(digits) < 8 and all(digit in b"01234567" for digit in digits) and int(digits, 8) == total


def _number(field: bytes, origin: str, at: int) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise errors.ImageFormatError(f"{origin}: the size in the header at byte {at} is none; make or get it again")
    return int(digits or b"0", 8)


def _cut(origin: str, size: int) -> errors.ImageFormatError:
    return errors.ImageFormatError(f"{origin} is cut short at byte {size}: make or get it again")


def header(name: str, size: int, *, directory: bool = False) -> bytes:
    """Return the header of a member that is the same whoever writes it: root's, of time 0.

    :param size: bytes of content.
    """
    path = name.encode("ascii") + (b"/" if directory else b"")
    if len(path) <= 100:
        return _ustar(path, size, b"5" if directory else b"0", 0o755 if directory else 0o644)
    record = b" path=" + path + b"\n"
    length = len(record) + 3
    extended = str(length).encode() + record
    padding = b"\0" * (-len(extended) % _BLOCK)
    # What cannot read pax sees a name that is cut off.
    return _ustar(b"PaxHeaders/path", len(extended), b"x", 0o644) + extended + padding + header(name[:100], size)


def _ustar(path: bytes, size: int, kind: bytes, mode: int) -> bytes:
    length = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    owner = b"0000000\0" * 2
    begin = path.ljust(100, b"\0") + b"%07o\0" % mode + owner + length + b"0" * 11 + b"\0"
    rest = kind + b"\0" * 100 + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2
    checksum = sum(begin) + sum(rest) + 8 * 0x20
    return (begin + b"%06o\0 " % checksum + rest).ljust(_BLOCK, b"\0")
