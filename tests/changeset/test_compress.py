"""Layers compressed in threads: the same bytes every time, both digests, and errors where the writer sees them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import threading

import pytest

from overlaykit import errors
from overlaykit.changeset import CompressedWriter, LayerStream, compressed
from overlaykit.changeset._zstd import zstd

MIB = 1 << 20
WAYS = [("none", None), ("none", 0), *(("gzip", level) for level in (None, *range(10))), ("zstd", None), ("zstd", 1)]
INFLATE = {"none": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def some(size: int) -> bytes:
    source = random.Random(size)
    return b"".join(source.randbytes(500) + b"abcdefghij" * 50 for _ in range(size // 1000 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 1000, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
@pytest.mark.parametrize(("compression", "level"), WAYS)
def test_what_is_written_can_be_read(compression: str, level: int | None, size: int) -> None:
    data = some(size)
    out = io.BytesIO()
    with compressed(out, compression, level) as writer:
        assert writer.write(data) == size
        result = writer.close()
    blob = out.getvalue()
    assert INFLATE[compression](blob) == data
    assert (result.digest, result.diff_id) == (digest_of(blob), digest_of(data))
    assert (result.size, result.uncompressed, result.compression) == (len(blob), size, compression)
    assert writer.close() == result
    with LayerStream(io.BytesIO(blob), digest=result.digest, size=result.size, diff_id=result.diff_id) as stream:
        assert stream.finish() == result


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_the_blob_does_not_depend_on_how_it_was_written(compression: str) -> None:
    data = some(3 * MIB + 100)
    results = set()
    for piece in (len(data), 4096, 100_003, MIB, 2 * MIB + 1):
        writer = compressed(io.BytesIO(), compression)
        for start in range(0, len(data), piece):
            writer.write(memoryview(data)[start : start + piece])
        results.add(writer.close())
    assert len(results) == 1


def test_buffers_may_be_used_again() -> None:
    out = io.BytesIO()
    buffer = bytearray(700_000)
    with compressed(out) as writer:
        for i in range(8):
            buffer[:] = bytes([i]) * len(buffer)
            writer.write(buffer)
    assert gzip.decompress(out.getvalue()) == b"".join(bytes([i]) * len(buffer) for i in range(8))


def test_gzip_headers_say_nothing_of_when_and_where() -> None:
    for level in range(10):
        out = io.BytesIO()
        compressed(out, "gzip", level).close()
        assert out.getvalue()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_a_small_layer_needs_no_thread() -> None:
    before = threading.active_count()
    writer = compressed(io.BytesIO())
    writer.write(b"small")
    assert threading.active_count() == before
    writer.close()


class Full(io.RawIOBase):
    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: object) -> int:
        assert isinstance(data, memoryview)
        if not self.room:
            raise OSError(errno.ENOSPC, "no space")
        taken = min(self.room, len(data))
        self.room -= taken
        return taken


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("size", [100, 30 * MIB])
def test_a_failing_output_fails_the_writer(compression: str, size: int) -> None:
    data = random.Random(1).randbytes(MIB)
    before = threading.active_count()
    writer = compressed(Full(50), compression)

    def write() -> None:
        with writer:
            for start in range(0, size, MIB):
                writer.write(data[: min(MIB, size - start)])

    with pytest.raises(OSError, match="no space"):
        write()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")
    with pytest.raises(ValueError, match="closed"):
        writer.close()


def test_leaving_by_an_error_ends_the_threads() -> None:
    before = threading.active_count()
    out = io.BytesIO()
    writer = compressed(out)

    def write() -> None:
        with writer:
            for _ in range(20):
                writer.write(bytes(MIB))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert threading.active_count() == before
    writer.abort()


@pytest.mark.parametrize("pieces", [1, 4, 9])
def test_a_pipe_that_nobody_reads_can_be_given_up(pieces: int) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0), open(writing, "wb") as out:
        writer = compressed(out, "none")
        end = threading.Timer(0.2, writer.abort)
        end.start()
        with pytest.raises(ValueError, match="closed"):
            _write_for_ever(writer, pieces << 20)
        end.join()
    assert not [thread for thread in threading.enumerate() if "overlaykit" in thread.name]


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
def test_a_slow_reader_gets_it_all(size: int) -> None:
    data = random.Random(size).randbytes(size)
    reading, writing = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with open(reading, "rb", buffering=0) as file:
            while piece := file.read(50_000):
                got.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    with open(writing, "wb") as out:
        out.write(b"before")
        with compressed(out, "none") as writer:
            writer.write(data)
        out.write(b"after")
    reader.join()
    assert b"".join(got) == b"before" + data + b"after"


def test_a_pipe_whose_reader_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out, pytest.raises(BrokenPipeError), compressed(out, "none") as writer:
        _write_for_ever(writer, 1 << 20)


def _write_for_ever(writer: CompressedWriter, first: int) -> None:
    writer.write(bytes(first))
    while True:
        writer.write(bytes(1 << 20))


def test_what_there_is_none_of() -> None:
    with pytest.raises(errors.MediaTypeError, match="none, gzip, zstd"):
        compressed(io.BytesIO(), "xz")
    for compression, level in [("gzip", 10), ("gzip", -1), ("zstd", 23), ("zstd", 0), ("none", 1)]:
        with pytest.raises(ValueError, match="take one from"):
            compressed(io.BytesIO(), compression, level)


def test_what_a_file_puts_in_itself_gives_the_same_blob() -> None:
    data = some(5 * MIB + 77)
    results = set()
    for most in (len(data), 300_000, 2 * MIB):
        out = io.BytesIO()
        file = io.FileIO(os.memfd_create("data"), "r+")
        with file, compressed(out) as writer:
            file.write(data)
            file.seek(0)
            writer.write(data[:11])  # blocks do not begin where the file does
            while writer.fill(file.readinto, most):
                pass
            assert writer.fill(file.readinto, most) == 0
            results.add(writer.close())
        assert gzip.decompress(out.getvalue()) == data[:11] + data
    writer = compressed(io.BytesIO())
    writer.write(data[:11])
    writer.write(data)
    assert results == {writer.close()}
    with pytest.raises(ValueError, match="closed"):
        writer.fill(io.BytesIO(b"more").readinto, 4)
