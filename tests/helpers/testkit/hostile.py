"""Layers that mean harm or are broken: what each is, and how it must be refused."""

from __future__ import annotations

import gzip
import os
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from overlaykit import errors
from overlaykit.changeset import Limits
from testkit.images import digest
from testkit.layer_model import archive, char, d, f, h, o, s, w
from testkit.tars import END, block, number, padded, pax

__all__ = ["BASE", "LAYERS", "LIMITS", "TAKEN", "BadLayer"]

LIMITS = Limits(
    entries=2000,
    expanded=24 << 20,
    ratio=100,
    ratio_from=1 << 20,
    window=8 << 20,
    name=4096,
    header=256 << 10,
    xattrs=16,
    depth=200,
    document=1 << 20,
)
"""Small, so that what is beyond them is small too."""

_FORMAT = errors.LayerFormatError
_LIMIT = errors.LimitError
_IMAGE = errors.ImageFormatError
_MEDIA = errors.MediaTypeError
_DIGEST = errors.DigestMismatchError

BASE = archive([d("d"), f("d/old", "old"), f("b.txt", "b"), s("lnk", "d"), s("out", "/../../beside"), f("f", "x")])


@dataclass(frozen=True)
class BadLayer:
    """A layer that is refused.

    :param blob: makes it.
    :param error: the type of the error.
    :param says: a part of its message, as a regular expression.
    :param wanted: what the caller says that it is: ``digest``, ``diff_id``, ``size``.
    """

    blob: Callable[[], bytes]
    error: type[errors.OverlaykitError]
    says: str
    wanted: Mapping[str, Any] = field(default_factory=dict)


def _file(name: bytes = b"f", data: bytes = b"content") -> bytes:
    return block(name, size=len(data)) + padded(data)


_HONEST = _file() + END
_GZIP = gzip.compress(archive([f("f", bytes(range(256)) * 400)]), 6, mtime=0)


def _zstd(data: bytes) -> bytes:
    from overlaykit.changeset._zstd import zstd

    return bytes(zstd.compress(data))


def _wide_frame() -> bytes:
    from overlaykit.changeset._zstd import zstd

    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    data: bytes = compressor.compress(random.Random(1).randbytes(1 << 20)) + compressor.flush()
    return data


def _changed(data: bytes, at: int, to: bytes) -> bytes:
    return data[:at] + to + data[at + len(to) :]


def _many(count: int) -> bytes:
    return b"".join(block(b"f%d" % i) for i in range(count)) + END


def _old_sparse(pieces: list[tuple[int, int]], size: int, stored: int) -> bytes:
    first = b"".join(number(start, 12) + number(length, 12) for start, length in pieces[:4]).ljust(96, b"\0")
    rest = bytes(41) + first + (b"\1" if len(pieces) > 4 else b"\0") + number(size, 12)
    out = block(b"s", b"S", stored, magic=b"ustar  \0", rest=rest)
    for at in range(4, len(pieces), 21):
        more = b"".join(number(start, 12) + number(length, 12) for start, length in pieces[at : at + 21])
        out += more.ljust(504, b"\0") + (b"\1" if len(pieces) > at + 21 else b"\0") + bytes(7)
    return out + padded(b"x" * stored) + END


def _sparse(size: bytes, numbers: bytes, stored: int = 3) -> bytes:
    return pax((b"GNU.sparse.map", numbers), (b"GNU.sparse.size", size)) + block(size=stored) + padded(b"abc") + END


def _headed(text: bytes, size: bytes = b"2048", more: bytes = b"abc") -> bytes:
    body = padded(text) + more
    told = (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", size)
    return pax(*told) + block(size=len(body)) + padded(body) + END


def _with(*records: tuple[bytes, bytes]) -> bytes:
    return pax(*records) + _file() + END


def _numbered(index: int) -> bytes:
    # A member whose named field is 2^63 in base 256.
    huge = b"\x80" + bytes(10) + b"\xff"
    fields = {
        "uid": b"\x80\0\0\xff" + bytes(4),
        "size": b"\x80\0\0\x7f" + b"\xff" * 8,
        "mtime": b"\x80\0\0\x7f" + huge[:8],
    }
    name = list(fields)[index]
    return block(**{name: fields[name]}) + END


def _deflate_bomb() -> bytes:
    return gzip.compress(bytes(8 << 20), 9, mtime=0)


LAYERS: dict[str, BadLayer] = {
    # What inflates or multiplies.
    "gzip bomb": BadLayer(_deflate_bomb, _LIMIT, "times its size"),
    "gzip bomb of many members": BadLayer(lambda: gzip.compress(bytes(32 << 10), 9, mtime=0) * 200, _LIMIT, "times"),
    "zstd bomb": BadLayer(lambda: _zstd(bytes(8 << 20)), _LIMIT, "times its size"),
    "zstd bomb of many frames": BadLayer(lambda: _zstd(bytes(1 << 20)) * 8, _LIMIT, "times"),
    "bomb behind an honest beginning": BadLayer(
        lambda: gzip.compress(_file(), 6, mtime=0) + gzip.compress(bytes(8 << 20), 9, mtime=0), _LIMIT, "times"
    ),
    "bomb behind the archive's end": BadLayer(lambda: gzip.compress(_HONEST + bytes(8 << 20)), _LIMIT, "times"),
    "a file larger than the limit": BadLayer(
        lambda: block(size=25 << 20) + bytes(25 << 20) + END, _LIMIT, "are longer"
    ),
    "a size larger than the limit": BadLayer(lambda: _with((b"size", b"%d" % (1 << 60))), _LIMIT, "are longer"),
    "files larger than the limit together": BadLayer(
        lambda: _file(data=random.Random(0).randbytes(1 << 20)) * 25 + END, _LIMIT, "inflates to more|are longer"
    ),
    "a hole larger than the limit": BadLayer(lambda: _sparse(b"%d" % (1 << 40), b"0,3"), _LIMIT, "are longer"),
    "holes larger than the limit together": BadLayer(
        lambda: b"".join(_sparse(b"%d" % (5 << 20), b"0,3")[:-1024] for _ in range(6)) + END, _LIMIT, "are longer"
    ),
    "an old sparse file larger than the limit": BadLayer(
        lambda: _old_sparse([(0, 3)], 8**11 - 1, 3), _LIMIT, "are longer"
    ),
    "a zstd frame with a wide window": BadLayer(_wide_frame, _LIMIT, "window"),
    "too many members": BadLayer(lambda: _many(2001), _LIMIT, "more members"),
    "too many members that are nothing": BadLayer(
        lambda: b"".join(block(b".wh.x%d" % i) for i in range(2001)) + END, _LIMIT, "more members"
    ),
    # Headers.
    "a pax header of a gigabyte": BadLayer(lambda: block(b"h", b"x", 1 << 30) + bytes(1024), _LIMIT, "header"),
    "a pax header that is too long": BadLayer(lambda: _with((b"comment", b"x" * 300_000)), _LIMIT, "header"),
    "a global header of a gigabyte": BadLayer(
        lambda: block(b"h", b"g", 1 << 30) + bytes(1024), _LIMIT, "global header"
    ),
    "headers without end": BadLayer(
        lambda: pax((b"comment", b"x" * 900)) * 400 + _file() + END, _LIMIT, "headers of the member"
    ),
    "long names without end": BadLayer(
        lambda: (block(b"L", b"L", 1000) + padded(b"n" * 1000)) * 400 + _file() + END, _LIMIT, "headers of the member"
    ),
    "a long name of a gigabyte": BadLayer(lambda: block(b"L", b"L", 1 << 30) + bytes(1024), _LIMIT, "header"),
    "a path that is too long": BadLayer(lambda: _with((b"path", b"/".join([b"p" * 200] * 30))), _LIMIT, "path"),
    "a link's target that is too long": BadLayer(
        lambda: pax((b"linkpath", b"t" * 5000)) + block(b"l", b"2") + END, _LIMIT, "path"
    ),
    "a path that is too deep": BadLayer(lambda: _with((b"path", b"/".join([b"p"] * 300))), _LIMIT, "deeper"),
    "a symbolic link that leads too deep": BadLayer(
        lambda: archive([s("l", "/".join("a" * 250)), f("l/x", "x")]), _LIMIT, "deeper"
    ),
    "too many attributes": BadLayer(
        lambda: _with(*((b"SCHILY.xattr.user.a%d" % i, b"x") for i in range(17))), _LIMIT, "attributes"
    ),
    "a name that is too long": BadLayer(lambda: archive([f("n" * 256, "x")]), _FORMAT, "256 bytes"),
    "a negative size": BadLayer(lambda: block(size=b"\xff" * 12) + END, _FORMAT, "number"),
    "a negative size in a pax header": BadLayer(lambda: _with((b"size", b"-1")), _FORMAT, "number"),
    "a size beyond all files": BadLayer(lambda: _numbered(1), _FORMAT, "number"),
    "a size beyond 64 bits": BadLayer(lambda: _with((b"size", b"9" * 40)), _FORMAT, "number"),
    "an owner beyond 32 bits": BadLayer(lambda: _numbered(0), _FORMAT, "number"),
    "an owner that is nobody at all": BadLayer(lambda: _with((b"uid", b"4294967295")), _FORMAT, "number"),
    "a time beyond 64 bits": BadLayer(lambda: _numbered(2), _FORMAT, "number"),
    "a time that is none": BadLayer(lambda: _with((b"mtime", b"12:30")), _FORMAT, "number"),
    "a size that is no number": BadLayer(lambda: block(size=b"1234567z\0\0\0\0") + END, _FORMAT, "number"),
    "a wrong checksum": BadLayer(lambda: _changed(_HONEST, 0, b"g"), _FORMAT, "checksum"),
    "a wrong checksum later": BadLayer(lambda: _file() + _changed(_HONEST, 100, b"7"), _FORMAT, "byte 1024"),
    "text instead of an archive": BadLayer(lambda: b"<html>not found</html>\n" * 100, _FORMAT, "checksum"),
    "a pax record without end": BadLayer(
        lambda: block(b"h", b"x", 20) + padded(b"9999 path=x\n") + _file() + END, _FORMAT, "pax"
    ),
    "a pax record of no length": BadLayer(
        lambda: block(b"h", b"x", 10) + padded(b"0 path=x\n\n") + _file() + END, _FORMAT, "pax"
    ),
    "a pax record with digits without end": BadLayer(
        lambda: block(b"h", b"x", 900) + padded(b"1" * 900) + _file() + END, _FORMAT, "pax"
    ),
    "a pax header of nothing": BadLayer(lambda: pax((b"path", b"x")) + END, _FORMAT, "belong|zeros|not come"),
    "a path with a NUL byte": BadLayer(lambda: _with((b"path", b"a\0b")), _FORMAT, "NUL"),
    "a path of nothing": BadLayer(lambda: block(b"") + END, _FORMAT, "path"),
    "an attribute without a name": BadLayer(lambda: _with((b"SCHILY.xattr.", b"x")), _FORMAT, "attribute"),
    "an attribute whose name is too long": BadLayer(
        lambda: _with((b"SCHILY.xattr.user." + b"n" * 300, b"x")), _FORMAT, "attribute"
    ),
    "an attribute of a name's beginning": BadLayer(lambda: _with((b"SCHILY.xattr.user.", b"x")), _FORMAT, "attribute"),
    "an ACL that is none": BadLayer(
        lambda: _with((b"SCHILY.xattr.system.posix_acl_access", b"x" * 20)), _FORMAT, "access control"
    ),
    "an attribute that is too large": BadLayer(
        lambda: _with((b"SCHILY.xattr.user.big", b"x" * 70_000)), _FORMAT, "attribute"
    ),
    # Maps of sparse files.
    "pieces that overlap": BadLayer(lambda: _sparse(b"2048", b"0,2,1,1"), _FORMAT, "map"),
    "pieces in disorder": BadLayer(lambda: _sparse(b"2048", b"512,2,0,1"), _FORMAT, "map"),
    "a piece beyond the end": BadLayer(lambda: _sparse(b"10", b"9,3"), _FORMAT, "map"),
    "pieces that are more than is stored": BadLayer(lambda: _sparse(b"2048", b"0,1000"), _FORMAT, "map"),
    "a map that is cut short": BadLayer(lambda: _sparse(b"2048", b"0,2,512"), _FORMAT, "map"),
    "a map of negative numbers": BadLayer(lambda: _sparse(b"2048", b"-5,3"), _FORMAT, "number"),
    "a map with numbers without end": BadLayer(lambda: _sparse(b"2048", b"9" * 5000 + b",3"), _FORMAT, "number|map"),
    "an old map that overlaps": BadLayer(lambda: _old_sparse([(0, 2), (1, 1)], 2048, 3), _FORMAT, "map"),
    "an old map without end": BadLayer(
        lambda: _old_sparse([(i * 2, 1) for i in range(12_000)], 1 << 20, 12_000), _LIMIT, "header"
    ),
    "a map in front that counts too much": BadLayer(lambda: _headed(b"99999999999\n0\n3\n"), _FORMAT, "map"),
    "a map in front without lines": BadLayer(lambda: _headed(b"1" * 512), _FORMAT, "map"),
    "a map in front that overlaps": BadLayer(lambda: _headed(b"2\n0\n2\n1\n1\n"), _FORMAT, "map"),
    "a map in front that is cut short": BadLayer(lambda: _headed(b"3\n0\n3\n", more=b""), _FORMAT, "map|number"),
    # Cut short, damaged, longer than they should be.
    "cut in a header": BadLayer(lambda: _HONEST[:300], _FORMAT, "cut short"),
    "cut in a file": BadLayer(lambda: block(size=5000) + bytes(700), _FORMAT, "cut short"),
    "cut in a large file": BadLayer(lambda: block(size=5 << 20) + os.urandom(3 << 20), _FORMAT, "cut short"),
    "cut in a pax header": BadLayer(lambda: pax((b"path", b"p" * 2000))[:1100], _FORMAT, "cut short"),
    "cut between a pax header and its file": BadLayer(lambda: pax((b"path", b"p")), _FORMAT, "cut short"),
    "gzip that is cut short": BadLayer(lambda: _GZIP[:-30], _FORMAT, "end too early"),
    "gzip without its checksum": BadLayer(lambda: _GZIP[:-8], _FORMAT, "end too early"),
    "gzip with a wrong checksum": BadLayer(lambda: _changed(_GZIP, len(_GZIP) - 8, b"\0\0\0\0"), _FORMAT, "damaged"),
    "gzip with a wrong length": BadLayer(lambda: _changed(_GZIP, len(_GZIP) - 4, b"\0\0\0\0"), _FORMAT, "damaged"),
    "gzip with a damaged middle": BadLayer(
        lambda: _changed(_GZIP, len(_GZIP) // 2, b"\xff" * 8), _FORMAT, "damaged|early|follows"
    ),
    "gzip with garbage behind it": BadLayer(lambda: _GZIP + b"garbage", _FORMAT, "follows"),
    "gzip with zstd behind it": BadLayer(lambda: _GZIP + _zstd(b"x"), _FORMAT, "follows"),
    "zstd that is cut short": BadLayer(lambda: _zstd(_HONEST)[:-3], _FORMAT, "end too early"),
    "zstd that is damaged": BadLayer(
        lambda: _changed(_zstd(random.Random(2).randbytes(5000)), 6, b"\xff" * 40), _FORMAT, "damaged|early"
    ),
    "zstd with garbage behind it": BadLayer(lambda: _zstd(_HONEST) + b"garbage", _FORMAT, "follows"),
    "raw deflate": BadLayer(lambda: zlib.compress(_HONEST), _FORMAT, "checksum|cut short"),
    "bzip2": BadLayer(lambda: b"BZh91AY&SY" + bytes(100), _MEDIA, "bzip2"),
    "xz": BadLayer(lambda: b"\xfd7zXZ\0" + bytes(100), _MEDIA, "xz"),
    "a zip file": BadLayer(lambda: b"PK\3\4" + bytes(100), _MEDIA, "zip"),
    "a member behind a block of zeros": BadLayer(lambda: _file() + bytes(512) + _file() + END, _FORMAT, "zeros"),
    # Paths and links.
    "a whiteout of nothing": BadLayer(lambda: archive([f(".wh.")]), _FORMAT, "whiteout of nothing"),
    "a whiteout of the parent": BadLayer(lambda: archive([f("d/.wh...")]), _FORMAT, "whiteout of nothing"),
    "a path below a whiteout": BadLayer(lambda: archive([f(".wh.d/x", "x")]), _FORMAT, "below a whiteout"),
    "a device that is a whiteout": BadLayer(lambda: archive([char("b.txt", 0, 0)]), _FORMAT, "0:0"),
    "a hard link to a file of the host": BadLayer(lambda: archive([h("p", "/etc/passwd")]), _FORMAT, "etc/passwd"),
    "a hard link that climbs out": BadLayer(
        lambda: archive([h("p", "../../../../../../etc/passwd")]), _FORMAT, "etc/passwd"
    ),
    "a hard link through a symbolic link out": BadLayer(
        lambda: archive([s("e", "/etc"), h("p", "e/passwd")]), _FORMAT, "passwd"
    ),
    "a hard link to a directory": BadLayer(lambda: archive([h("p", "d")]), _FORMAT, "directory"),
    "a hard link to the root": BadLayer(lambda: archive([h("p", "/")]), _FORMAT, "directory"),
    "a hard link to itself": BadLayer(lambda: archive([f("p", "x"), h("p", "p")]), _FORMAT, "itself"),
    "a hard link to what comes later": BadLayer(lambda: archive([h("p", "q"), f("q", "x")]), _FORMAT, "'q'"),
    "a file where the root is": BadLayer(lambda: archive([f("d/..")]), _FORMAT, "directory"),
    "a symbolic link where the root is": BadLayer(lambda: archive([s("d/..", "/etc")]), _FORMAT, "directory"),
    "a symbolic link to nothing": BadLayer(lambda: block(b"l", b"2") + END, _FORMAT, "target"),
    "a symbolic link that no file system takes": BadLayer(
        lambda: pax((b"linkpath", b"t" * 4096)) + block(b"long", b"2") + END,
        errors.UnsupportedError,
        "'long'.*too long",
    ),
    "symbolic links in a circle": BadLayer(lambda: archive([s("a", "b"), s("b", "a"), f("a/x", "x")]), _FORMAT, "loop"),
    "symbolic links that multiply": BadLayer(
        lambda: archive([s(f"l{i}", f"l{i + 1}/l{i + 1}") for i in range(50)] + [f("l0/x", "x")]),
        _FORMAT,
        "loop",
    ),
    # Not what the caller wants.
    "another blob": BadLayer(lambda: _GZIP, _DIGEST, "the blob", {"digest": digest(b"other")}),
    "another blob, damaged": BadLayer(lambda: _GZIP[:-9], _DIGEST, "the blob", {"digest": digest(b"other")}),
    "another layer": BadLayer(lambda: _GZIP, _DIGEST, "uncompressed", {"diff_id": digest(b"other")}),
    "a blob that is longer": BadLayer(lambda: _GZIP, _FORMAT, "more than the", {"size": 100}),
    "a blob that is shorter": BadLayer(lambda: _GZIP, _FORMAT, "cut short", {"size": 10_000_000}),
    "a digest that is none": BadLayer(lambda: _GZIP, _IMAGE, "no digest", {"digest": "sha256:../../etc/passwd"}),
    "a digest of another algorithm": BadLayer(lambda: _GZIP, _IMAGE, "no digest", {"digest": "md5:" + "0" * 32}),
}


TAKEN: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "names that climb": (lambda: archive([f("../../../evil", "e"), f("d/../../../evil2", "e")]), {"evil", "evil2"}),
    "absolute names": (lambda: archive([f("/etc/evil", "e"), f("///evil", "e")]), {"etc", "etc/evil", "evil"}),
    "through a symbolic link that climbs": (
        lambda: archive([s("up", "../../../.."), f("up/evil", "e")]),
        {"up", "evil"},
    ),
    "through a symbolic link of below": (lambda: archive([f("out/evil", "e")]), {"beside", "beside/evil"}),
    "through an absolute symbolic link": (
        lambda: archive([s("t", "/tmp"), f("t/evil", "e")]),
        {"t", "tmp", "tmp/evil"},
    ),
    "through a symbolic link that takes a directory's place": (
        lambda: archive([d("x"), f("x/1", "1"), s("x", "/../../beside"), f("x/2", "2")]),
        {"x", "beside", "beside/2"},
    ),
    "through a hard link to a symbolic link": (
        lambda: archive([s("x", "/../../beside"), h("y", "x"), f("y/2", "2")]),
        {"x", "y", "beside", "beside/2"},
    ),
    "whiteouts that climb": (lambda: archive([w("../../../../beside"), w("../b.txt"), w("/nothing")]), set()),
    "opaque markers that climb": (lambda: archive([f("../../.wh..wh..opq"), o("out")]), set()),
    "a link over a directory in use": (
        lambda: archive([f("d/n", "n"), s("d", "/etc"), f("d/evil", "e")]),
        {"d", "etc", "etc/evil"},
    ),
    "zeros behind the end": (lambda: gzip.compress(_HONEST) + bytes(4096), {"f"}),
    "garbage behind the archive's end": (lambda: _HONEST + b"garbage" * 100, {"f"}),
    "attributes that Linux does not have": (
        lambda: _with((b"SCHILY.xattr.nothing", b"x"), (b"SCHILY.xattr.com.apple.quarantine", b"x")),
        {"f"},
    ),
    "an archive without its last padding": (lambda: _file()[:-20], {"f"}),
    "an archive of nothing": (lambda: END, set()),
    "names that are orders elsewhere": (
        lambda: archive([f("-rf", "x"), f("$(id)", "x"), f("a\nb", "x"), f("\x1b[2J", "x")]),
        {"-rf", "$(id)", "a\nb", "\x1b[2J"},
    ),
}
"""What climbs out of roots elsewhere: taken, and what of it is new in the tree over :data:`BASE`, at least."""
