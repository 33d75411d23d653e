"""Headers of tar archives as layers want them: ustar, and a PAX header only where ustar cannot say it."""

from __future__ import annotations

import functools
import stat
from typing import TYPE_CHECKING

from .. import errors
from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BLOCK", "END", "TarHeader", "encode_header", "padding"]

BLOCK = 512
"""Bytes of a tar block; every header and every content takes a whole number of them."""

END = bytes(2 * BLOCK)
"""What an archive ends with."""

_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}

_NAME = 100
_PREFIX = 155
_SMALL = 0o7777777
"""The largest number in a field of eight bytes: mode, owner, device."""

_LARGE = 0o77777777777
"""The largest number in a field of twelve bytes: size, time."""

_SECOND = 1_000_000_000


@value_class
class TarHeader:
    """One entry of an archive.

    :param path: the name as it stands in the archive; that of a directory ends with a slash.
    :param mode: type and permission bits as ``st_mode`` has them.
    :param mtime: in nanoseconds since the epoch; may be negative.
    :param size: bytes of content that follow.
    :param target: what a symbolic link holds, or the path of the entry that a hard link is another name of.
    :param hard: whether it is a hard link.
    :param device: major and minor number of a device node.
    :param xattrs: extended attributes, in the order in which they are written.
    """

    path: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    target: bytes = b""
    hard: bool = False
    device: tuple[int, int] = (0, 0)
    xattrs: Sequence[tuple[bytes, bytes]] = ()


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a content of ``size`` bytes."""
    return bytes(-size % BLOCK)


def encode_header(header: TarHeader) -> bytes:
    """Return the blocks of one entry's header: ustar's, behind a PAX one where that is needed.

    No user and group names, no access and change times: two equal entries give equal bytes (POSIX.1-2017, pax,
    "ustar Interchange Format" and "pax Header Block").

    :raises ChangesetError: an extended attribute has a name that no archive can hold.
    """
    records: list[tuple[bytes, bytes]] = []
    seconds, nanoseconds = divmod(header.mtime, _SECOND)
    if nanoseconds or not 0 <= seconds <= _LARGE:
        records.append((b"mtime", _time(header.mtime)))
    split = _split(header.path)
    if split is None:
        records.append((b"path", header.path))
        split = b"", header.path[:_NAME]
    if len(header.target) > _NAME:
        records.append((b"linkpath", header.target))
    for key, number, most in (
        (b"uid", header.uid, _SMALL),
        (b"gid", header.gid, _SMALL),
        (b"size", header.size, _LARGE),
    ):
        if number > most:
            records.append((key, b"%d" % number))
    records += [(_xattr_key(header.path, name), value) for name, value in header.xattrs]
    if any(not _is_utf8(value) for key, value in records if key in (b"path", b"linkpath")):
        records.insert(0, (b"hdrcharset", b"BINARY"))
    kind = b"1" if header.hard else _TYPES[stat.S_IFMT(header.mode)]
    block = _block(header, kind, split, min(max(seconds, 0), _LARGE))
    return _pax(records) + block if records else block


def _block(header: TarHeader, kind: bytes, split: tuple[bytes, bytes], seconds: int) -> bytes:
    prefix, name = split
    return _checked(
        b"".join(
            (
                name.ljust(_NAME, b"\0"),
                b"%07o\0" % stat.S_IMODE(header.mode),
                b"%07o\0" % _fit(header.uid, _SMALL),
                b"%07o\0" % _fit(header.gid, _SMALL),
                b"%011o\0" % _fit(header.size, _LARGE),
                b"%011o\0" % seconds,
                b" " * 8,
                kind,
                header.target[:_NAME].ljust(_NAME, b"\0"),
                b"ustar\x0000",
                bytes(64),
                b"%07o\0%07o\0" % header.device,
                prefix.ljust(_PREFIX, b"\0"),
                bytes(12),
            )
        )
    )


def _checked(block: bytes) -> bytes:
    return b"%s%06o\0 %s" % (block[:148], sum(block), block[156:])


def _fit(number: int, most: int) -> int:
    return number if number <= most else 0


def _split(path: bytes) -> tuple[bytes, bytes] | None:
    """Return a path as ustar's two fields hold it, ``None`` where they do not."""
    if len(path) <= _NAME:
        return b"", path
    # The slash between the two fields is written in neither; a directory's last slash is no such one.
    at = path.find(b"/", max(len(path) - _NAME - 1, 1), len(path) - 1)
    return (path[:at], path[at + 1 :]) if 0 < at <= _PREFIX else None


def _time(nanoseconds: int) -> bytes:
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    fraction = b"%09d" % rest
    sign = b"-" if nanoseconds < 0 else b""
    return sign + b"%d" % seconds + (b"." + fraction.rstrip(b"0") if rest else b"")


def _xattr_key(path: bytes, name: bytes) -> bytes:
    if b"=" in name:
        raise errors.ChangesetError(
            f"the extended attribute {name!r} of {path!r} cannot be in a layer, for its name has a '=': remove it"
        )
    return b"SCHILY.xattr." + name


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pax(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    data = b"".join([_record(key, value) for key, value in records])
    return _pax_block(len(data)) + data + padding(len(data))


@functools.lru_cache(maxsize=64)
def _pax_block(size: int) -> bytes:
    # The name is for those who do not know PAX headers; that it is the same for all makes layers compress better.
    header = TarHeader(b"PaxHeaders/entry", stat.S_IFREG | 0o644, size=size)
    return _block(header, b"x", (b"", header.path), 0)


def _record(key: bytes, value: bytes) -> bytes:
    # The length counts its own digits.
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    while len(str(length)) + rest != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
