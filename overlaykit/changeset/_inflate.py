"""Blobs inflated piece by piece, whatever they are compressed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._limits import Limits

__all__ = ["CHUNK", "Compression", "detect", "inflate"]

Compression = Literal["none", "gzip", "zstd"]
"""How a layer is compressed."""

CHUNK: Final = 1 << 20
"""How many bytes of a layer go from one thread to the next at a time, at most."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after one byte from 0x50 to 0x5f
_FOREIGN: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}

_SHORTEST: Final = 8 << 10
_LONGEST: Final = 256 << 10

#: How many of its first bytes tell how a blob is compressed.
HEAD: Final = 6


def detect(head: bytes) -> Compression:
    """Tell by its first bytes how a blob is compressed; media types lie.

    :param head: its first six bytes, fewer where it has fewer.
    :raises MediaTypeError: by something that no layer may be compressed with.
    """
    if head.startswith(_GZIP):
        return "gzip"
    if _is_frame(head):
        return "zstd"
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise errors.MediaTypeError(
                f"the layer is compressed with {name}: only gzip, zstd and no compression are known; compress it anew"
            )
    return "none"


def _is_frame(head: bytes) -> bool:
    return head.startswith(_ZSTD) or (head[1:4] == _SKIPPABLE and 0x50 <= head[0] <= 0x5F)


def inflate(compression: Compression, read: Callable[[], bytes], limits: Limits) -> Iterator[bytes]:
    """Yield a blob's content, :data:`CHUNK` bytes at most at a time, never an empty piece.

    :param read: returns the blob's next bytes, none at its end.
    :raises LayerFormatError: it is damaged or cut short, or something else follows its end.
    :raises LimitError: a zstd frame asks for a larger window than it may.
    """
    if compression == "none":
        return _plain(read)
    return _gunzip(read) if compression == "gzip" else _unzstd(read, limits)


def _plain(read: Callable[[], bytes]) -> Iterator[bytes]:
    while data := read():
        yield data


def _cut(kind: str) -> errors.LayerFormatError:
    return errors.LayerFormatError(
        f"the layer's {kind} data end too early: the blob was cut short; get it again, or compress it anew"
    )


def _damaged(kind: str, error: Exception) -> errors.LayerFormatError:
    return errors.LayerFormatError(
        f"the layer's {kind} data are damaged ({error}): get the blob again, or compress it anew"
    )


def _garbage(kind: str) -> errors.LayerFormatError:
    return errors.LayerFormatError(
        f"something else follows the end of the layer's {kind} data: get the blob again, or compress it anew"
    )


class _Input:
    """The blob's bytes, handed out in steps: what a member leaves over is copied, and most leave little over."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._data = memoryview(b"")
        self._step = _SHORTEST

    def take(self) -> memoryview:
        """Return the next bytes, more each time; none at the end."""
        if not self._data:
            self._data = memoryview(self._read())
        taken, self._data = self._data[: self._step], self._data[self._step :]
        self._step = min(self._step * 2, _LONGEST)
        return taken

    def give_back(self, rest: bytes) -> None:
        """Take back the end of what :meth:`take` returned last."""
        if rest:
            self._data = memoryview(b"".join((rest, self._data))) if self._data else memoryview(rest)

    def peek(self, count: int) -> bytes:
        """Return the next bytes, fewer at the end only, and begin with short steps again."""
        self._step = _SHORTEST
        while len(self._data) < count and (more := self._read()):
            self._data = memoryview(b"".join((self._data, more)))
        return bytes(self._data[:count])

    def skip_zeros(self) -> None:
        """Pass over zeros."""
        while first := self.peek(1):
            if first != b"\0":
                return
            block = bytes(self._data[:_LONGEST])
            self._data = self._data[len(block) - len(block.lstrip(b"\0")) :]


def _gunzip(read: Callable[[], bytes]) -> Iterator[bytes]:
    from isal import isal_zlib

    damaged = cast("type[Exception]", isal_zlib.error)
    source = _Input(read)
    while source.peek(1):
        member = isal_zlib.decompressobj(31)
        data: memoryview | bytes = b""
        full = False
        while not member.eof:
            # A piece of the full size may have more behind it that needs no more input.
            if not data and not full and not (data := source.take()):
                raise _cut("gzip")
            try:
                piece = member.decompress(data, CHUNK)
            except damaged as error:
                raise _damaged("gzip", error) from error
            data = member.unconsumed_tail
            full = len(piece) == CHUNK
            if piece:
                yield piece
        source.give_back(member.unused_data)
        # Blocks of a tape are filled up with zeros, which gzip(1) passes over too.
        source.skip_zeros()
        if (head := source.peek(len(_GZIP))) and head != _GZIP:
            raise _garbage("gzip")


def _unzstd(read: Callable[[], bytes], limits: Limits) -> Iterator[bytes]:
    from ._zstd import zstd

    largest = zstd.DecompressionParameter.window_log_max
    low, high = largest.bounds()
    options = {int(largest): min(max((limits.window - 1).bit_length(), low), high)}
    source = _Input(read)
    while source.peek(1):
        frame = zstd.ZstdDecompressor(options=options)
        while not frame.eof:
            data: memoryview | bytes = b""
            if frame.needs_input and not (data := source.take()):
                raise _cut("zstd")
            try:
                piece = frame.decompress(data, CHUNK)
            except zstd.ZstdError as error:
                if "too much memory" in str(error):
                    raise errors.LimitError(
                        f"a zstd frame of the layer asks for a window larger than {limits.window} bytes: raise the "
                        "limit 'window', or compress the layer without --long",
                        limit="window",
                    ) from error
                raise _damaged("zstd", error) from error
            if piece:
                yield piece
        source.give_back(frame.unused_data)
        if (head := source.peek(len(_ZSTD))) and not _is_frame(head):
            raise _garbage("zstd")
