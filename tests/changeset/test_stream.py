"""Layers inflated and hashed in threads: what comes out, what is refused, and that nothing stays behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.changeset import LayerStream, Limits
from overlaykit.changeset._zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    assert all(0 < len(chunk) <= 2 * MIB for chunk in chunks)
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


def refuse(blob: bytes, kind: type[errors.OverlaykitError], match: str, **options: object) -> errors.OverlaykitError:
    """Check that a blob is refused, wherever the consumer stands, and that no thread stays."""
    before = threading.active_count()
    for step in (0, 1):
        with LayerStream(io.BytesIO(blob), **options) as stream:  # type: ignore[arg-type]
            with pytest.raises(kind, match=match) as caught:  # noqa: PT012 - either may be the one
                if step:
                    list(stream)
                stream.finish()
            with pytest.raises(kind):
                stream.finish()
        assert threading.active_count() == before
        assert "\n" not in str(caught.value)
    return caught.value


PACKED = {name: pack for name, (compression, pack) in KINDS.items() if compression != "none"}


@pytest.mark.parametrize("kind", PACKED)
def test_every_cut_is_seen(kind: str) -> None:
    data = exactly(3000)
    blob = PACKED[kind](data)
    if "padded" in kind:
        blob = blob.rstrip(b"\0")
    ends = range(6, len(blob), max(1, len(blob) // 60))
    for end in ends:
        with LayerStream(io.BytesIO(blob[:end])) as stream:
            try:
                result = stream.finish()
            except errors.LayerFormatError as error:
                assert "too early" in str(error)  # noqa: PT017 - a cut between two members is none
            else:
                assert result.uncompressed < len(data)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"garbage behind the end", bytes(600) + b"x"])
def test_garbage_behind_the_end(kind: str, garbage: bytes) -> None:
    refuse(PACKED[kind](exactly(3 * MIB)) + garbage, errors.LayerFormatError, "follows the end")


def test_zeros_behind_the_end_of_zstd_are_garbage() -> None:
    refuse(zstd.compress(b"hello") + bytes(10), errors.LayerFormatError, "follows the end")


@pytest.mark.parametrize("kind", ["gzip", "gzip members", "zstd checksum"])
def test_damage_is_seen(kind: str) -> None:
    data = exactly(400_000)
    blob = bytearray(PACKED[kind](data))
    source = random.Random(7)
    for _ in range(40):
        at = source.randrange(20, len(blob))
        blob[at] ^= 1 << source.randrange(8)
        stream = LayerStream(io.BytesIO(bytes(blob)), diff_id=digest_of(data))
        with stream, pytest.raises(errors.LayerFormatError):
            stream.finish()
        blob = bytearray(PACKED[kind](data))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_on_the_way_is_told_from_damage_that_was_there(kind: str) -> None:
    blob = KINDS[kind][1](exactly(2 * MIB))
    bad = bytearray(blob)
    bad[len(bad) // 2] ^= 0x55
    error = refuse(bytes(bad), errors.DigestMismatchError, "the blob should have", digest=digest_of(blob))
    assert isinstance(error, errors.DigestMismatchError)
    assert (error.expected, error.actual) == (digest_of(blob), digest_of(bytes(bad)))
    if kind in ("gzip", "zstd"):
        refuse(blob[:-9], errors.LayerFormatError, "too early", digest=digest_of(blob[:-9]))


def test_gzip_headers_with_everything() -> None:
    data = exactly(5000)
    body = zlib.compress(data, 6, -15)
    header = b"\x1f\x8b\x08\x1e" + bytes(6) + struct.pack("<H", 300) + bytes(300) + b"name\0" + b"a comment\0"
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    tail = struct.pack("<II", zlib.crc32(data), len(data))
    for piece in (1, 5000):
        with LayerStream(Dripping(header + body + tail, piece)) as stream:  # type: ignore[arg-type]
            assert b"".join(stream) == data
            stream.finish()
    refuse(header + body + struct.pack("<II", 1, len(data)), errors.LayerFormatError, "damaged")
    refuse(header + body + struct.pack("<II", zlib.crc32(data), 1), errors.LayerFormatError, "damaged")
    refuse(b"\x1f\x8b\x07" + header[3:] + body + tail, errors.LayerFormatError, "damaged")


def test_what_no_layer_is_compressed_with() -> None:
    for magic, name in ((b"BZh91AY", "bzip2"), (b"\xfd7zXZ\x00\x00", "xz"), (b"\x04\x22\x4d\x18zz", "lz4")):
        refuse(magic + bytes(1000), errors.MediaTypeError, f"compressed with {name}")
        with LayerStream(io.BytesIO(magic)) as stream, pytest.raises(errors.MediaTypeError):
            print(stream.compression)


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, 9), zstd.compress])
def test_bombs(pack: Callable[[bytes], bytes]) -> None:
    blob = pack(bytes(64 * MIB))
    few = Limits(ratio=100, ratio_from=2 * MIB)
    error = refuse(blob, errors.LimitError, "more than 100 times its size", limits=few)
    assert isinstance(error, errors.LimitError)
    assert error.limit == "ratio"
    error = refuse(blob, errors.LimitError, "more than 5000000 bytes", limits=Limits(expanded=5_000_000))
    assert isinstance(error, errors.LimitError)
    assert error.limit == "expanded"
    with LayerStream(io.BytesIO(blob), limits=Limits.none()) as stream:
        assert stream.finish().uncompressed == 64 * MIB


def test_windows_of_zstd() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    blob = packer.compress(exactly(100_000)) + packer.flush()
    error = refuse(blob, errors.LimitError, "window larger than 8388608", limits=Limits(window=8 * MIB))
    assert isinstance(error, errors.LimitError)
    assert error.limit == "window"
    for limits in (Limits(), Limits.none()):
        with LayerStream(io.BytesIO(blob), limits=limits) as stream:
            assert stream.finish().uncompressed == 100_000


def test_many_small_members_are_not_quadratic() -> None:
    blob = gzip.compress(b"x") * 60_000
    with LayerStream(io.BytesIO(blob)) as stream:
        assert stream.finish().uncompressed == 60_000


def test_wrong_digests_and_sizes() -> None:
    data = exactly(100_000)
    blob = gzip.compress(data)
    refuse(blob, errors.DigestMismatchError, "the uncompressed layer should have", diff_id=digest_of(b"other"))
    refuse(blob, errors.DigestMismatchError, "the blob should have", digest=digest_of(b"other"))
    refuse(blob, errors.LayerFormatError, "more than the 10 bytes", size=10)
    refuse(blob, errors.LayerFormatError, f"ends after {len(blob)} of {len(blob) + 1}", size=len(blob) + 1)
    with pytest.raises(errors.ImageFormatError, match="is no digest"):
        LayerStream(io.BytesIO(blob), digest="sha256:abc")
    sha512 = f"sha512:{hashlib.sha512(blob).hexdigest()}"
    with LayerStream(io.BytesIO(blob), digest=sha512, diff_id=f"sha512:{hashlib.sha512(data).hexdigest()}") as stream:
        assert stream.finish().digest == sha512


def test_a_tee_of_another_kind_is_not_asked_for_the_digest() -> None:
    blob = gzip.compress(exactly(1000))
    for tee in (Copy("sha512"), Copy(start=b"before")):
        with LayerStream(io.BytesIO(blob), tee=tee, digest=digest_of(blob)) as stream:
            assert stream.finish().digest == digest_of(blob)


class Failing(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise TimeoutError("the registry went away")
        return data


def test_errors_of_the_source_and_of_the_tee_arrive() -> None:
    before = threading.active_count()
    blob = os.urandom(9 * MIB)
    with LayerStream(Failing(blob)) as stream:
        with pytest.raises(TimeoutError, match="went away"):
            list(stream)
        with pytest.raises(TimeoutError, match="went away"):
            stream.finish()

    class Full(Copy):
        def write(self, data: bytes, /) -> None:
            raise errors.StoreFullError("full")

    with LayerStream(io.BytesIO(blob), tee=Full()) as stream, pytest.raises(errors.StoreFullError):
        list(stream)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), LayerStream(io.BytesIO(blob), progress=stop) as stream:
        list(stream)
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_early_ends_the_threads(kind: str, taken: int) -> None:
    before = threading.active_count()
    source = io.BytesIO(KINDS[kind][1](exactly(20 * MIB)))
    with LayerStream(source) as stream:
        chunks = iter(stream)
        for _ in range(taken):
            next(chunks)
    assert threading.active_count() == before
    assert not source.closed
    for use in (stream.finish, lambda: next(iter(stream)), lambda: stream.compression):
        with pytest.raises(ValueError, match="is closed"):
            use()
    stream.close()


_PEAK = """
import sys, resource
from overlaykit.changeset import LayerStream, Limits
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file, LayerStream(file, limits=Limits.none()) as stream:
    stream.finish()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, 1), zstd.compress, bytes])
def test_memory_does_not_grow_with_the_layer(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    blob = tmp_path / "blob"
    data = os.urandom(4 * MIB) + bytes(60 * MIB)
    with open(blob, "wb") as file:
        for _ in range(1 if pack is bytes else 5):
            file.write(pack(data))
    grown = int(subprocess.run([sys.executable, "-c", _PEAK, blob], check=True, capture_output=True).stdout)
    assert grown < 40 << 10
