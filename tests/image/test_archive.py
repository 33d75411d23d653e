"""Files in archives: found, opened where they stand, refused where they are not what they should be."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.image._archive import open_files, replacing, write_archive
from overlaykit.image._files import read_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOB = os.urandom(100_000)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with two files, a long name and a link."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as out:
        for name, data in (("./small", b"{}"), ("./blobs/big", BLOB), ("d" * 90 + "/" + "n" * 90, b"long")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        for name, target in (("x/link", "../blobs/big"), ("x/out", "../../etc/passwd"), ("x/loop", "loop")):
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            out.addfile(info)
        info = tarfile.TarInfo("x/hard")
        info.type = tarfile.LNKTYPE
        info.linkname = "small"
        out.addfile(info)
    return path


def packed(path: Path, how: str) -> Path | io.BytesIO:
    if how == "plain":
        return path
    data = path.read_bytes()
    if how == "stream":
        return io.BytesIO(data)
    other = path.with_suffix(f".{how}")
    if how == "gzip":
        other.write_bytes(gzip.compress(data))
    else:
        zstd = pytest.importorskip("backports.zstd")
        other.write_bytes(zstd.compress(data))
    return other


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd", "stream"])
def test_files_are_found_however_the_archive_comes(archive: Path, how: str, tmp_path: Path) -> None:
    source = packed(archive, how)
    files = open_files(source, Limits(), tmp_path)
    try:
        assert files.size("blobs/big") == len(BLOB)
        assert files.size("missing") is None
        assert read_document(files, "small", Limits()) == {}
        with files.open("blobs/big", 99_000) as file:
            assert file.read() == BLOB[99_000:]
        with files.open("d" * 90 + "/" + "n" * 90) as file:
            assert file.read(100) == b"long"
        assert files.resolve("x/link") == "blobs/big"
    finally:
        files.close()


def test_a_file_stays_open_when_the_archive_is_closed(archive: Path) -> None:
    files = open_files(archive, Limits(), None)
    with files.open("blobs/big") as file:
        files.close()
        assert file.read() == BLOB


@pytest.mark.parametrize(
    ("name", "said"), [("x/out", "outside"), ("x/loop", "loop")], ids=["out of the archive", "in a circle"]
)
def test_links_lead_nowhere_else(archive: Path, name: str, said: str) -> None:
    files = open_files(archive, Limits(), None)
    try:
        with pytest.raises(errors.ImageFormatError, match=said):
            files.resolve(name)
    finally:
        files.close()


@pytest.mark.parametrize("name", ["x/link", "x/hard"])
def test_links_are_no_files(archive: Path, name: str) -> None:
    files = open_files(archive, Limits(), None)
    try:
        with pytest.raises(errors.ImageFormatError, match="link"):
            files.size(name)
    finally:
        files.close()


def twice(path: Path) -> None:
    with tarfile.open(path, "w") as out:
        out.addfile(tarfile.TarInfo("a"))
        out.addfile(tarfile.TarInfo("./a"))


def cut(path: Path) -> None:
    with tarfile.open(path, "w") as out:
        info = tarfile.TarInfo("a")
        info.size = 4096
        out.addfile(info, io.BytesIO(bytes(4096)))
    os.truncate(path, 1024)


def endless_name(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as out:
        out.addfile(tarfile.TarInfo("n" * 5_000_000))


def negative(path: Path) -> None:
    info = tarfile.TarInfo("a")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))


def pax_size(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"size": "-5"}
        out.addfile(info)


def damaged(path: Path) -> None:
    twice(path)
    data = bytearray(path.read_bytes())
    data[512] ^= 1
    path.write_bytes(data)


def broken_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(os.urandom(100_000))[:5000])


HOSTILE: list[tuple[Callable[[Path], object], type[errors.OverlaykitError], str]] = [
    (lambda path: path.write_bytes(b""), errors.ImageFormatError, "is empty"),
    (lambda path: path.write_bytes(gzip.compress(b"")), errors.ImageFormatError, "is empty"),
    (lambda path: path.write_bytes(b"no archive" * 100), errors.ImageFormatError, "no tar archive"),
    (lambda path: path.write_bytes(b"BZh91AY&SY" * 100), errors.MediaTypeError, "bzip2"),
    (twice, errors.ImageFormatError, "twice"),
    (cut, errors.ImageFormatError, "cut short"),
    (endless_name, errors.LimitError, "header"),
    (negative, errors.ImageFormatError, "size"),
    (pax_size, errors.ImageFormatError, "size"),
    (damaged, errors.ImageFormatError, "damaged at byte 512"),
    (broken_gzip, errors.LayerFormatError, "bad.tar"),
]


@pytest.mark.parametrize(("make", "kind", "said"), HOSTILE)
def test_what_is_no_archive_is_refused(
    make: Callable[[Path], object], kind: type[errors.OverlaykitError], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.tar"
    make(path)
    with pytest.raises(kind, match=said) as caught:
        open_files(path, Limits(), tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert os.listdir(tmp_path) == ["bad.tar"]


def test_an_archive_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(errors.LimitError, match="bomb"):
        open_files(path, Limits(expanded=1_000_000), tmp_path)


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_an_archive_is_written_the_same_each_time(compression: str | None, tmp_path: Path) -> None:
    blobs = {digest(data): (len(data), lambda data=data: io.BytesIO(data)) for data in (BLOB, b"x", b"")}
    sha512 = "sha512:" + __import__("hashlib").sha512(b"y").hexdigest()
    blobs[sha512] = 1, lambda: io.BytesIO(b"y")
    written = []
    for items in (list(blobs.items()), list(blobs.items())[::-1]):
        out = io.BytesIO()
        write_archive(out, {"oci-layout": b"{}"}, dict(items), compression=compression)
        written.append(out.getvalue())
    assert written[0] == written[1]
    path = tmp_path / "a"
    path.write_bytes(written[0])
    files = open_files(path, Limits(), None)
    try:
        for one, (size, _) in blobs.items():
            assert files.size(f"blobs/{one.replace(':', '/')}") == size
    finally:
        files.close()
    if compression is None:
        with tarfile.open(path) as archive:  # a second opinion
            names = archive.getnames()
        assert names[:2] == ["oci-layout", "blobs"]
        assert f"blobs/{sha512.replace(':', '/')}" in names


def test_a_damaged_blob_is_not_written(tmp_path: Path) -> None:
    blobs = {digest(b"right"): (5, lambda: io.BytesIO(b"wrong"))}
    with pytest.raises(errors.DigestMismatchError), replacing(tmp_path / "out") as out:
        write_archive(out, {}, blobs)
    assert os.listdir(tmp_path) == []


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as out:
        out.writelines([b"new", None])
    assert path.read_text() == "old"
    with replacing(path) as out:
        out.write(b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(errors.ExistsError), replacing(tmp_path):
        pass
