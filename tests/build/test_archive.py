"""ADD: what is unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.build._archive import unpacked
from overlaykit.image import open_store
from overlaykit.tree import HostTree

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def _tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        member = tarfile.TarInfo("dir/file")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    return data.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Callable[[bytes], str | None]]:
    with open_store(None, driver="memory") as store:

        def look(data: bytes) -> str | None:
            (tmp_path / "one").write_bytes(data)
            with (
                HostTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as tree,
                unpacked(store, tree, "one") as inside,
            ):
                return None if inside is None else inside.read_text("dir/file")

        yield look
        assert not list(store.walk())


@pytest.mark.parametrize("packer", PACKERS)
def test_archives_are_known_by_their_content(show: Callable[[bytes], str | None], packer: str) -> None:
    pack = PACKERS[packer]
    assert show(pack(_tar())) == "hello"
    assert show(pack(b"no archive, " * 200)) is None
    assert show(pack(b"")) is None
    if packer != "none":
        assert show(pack(b"short")[:12]) is None


def test_archives_from_before_posix_are_archives(show: Callable[[bytes], str | None]) -> None:
    header = bytearray(_tar(tarfile.GNU_FORMAT)[:1024])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert show(bytes(header) + bytes(1024)) == "hello"


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_archives_are_told(show: Callable[[bytes], str | None], packer: str) -> None:
    large = io.BytesIO()
    with tarfile.open(fileobj=large, mode="w") as tar:
        member = tarfile.TarInfo("dir/file")
        member.size = 3_000_000
        tar.addfile(member, io.BytesIO(os.urandom(member.size)))
    packed = PACKERS[packer](large.getvalue())
    with pytest.raises(errors.BuildError, match="'one' cannot be unpacked"):
        show(packed[: len(packed) * 2 // 3])
