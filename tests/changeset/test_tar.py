"""The tar reader against the standard library's tarfile, over all formats, and with its buffers cut anywhere."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit.tars import END, Member, block, chunked, fuzz, number, padded, pax, plain, read, record, seeds

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.changeset._tar import TarEntry, TarReader, TarRun

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character",
    tarfile.BLKTYPE: "block",
}

# tarfile strips slashes at the end of a name and joins none: names that it keeps as they are.
_component = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=40
).filter(lambda text: text not in (".", ".."))
_long = st.builds(lambda text, times: (text * times)[:200], _component, st.integers(1, 200))
_paths = st.lists(st.one_of(_component, _component, _long), min_size=1, max_size=4).map("/".join)
_ascii = st.lists(st.text("abc.-", min_size=1, max_size=30), min_size=1, max_size=3).map("/".join)


@st.composite
def _members(draw: st.DrawFn, format: int) -> tuple[tarfile.TarInfo, bytes]:
    paths = _ascii if format == tarfile.USTAR_FORMAT else _paths
    member = tarfile.TarInfo(draw(paths))
    member.type = draw(st.sampled_from(list(_KINDS)))
    largest = 0o777_7777 if format == tarfile.USTAR_FORMAT else 2**32 - 2
    member.uid, member.gid = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    member.mode = draw(st.integers(0, 0o7777))
    member.mtime = draw(st.integers(0 if format == tarfile.USTAR_FORMAT else -(2**33), 2**33 - 1))
    if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        member.linkname = draw(paths)
    if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        member.devmajor, member.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 4095))
    body = b""
    if member.type == tarfile.REGTYPE:
        body = draw(st.binary(max_size=1500))
        member.size = len(body)
    if format == tarfile.PAX_FORMAT and draw(st.booleans()):
        member.pax_headers = {f"SCHILY.xattr.user.{draw(st.text('xyz', min_size=1, max_size=9))}": draw(_component)}
    return member, body


def _oracle(data: bytes) -> list[Member]:
    found = []
    begin = "SCHILY.xattr."
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            device = member.isdev() and not member.isfifo()
            xattrs = tuple(
                (k[len(begin) :].encode(), v.encode()) for k, v in member.pax_headers.items() if k.startswith(begin)
            )
            target = os.fsencode(member.linkname) if member.islnk() or member.issym() else b""
            found.append(
                Member(
                    _KINDS[member.type], os.fsencode(member.name), target, content.read() if content else b"",
                    member.mode, member.uid, member.gid, int(member.mtime) * 10**9, xattrs,
                    os.makedev(member.devmajor, member.devminor) if device else 0,
                )
            )  # fmt: skip
    return found


def _bare(member: Member) -> Member:
    """Leave out what tarfile does not keep: the slash behind a directory's name."""
    path = member.path.rstrip(b"/") if member.kind == "directory" else member.path
    target = member.target if member.kind in ("symlink", "hardlink") else b""
    return replace(member, path=plain(path) if member.kind == "file" else path, target=target)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_reads_what_the_standard_library_reads(format: int, data: st.DataObject) -> None:
    members = data.draw(st.lists(_members(format), min_size=1, max_size=8))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8") as archive:
        for member, body in members:
            archive.addfile(member, io.BytesIO(body))
    made = out.getvalue()
    wanted = _oracle(made)
    for size in (1 << 20, data.draw(st.integers(1, 3000))):
        assert list(map(_bare, read(made, size))) == list(map(_bare, wanted))


@pytest.mark.parametrize("number", range(9))
def test_where_the_buffers_are_cut_does_not_matter(number: int) -> None:
    data = seeds()[number]
    whole = read(data)
    assert whole
    for size in (1, 7, 127, 511, 512, 513, 1023, 1536, 4095):
        assert read(data, size) == whole, size


@pytest.mark.parametrize("number", range(9))
def test_an_archive_cut_anywhere_is_refused_or_ends_between_members(number: int) -> None:
    """Around each end of a block and, unless ``OVERLAYKIT_LONG`` is set, at every eleventh byte of the rest."""
    data = seeds()[number]
    whole = read(data)
    end = len(data.rstrip(b"\0"))
    stride = 1 if "OVERLAYKIT_LONG" in os.environ else 11
    tried = refused = 0
    for size in range(len(data)):
        if size % stride and 2 < size % 512 < 510:
            continue
        tried += size < end
        try:
            found = read(data[:size])
        except errors.LayerFormatError:
            refused += 1
        else:
            assert found == whole[: len(found)]
            # Between two members, or in what fills up the block of the last one.
            assert not any(data[size : size + -size % 512])
    assert refused > tried // 2


def test_members_that_are_not_read_are_skipped() -> None:
    for data in seeds():
        wanted = [(member.kind, member.path) for member in read(data)]
        for size in (1, 600, 1 << 20):
            assert [(member.kind, member.path) for member in read(data, size, content=False)] == wanted


def _one(data: bytes) -> Member:
    (member,) = read(data + END)
    return member


def test_sparse_files_of_every_format() -> None:
    holes = b"\0" * 512 + b"abc" + b"\0" * (2048 - 515)
    found = [read(data)[0] for data in seeds()[3:8]]
    assert [member.content for member in found if len(member.content) == 2048] == [holes] * 4
    assert found[1].content == b"\0" * 512 + b"abc" + b"\0" * (2048 - 515) + b"de" + b"\0" * 2046
    assert [member.path for member in found] == [b"s", b"s", b"f", b"real", b"real"]


def test_times_are_rounded_down_to_nanoseconds() -> None:
    for text, wanted in (
        (b"1.5", 1_500_000_000), (b"-1.5", -1_500_000_000), (b"-0.5", -500_000_000), (b"7", 7 * 10**9),
        (b"1.9999999999", 1_999_999_999), (b"-0.9999999991", -1_000_000_000), (b"0.000000001", 1),
    ):  # fmt: skip
        assert _one(pax((b"mtime", text)) + block()).mtime == wanted
        # The same where the rare cases are read, which is other code.
        assert _one(pax((b"mtime", text), (b"SCHILY.xattr.user.a", b"")) + block()).mtime == wanted
        assert _one(pax((b"mtime", text), type=b"g") + block()).mtime == wanted


def test_numbers_in_base_256() -> None:
    big = b"\x80" + (10**10).to_bytes(11, "big")
    low = (-5).to_bytes(12, "big", signed=True)
    assert _one(block(mtime=low)).mtime == -5 * 10**9
    assert _one(block(uid=b"\x80" + (70_000).to_bytes(7, "big"))).uid == 70_000
    with pytest.raises(errors.LayerFormatError, match="cut short"):
        read(block(size=big) + END)


def test_global_headers_hold_until_they_are_taken_back() -> None:
    data = pax((b"uid", b"5"), (b"SCHILY.xattr.user.g", b"1"), type=b"g") + block(b"a") + block(b"b")
    data += (
        pax((b"uid", b"6")) + block(b"c") + pax((b"uid", b""), (b"SCHILY.xattr.user.g", b""), type=b"g") + block(b"d")
    )
    assert [member.uid for member in read(data + END)] == [5, 5, 6, 0]
    assert [member.xattrs for member in read(data + END)] == [((b"user.g", b"1"),)] * 3 + [()]


def test_extended_attributes_of_both_kinds() -> None:
    found = _one(
        pax(
            (b"SCHILY.xattr.user.empty", b""), (b"SCHILY.xattr.user.bin", b"\0\n=\xff"),
            (b"LIBARCHIVE.xattr.user.b%20c", b"dmFsdWU"), (b"LIBARCHIVE.xattr.user.bin", b"eA"),
        )
        + block()
    )  # fmt: skip
    assert found.xattrs == ((b"user.empty", b""), (b"user.bin", b"\0\n=\xff"), (b"user.b c", b"value"))


def test_a_link_with_a_size_and_attributes_has_no_content() -> None:
    for kind in (b"1", b"2", b"5"):
        data = pax((b"size", b"9"), (b"SCHILY.xattr.user.a", b"1")) + block(type=kind, link=b"t") + block(b"next")
        assert [member.path for member in read(data + END)] == [b"f", b"next"]


def test_other_headers() -> None:
    assert _one(block(b"old/", b"\0", magic=bytes(8))).kind == "directory"
    assert _one(block(b"n", prefix=b"p" * 155)).path == b"p" * 155 + b"/n"
    assert _one(block(b"n" * 100)).path == b"n" * 100
    assert _one(block(b"n", magic=b"ustar  \0", rest=b"12345670123\0")).path == b"n"
    assert _one(block(b"n", b"7", 2) + padded(b"xy")).content == b"xy"
    assert _one(block(b"n", b"?", 2) + padded(b"xy")) == Member("file", b"n", content=b"xy", mode=0o644)
    assert _one(block(b"n", b"s")).kind == "socket"
    assert _one(block(b"x", b"L", 2) + padded(b"l\0") + pax((b"path", b"p")) + block()).path == b"p"
    signed = bytearray(block(b"\xff" * 9))
    total = sum(byte - 256 * (byte > 127) for byte in signed[:148] + signed[156:]) + 256
    signed[148:156] = b"%06o\0 " % total
    assert _one(bytes(signed)).path == b"\xff" * 9


def test_the_end() -> None:
    assert read(END) == []
    assert len(read(block())) == 1
    assert len(read(block() + END[:512])) == 1
    assert len(read(block() + END + b"whatever follows")) == 1


@pytest.mark.parametrize(
    "path", [b"../a", b"/a", b"a//b", b"a/./b", b"a/..", b".wh.a", b"a/.wh.b/c", b"n" * 256, b"./"]
)
def test_what_is_not_plain_comes_alone(path: bytes) -> None:
    assert [type(item) for item in TarReader([pax((b"path", path)) + block() + END], Limits())] == [TarEntry]


def test_files_of_one_directory_come_together() -> None:
    data = b"".join(block(name) for name in (b"./d/a", b"d/b", b"e/c", b"f", b"./g", b"dd/a", b"d/a")) + END
    found = [(item.directory, item.names) for item in TarReader([data], Limits()) if isinstance(item, TarRun)]
    assert found == [(b"d", [b"a", b"b"]), (b"e", [b"c"]), (b"", [b"f", b"g"]), (b"dd", [b"a"]), (b"d", [b"a"])]


# -- bad input --------------------------------------------------------------------------------------------------------


def _sparse(*pieces: tuple[int, int], size: int = 2048, stored: int = 3) -> bytes:
    text = b",".join(b"%d,%d" % piece for piece in pieces)
    return (
        pax((b"GNU.sparse.map", text), (b"GNU.sparse.size", b"%d" % size)) + block(size=stored) + padded(b"x" * stored)
    )


def _headed(body: bytes, size: bytes = b"2048") -> bytes:
    records = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", size))
    return pax(*records) + block(size=len(body)) + padded(body)


def _raw(body: bytes, type: bytes = b"x") -> bytes:
    return block(b"x", type, len(body)) + padded(body) + block()


_NEGATIVE = (-1).to_bytes(12, "big", signed=True)
_WRONG = bytearray(block())
_WRONG[0] ^= 1

DAMAGED = {
    "checksum": bytes(_WRONG),
    "text": b"<html>" * 200,
    "negative size": block(size=_NEGATIVE),
    "overflowing size": block(size=b"\x80" + b"\xff" * 11),
    "size of all bits": block(size=b"\xff" * 12),
    "largest size": block(size=b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big")),
    "size no number": block(size=b"12x45678901\0"),
    "size with a sign": block(size=b"-0000000001\0"),
    "negative owner": block(uid=_NEGATIVE[:8]),
    "owner out of range": block(uid=b"\x80" + (2**32 - 1).to_bytes(7, "big")),
    "time out of range": block(mtime=b"\x80" + (2**60).to_bytes(11, "big")),
    "negative device": block(type=b"3", major=_NEGATIVE[:8]),
    "negative pax size": pax((b"size", b"-1")) + block(),
    "pax size beyond 64 bits": pax((b"size", b"9" * 30)) + block(),
    "pax size near the end of 64 bits": pax((b"size", b"9223372036854775807")) + block(),
    "pax size no number": pax((b"size", b"0x10")) + block(),
    "pax owner negative": pax((b"uid", b"-1")) + block(),
    "pax time no number": pax((b"mtime", b"1.x")) + block(),
    "pax time a word": pax((b"mtime", b"nan")) + block(),
    "pax time far off": pax((b"mtime", b"1" * 30)) + block(),
    "pax path with NUL": pax((b"path", b"a\0b")) + block(),
    "pax target with NUL": pax((b"linkpath", b"a\0b")) + block(type=b"2"),
    "pax length zero": _raw(b"0 a=b\n"),
    "pax length too long": _raw(b"99 a=b\n"),
    "pax length too short": _raw(b"4 a=b\n"),
    "pax length huge": _raw(b"9" * 40 + b" a=b\n"),
    "pax length missing": _raw(b" a=b\n"),
    "pax without equals": _raw(b"6 abc\n"),
    "pax without key": _raw(b"6 =bc\n"),
    "pax without newline": _raw(b"6 a=bc"),
    "global: damaged": _raw(b"99 a=b\n", b"g"),
    "global: time with an exponent": pax((b"mtime", b"1e999999999"), type=b"g") + block(),
    "global: time infinite": pax((b"mtime", b"Infinity"), type=b"g") + block(),
    "global: time far off": pax((b"mtime", b"9" * 25), type=b"g") + block(),
    "global: owner": pax((b"uid", b"4294967295"), type=b"g") + block(),
    "global: path with NUL": pax((b"path", b"a\0b"), type=b"g") + block(),
    "global: size": pax((b"size", b"7"), type=b"g") + block(size=3) + padded(b"abc"),
    "xattr without a name": pax((b"SCHILY.xattr.", b"x")) + block(),
    "xattr with NUL in its name": pax((b"SCHILY.xattr.user.\0", b"x")) + block(),
    "xattr with a long name": pax((b"SCHILY.xattr.user." + b"n" * 255, b"x")) + block(),
    "xattr not in base 64": pax((b"LIBARCHIVE.xattr.user.a", b"*")) + block(),
    "empty name": block(b""),
    "empty GNU name": block(b"x", b"L", 1) + padded(b"\0") + block(),
    "GNU name of nothing": block(b"x", b"L", 0) + block(),
    "lone pax header": pax((b"path", b"a")),
    "lone GNU name": block(b"x", b"L", 2) + padded(b"l\0"),
    "zeros between": block() + bytes(512) + block(),
    "sparse: overlap": _sparse((0, 2), (1, 1)),
    "sparse: disorder": _sparse((1024, 2), (0, 1)),
    "sparse: beyond its size": _sparse((2047, 3)),
    "sparse: less stored": _sparse((0, 2)),
    "sparse: more stored": _sparse((0, 900)),
    "sparse: odd map": pax((b"GNU.sparse.map", b"1,2,3"), (b"GNU.sparse.size", b"9")) + block(),
    "sparse: map of words": pax((b"GNU.sparse.map", b"a,b"), (b"GNU.sparse.size", b"9")) + block(),
    "sparse: no size": pax((b"GNU.sparse.map", b"0,0")) + block(),
    "sparse: map in front cut": _headed(b"5\n1\n"),
    "sparse: map in front without lines": _headed(b"1" * 600),
    "sparse: map in front too long": _headed(b"999999999\n"),
    "sparse: map in front negative": _headed(b"1\n-1\n3\nabc"),
    "sparse: map in front, size damaged": _headed(b"0\n", b"x"),
    "sparse: name with NUL": pax((b"GNU.sparse.name", b"a\0"), (b"GNU.sparse.map", b"")) + block(),
    "GNU sparse: no number": block(
        type=b"S", magic=b"ustar  \0", rest=bytes(41) + b"zz".ljust(24) + bytes(72) + b"\0" + number(9, 12)
    ),
    "GNU sparse: negative": block(
        type=b"S", magic=b"ustar  \0", rest=bytes(41) + _NEGATIVE + number(1, 12) + bytes(72) + b"\0" + number(9, 12)
    ),
    "GNU sparse: blocks that do not come": block(
        type=b"S", magic=b"ustar  \0", rest=bytes(41) + bytes(96) + b"\1" + number(9, 12)
    )
    + b"x" * 512,
    "cut in content": block(size=2000) + bytes(512) + b"x",
}  # fmt: skip


@pytest.mark.parametrize("name", list(DAMAGED))
@pytest.mark.parametrize("size", [1 << 20, 300])
@pytest.mark.timeout(20)
def test_damaged_archives_are_refused_in_one_line(name: str, size: int) -> None:
    data = DAMAGED[name] if name == "cut in content" else DAMAGED[name] + END
    with pytest.raises(errors.LayerFormatError) as caught:
        read(data, size)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


HUGE = {
    "pax header": (block(b"x", b"x", 1 << 30), "header"),
    "GNU name": (block(b"x", b"L", 1 << 30), "header"),
    "GNU target": (block(b"x", b"K", 1 << 30), "header"),
    "global header": (block(b"x", b"g", 1 << 30), "header"),
    "endless headers": (pax((b"comment", b"x" * 400)) * 3000, "header"),
    "endless GNU sparse": (
        block(type=b"S", magic=b"ustar  \0", rest=bytes(41) + bytes(96) + b"\1")
        + (bytes(504) + b"\1" + bytes(7)) * 3000,
        "header",
    ),
    "long path": (pax((b"path", b"p/" * 40_000)) + block(type=b"5"), "name"),
    "long path of a small file": (pax((b"path", b"p/" * 40_000 + b"f")) + block(), "name"),
    "long target": (pax((b"linkpath", b"p/" * 40_000)) + block(type=b"2"), "name"),
    "many": (block() * 2000, "entries"),
    "many attributes": (pax(*((b"SCHILY.xattr.user.%d" % n, b"") for n in range(2000))) + block(), "xattrs"),
}


@pytest.mark.parametrize("name", list(HUGE))
@pytest.mark.timeout(20)
def test_what_is_too_much_is_refused(name: str) -> None:
    data, limit = HUGE[name]
    with pytest.raises(errors.LimitError, match=limit) as caught:
        read(data + END, limits=Limits(header=1 << 20, entries=1000))
    assert caught.value.limit == limit


@pytest.mark.parametrize("size", [1, 511, 513, 5000])
@pytest.mark.parametrize("chunk", [1, 100, 512, 1 << 20])
def test_padding_that_is_missing_at_the_end_loses_nothing(size: int, chunk: int) -> None:
    """umoci's insert writes none; GNU tar reads that. A byte of content that is missing is another matter."""
    content = bytes(range(1, 251)) * 21
    whole = block(b"a") + block(b"f", size=size) + content[:size]
    for left in (0, 1, (-size % 512) - 1, -size % 512):
        found = read(whole + bytes(left), chunk)
        assert [(one.path, one.content) for one in found] == [(b"a", b""), (b"f", content[:size])]
    with pytest.raises(errors.LayerFormatError, match="cut short"):
        read(whole[:-1], chunk)
    with pytest.raises(errors.LayerFormatError, match="cut short"):
        read(whole + bytes(-size % 512) + block(b"g")[:300], chunk)


def test_errors_name_the_member_and_the_place() -> None:
    with pytest.raises(errors.LayerFormatError, match=r"byte 512 .*checksum"):
        read(block() + bytes(_WRONG) + END)
    with pytest.raises(errors.LayerFormatError, match=r"cut short in 'f', at byte 1024"):
        read(block(size=2000) + bytes(512))


def test_damaged_bytes_never_do_worse_than_an_error() -> None:
    assert fuzz(seconds=3, seed=5) > 100


# -- writing runs -----------------------------------------------------------------------------------------------------


def _write(directory: Path, *members: bytes) -> None:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        for item in TarReader(chunked(b"".join(members) + END, 1 << 20), Limits()):
            assert isinstance(item, TarRun)
            item.write_to(fd, owners=os.geteuid() == 0)
    finally:
        os.close(fd)


def test_writes_a_run(tmp_path: Path) -> None:
    mine = [number(os.geteuid() or 7, 8), number(os.getegid() or 8, 8)]
    a = block(b"a", size=3, mode=b"0006755\0", uid=mine[0], gid=mine[1], mtime=number(1_000_000, 12)) + padded(b"abc")
    b = pax((b"mtime", b"-5.25")) + block(b"b", mode=b"0000000\0", uid=mine[0], gid=mine[1])
    _write(tmp_path, a, b)
    found = (tmp_path / "a").stat()
    assert stat.S_IMODE(found.st_mode) == 0o6755
    assert (found.st_uid, found.st_gid) == (int(mine[0][:-1], 8), int(mine[1][:-1], 8))
    assert found.st_mtime_ns == 10**15
    assert (tmp_path / "a").read_bytes() == b"abc"
    other = (tmp_path / "b").stat()
    assert (stat.S_IMODE(other.st_mode), other.st_mtime_ns, other.st_size) == (0, -5_250_000_000, 0)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_owners_and_modes_of_a_run_are_right_one_by_one(tmp_path: Path, mask: int) -> None:
    root = os.geteuid() == 0
    group = 77 if root else os.getegid()
    if root:
        os.chown(tmp_path, -1, group)
    tmp_path.chmod(0o2777)
    me = os.geteuid(), group
    wanted = [
        (uid, gid, mode)
        for mode in (0o644, 0o4711, 0, 0o777, 0o2666, 0o1600, 0o400)
        for uid, gid in ((me, (5, 6), me, (me[0], 6), (5, group)) if root else (me, me))
    ]
    before = os.umask(mask)
    try:
        _write(
            tmp_path,
            *(
                block(b"%03d" % n, mode=number(mode, 8), uid=number(uid, 8), gid=number(gid, 8), size=1) + padded(b"x")
                for n, (uid, gid, mode) in enumerate(wanted)
            ),
        )
    finally:
        os.umask(before)
    found = [path.stat() for path in sorted(tmp_path.iterdir())]
    assert [(one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) for one in found] == wanted


def test_writes_in_place_of_what_is_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    place = tmp_path / "place"
    place.mkdir()
    (place / "link").symlink_to(outside)
    (place / "dir").mkdir()
    (place / "dir" / "deep").mkdir()
    (place / "dir" / "deep" / "file").write_text("x")
    os.link(outside, place / "hard")
    os.mkfifo(place / "fifo")
    names = (b"link", b"dir", b"hard", b"fifo", b"twice", b"twice")
    _write(place, *(block(name, size=1) + padded(b"%d" % n) for n, name in enumerate(names)))
    assert {path.name: path.read_text() for path in place.iterdir()} == {
        "link": "0", "dir": "1", "hard": "2", "fifo": "3", "twice": "5",
    }  # fmt: skip
    assert outside.read_text() == "mine"
    assert not any(path.is_symlink() for path in place.iterdir())


def test_writing_names_the_file_that_fails(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    place = tmp_path / "gone"
    place.mkdir()
    gone = os.open(place, os.O_PATH | os.O_DIRECTORY)
    place.rmdir()
    try:
        run = next(iter(TarReader([block(b"d/first") + block(b"d/second") + END], Limits())))
        assert isinstance(run, TarRun)
        with pytest.raises(FileNotFoundError) as caught:
            run.write_to(gone)
        assert caught.value.filename == "d/first"
    finally:
        os.close(fd)
        os.close(gone)


def test_a_record_counts_its_own_length() -> None:
    for size in (3, 4, 5, 92, 93, 94, 95):
        assert len(record(b"a", b"b" * size)) == int(record(b"a", b"b" * size).split()[0])


def test_a_run_is_good_until_the_reader_goes_on(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("a/1", "b/2"):
            tar.addfile(tarfile.TarInfo(name))
    data = out.getvalue()
    # Two buffers, so that the second run stands where the first one was.
    kept = [item for item in TarReader([data[:512], data[512:]], Limits()) if isinstance(item, TarRun)]
    with pytest.raises(ValueError, match="gone on"):
        kept[0].names  # noqa: B018
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="gone on"):
            kept[0].write_to(fd)
    finally:
        os.close(fd)
    assert os.listdir(tmp_path) == []
