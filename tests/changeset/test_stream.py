"""Layers inflated and hashed in threads: what comes out, what is refused, and that nothing stays behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
from typing import TYPE_CHECKING

import pytest

from overlaykit.changeset import LayerStream
from overlaykit.changeset._zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
SIZES = [0, 1, 511, 8191, 256 << 10, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 77]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def exactly(size: int) -> bytes:
    """Return bytes of which about half can be compressed away."""
    source = random.Random(size)
    return b"".join(source.randbytes(1000) + b"abcdefghij" * 100 for _ in range(size // 2000 + 1))[:size]


def members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[i : i + 100_000], 1) for i in range(0, len(data) or 1, 100_000))


def frames(data: bytes) -> bytes:
    skippable = struct.pack("<II", 0x184D2A53, 5) + b"hello"
    return b"".join(skippable + zstd.compress(data[i : i + 100_000]) for i in range(0, len(data) or 1, 100_000))


KINDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("none", bytes),
    "gzip": ("gzip", lambda data: gzip.compress(data, 6)),
    "gzip stored": ("gzip", lambda data: gzip.compress(data, 0)),
    "gzip members": ("gzip", members),
    "gzip padded": ("gzip", lambda data: members(data) + bytes(70_000)),
    "gzip padded between": ("gzip", lambda data: gzip.compress(data[:9]) + bytes(511) + gzip.compress(data[9:])),
    "zstd": ("zstd", zstd.compress),
    "zstd frames": ("zstd", frames),
    "zstd checksum": ("zstd", lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})),
}


class Copy:
    """A tee that keeps what it gets."""

    def __init__(self, algorithm: str = "sha256", start: bytes = b"") -> None:
        self.data = start
        self._algorithm = algorithm

    @property
    def offset(self) -> int:
        return len(self.data)

    @property
    def digest(self) -> str:
        return f"{self._algorithm}:{hashlib.new(self._algorithm, self.data).hexdigest()}"

    def write(self, data: bytes, /) -> None:
        self.data += data


class Dripping(io.RawIOBase):
    """A blob that comes in small pieces, as from a network."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data = io.BytesIO(data)
        self._piece = piece

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._piece))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_went_in_comes_out(kind: str, size: int) -> None:
    compression, pack = KINDS[kind]
    data = exactly(size)
    blob = pack(data)
    tee = Copy()
    seen: list[int] = []
    with LayerStream(
        io.BytesIO(blob),
        digest=digest_of(blob),
        size=len(blob),
        diff_id=digest_of(data),
        tee=tee,
        progress=seen.append,
    ) as stream:
        chunks = list(stream)
        result = stream.finish()
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= MIB for chunk in chunks)
    assert tee.data == blob
    assert (result.digest, result.diff_id) == (digest_of(blob), digest_of(data))
    assert (result.size, result.uncompressed, result.compression) == (len(blob), len(data), compression)
    assert seen[-1] == len(blob)
    assert seen == sorted(seen)


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_small_reads(kind: str, piece: int) -> None:
    compression, pack = KINDS[kind]
    data = exactly(30_000)
    with LayerStream(Dripping(pack(data), piece)) as stream:  # type: ignore[arg-type]
        assert stream.compression == compression
        assert b"".join(stream) == data
        assert stream.finish().diff_id == digest_of(data)
