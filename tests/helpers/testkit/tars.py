"""Archives for the tests of the tar reader: headers made by hand, and what the reader says of them, as plain data."""

from __future__ import annotations

import io
import random
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.changeset._tar import TarReader, TarRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "END",
    "Member",
    "block",
    "chunked",
    "fuzz",
    "number",
    "padded",
    "pax",
    "plain",
    "read",
    "record",
    "sealed",
    "seeds",
]

END = bytes(1024)


@dataclass(frozen=True, slots=True)
class Member:
    """What the reader says of one member; holes are zeros."""

    kind: str
    path: bytes
    target: bytes = b""
    content: bytes = b""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    device: int = 0


def number(value: int, size: int) -> bytes:
    """Return an octal field."""
    return b"%0*o\0" % (size - 1, value)


def sealed(header: bytes) -> bytes:
    """Return a header block with its checksum."""
    total = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return header[:148] + b"%06o\0 " % total + header[156:]


def block(
    name: bytes = b"f",
    type: bytes = b"0",
    size: int | bytes = 0,
    *,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    rest: bytes = b"",
    major: bytes = b"0000000\0",
) -> bytes:
    """Return one header block; fields are raw, ``rest`` is what stands from byte 345 on instead of a prefix."""
    header = name.ljust(100, b"\0") + mode + uid + gid
    header += (number(size, 12) if isinstance(size, int) else size) + mtime + bytes(8) + type
    header += link.ljust(100, b"\0") + magic + bytes(64) + major + b"0000000\0"
    header += rest or prefix.ljust(155, b"\0")
    return sealed(header.ljust(512, b"\0"))


def padded(data: bytes) -> bytes:
    """Fill up to a block."""
    return data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """Return one record of a pax header."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest)
    while len(b"%d" % size) + len(rest) != size:
        size = len(b"%d" % size) + len(rest)
    return b"%d" % size + rest


def pax(*records: tuple[bytes, bytes], type: bytes = b"x") -> bytes:
    """Return a pax header with these records."""
    body = b"".join(record(*one) for one in records)
    return block(b"PaxHeaders/f", type, len(body)) + padded(body)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    """Cut an archive to buffers."""
    return (data[at : at + size] for at in range(0, len(data), size))


def plain(path: bytes) -> bytes:
    """Return a file's path without what a run leaves out."""
    return path[2:] if path[:2] == b"./" and len(path) > 2 else path


def read(data: bytes, size: int = 1 << 20, limits: Limits | None = None, *, content: bool = True) -> list[Member]:
    """Return the members of an archive that comes in buffers of ``size`` bytes."""
    found = []
    reader = TarReader(chunked(data, size), limits or Limits())
    for item in reader:
        if isinstance(item, TarRun):
            assert len(item) == len(item.names)
            before = item.directory + b"/" if item.directory else b""
            for name, a, data_of_it in item.files():
                path = before + name
                found.append(Member("file", path, b"", bytes(data_of_it), a.mode, a.uid, a.gid, a.mtime, a.xattrs, 0))
            continue
        a = item.attributes
        body = b""
        if content and item.kind == "file" and item.size < 1 << 26:
            body = b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in reader.data())
            assert len(body) == item.size
        found.append(
            Member(
                # A run has no "./" in front; whether a file is in one depends on where the buffers are cut.
                str(item.kind),
                plain(item.path) if item.kind == "file" else item.path,
                item.target if item.kind in ("symlink", "hardlink") else b"",
                body,
                a.mode,
                a.uid,
                a.gid,
                a.mtime,
                a.xattrs,
                item.device,
            )
        )
    return found


def _python(format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, kind, body in (
            ("d", tarfile.DIRTYPE, b""),
            ("d/" + "n" * 99, tarfile.REGTYPE, b"x" * 700),
            ("d/" + "p" * 60 + "/" + "q" * 60, tarfile.REGTYPE, b"y"),
            ("d/a", tarfile.REGTYPE, b"1"),
            ("d/b", tarfile.REGTYPE, b""),
            ("d/l", tarfile.SYMTYPE, b""),
            ("d/h", tarfile.LNKTYPE, b""),
            ("d/p", tarfile.FIFOTYPE, b""),
            ("d/c", tarfile.CHRTYPE, b""),
            (".wh.gone", tarfile.REGTYPE, b""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mode, member.mtime = kind, len(body), 0o4750, 1_700_000_000
            member.uid, member.gid = 70_000, 5
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = "d/a"
            member.devmajor, member.devminor = 5, 1
            if format == tarfile.PAX_FORMAT:
                member.pax_headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.user.a": "v"}
            archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


def seeds() -> list[bytes]:
    """Return small right archives, at least one of each format and sparse form."""
    found = [_python(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    piece = number(512, 12) + number(3, 12)
    old = bytes(41) + piece + number(2048, 12) + number(0, 12) + bytes(48) + b"\0" + number(2048, 12)
    found.append(block(b"s", b"S", 3, magic=b"ustar  \0", rest=old) + padded(b"abc") + END)
    old = bytes(41) + piece + bytes(72) + b"\1" + number(4096, 12)
    more = (number(2048, 12) + number(2, 12)).ljust(512, b"\0")
    found.append(block(b"s", b"S", 5, magic=b"ustar  \0", rest=old) + more + padded(b"abcde") + END)
    found.append(
        pax(
            (b"GNU.sparse.size", b"2048"), (b"GNU.sparse.numblocks", b"1"),
            (b"GNU.sparse.offset", b"512"), (b"GNU.sparse.numbytes", b"3"),
        )
        + block(size=3) + padded(b"abc") + END
    )  # fmt: skip
    found.append(
        pax((b"GNU.sparse.map", b"512,3"), (b"GNU.sparse.size", b"2048"), (b"GNU.sparse.name", b"real"))
        + block(size=3) + padded(b"abc") + END
    )  # fmt: skip
    body = padded(b"2\n512\n3\n2048\n0\n") + b"abc"
    found.append(
        pax(
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"real"), (b"GNU.sparse.realsize", b"2048"),
        )
        + block(size=len(body)) + padded(body) + END
    )  # fmt: skip
    found.append(
        pax((b"mtime", b"-1.5"), (b"uid", b"7"), type=b"g")
        + block(b"g1", size=1) + padded(b"z")
        + pax((b"LIBARCHIVE.xattr.user.b%20c", b"dmFsdWU"), (b"hdrcharset", b"BINARY"), (b"path", b"\xff\n"))
        + block(b"g2") + block(b"old/", b"\0", magic=bytes(8)) + block(b"sock", b"s")
        + block(b"L", b"L", 300) + padded(b"k" * 299 + b"\0") + block(b"K", b"K", 5) + padded(b"link\0")
        + block(b"cut", b"2") + END
    )  # fmt: skip
    return found


_BYTES = (0, 0x20, 0x30, 0x37, 0x38, 0x41, 0x7F, 0x80, 0xFF)
_TYPES = b"0123456789xgLKSXDVs\0?"
_WORDS = (
    b"GNU.sparse.",
    b"SCHILY.xattr.",
    b"size=",
    b"path=",
    b"mtime=",
    b"-",
    b"\n",
    b"=",
    b"9223372036854775807",
    b"1.0",
)


def _damage(chance: random.Random, corpus: list[bytes]) -> bytes:
    data = bytearray(chance.choice(corpus))
    if chance.random() < 0.3:
        # Blocks of two archives in a new order.
        blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
        other = chance.choice(corpus)
        blocks += [bytearray(other[at : at + 512]) for at in range(0, len(other), 512)]
        chance.shuffle(blocks)
        data = bytearray().join(blocks[: chance.randrange(1, 40)])
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(data))
        what = chance.randrange(5)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.choice(_BYTES)
        elif what == 2:
            word = chance.choice(_WORDS)
            data[at : at + len(word)] = word
        else:
            # A field of a header: these bytes decide the most.
            header = at // 512 * 512
            field, size = chance.choice(
                ((100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (257, 8), (345, 155), (386, 96), (482, 13))
            )
            if field == 156:
                data[header + field : header + field + 1] = bytes([chance.choice(_TYPES)])
            else:
                fill = chance.choice((b"\xff", b"7", b"0", b"\0", b"\x80" + bytes(3), b"1", b" ", b"a/"))
                data[header + field : header + field + size] = (fill * size)[:size]
    for at in range(0, len(data) - 511, 512):
        if chance.random() < 0.9 and any(data[at : at + 512]):
            data[at : at + 512] = sealed(bytes(data[at : at + 512]))
    if chance.random() < 0.1:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


def fuzz(seconds: float, seed: int, note: Callable[[bytes], None] = lambda data: None) -> int:
    """Read damaged archives, whole and in pieces: both must say the same, and say no worse than a typed error.

    :param note: called with each archive before it is read, for what does not survive it.
    :return: how many were read.
    """
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    corpus = seeds()
    count = 0
    limits = Limits(header=1 << 16, name=4096, entries=1000, xattrs=8)
    while time.monotonic() < until:
        data = _damage(chance, corpus)
        note(data)
        said: list[object] = []
        for size in (1 << 20, chance.randrange(1, 3000)):
            try:
                said.append(read(data, size, limits))
            except (errors.LayerFormatError, errors.LimitError) as error:
                said.append("refused" if "\n" not in str(error) else str(error))
        assert said[0] == said[1], data
        count += 1
    return count
