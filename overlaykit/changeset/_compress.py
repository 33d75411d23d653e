"""Layers compressed while they are written, the same bytes for the same content on every run."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from .. import errors
from ._channel import Channel, Closed
from ._digest import new_hash
from ._inflate import CHUNK
from ._stream import StreamResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from ._inflate import Compression

__all__ = ["CompressedWriter", "compressed"]

_WAITING: Final = 4  # chunks between two threads
_KINDS: Final[dict[str, Compression]] = {"none": "none", "gzip": "gzip", "zstd": "zstd"}
_DEFAULTS: Final = {"none": 0, "gzip": 1, "zstd": 3}
_LEVELS: Final = {"none": (0, 0), "gzip": (0, 9), "zstd": (1, 22)}
_FASTEST_ZLIB: Final = 4


class Output(Protocol):
    """What a blob is written to: a binary file, an :class:`~overlaykit.store.Ingest`."""

    def write(self, data: memoryview, /) -> int:
        """Take bytes, and return how many were taken."""


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _packer(compression: Compression, level: int) -> _Packer:
    if compression == "none":
        return _Plain()
    if compression == "zstd":
        from ._zstd import zstd

        # One thread: with more of them the bytes would depend on how zstd was built.
        parameter = zstd.CompressionParameter
        options = {int(parameter.compression_level): level, int(parameter.checksum_flag): 1}
        return zstd.ZstdCompressor(options=options)
    if level >= _FASTEST_ZLIB:
        return zlib.compressobj(level, wbits=31)
    from isal import isal_zlib

    return isal_zlib.compressobj(level, wbits=31)


def compressed(out: Output, compression: str = "gzip", level: int | None = None) -> CompressedWriter:
    """Return what compresses and hashes all that is written to it.

    :param out: gets the blob, from another thread where it is large; it is not closed.
    :param compression: ``"gzip"``, ``"zstd"`` or ``"none"``.
    :param level: for gzip 0 to 9, where 0 to 3 are an order of magnitude faster and make blobs larger by a tenth; 1
        where there is none. For zstd 1 to 22; 3 where there is none.
    :raises MediaTypeError: there is no such compression.
    :raises ValueError: it has no such level.
    """
    kind = _KINDS.get(compression)
    if kind is None:
        raise errors.MediaTypeError(f"layers are not compressed with {compression!r}: take one of {', '.join(_KINDS)}")
    low, high = _LEVELS[kind]
    if level is None:
        level = _DEFAULTS[kind]
    if not low <= level <= high:
        raise ValueError(f"{kind} has no level {level}: take one from {low} to {high}")
    return CompressedWriter(out, kind, level)


class CompressedWriter:
    """A layer on its way into its blob; :func:`compressed` makes one.

    What was written is compressed in blocks of one size, however it came: so the blob depends on the content, the
    compression and the level alone. One thread compresses and writes, another one hashes what went in; what fits into
    one block needs neither. Both have ended when :meth:`close` returns or the context manager is left.
    """

    def __init__(self, out: Output, compression: Compression, level: int) -> None:
        self._out = out
        self._compression = compression
        self._packer = _packer(compression, level)
        self._blob = new_hash()
        self._plain = self._blob if compression == "none" else new_hash()
        self._buffer = bytearray()
        self._size = 0
        self._uncompressed = 0
        self._error: BaseException | None = None
        self._packing: Channel[bytes] = Channel(_WAITING)
        self._hashing: Channel[bytes] = Channel(_WAITING)
        self._threads: list[threading.Thread] = []
        self._result: StreamResult | None = None
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Take the next bytes, and copy them.

        :returns: how many there were.
        :raises OSError: writing the blob failed, now or before.
        :raises ValueError: it is closed.
        """
        if self._closed:
            raise ValueError("the compressed layer is closed")
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            taken = view[: CHUNK - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]
            if len(self._buffer) == CHUNK:
                block = bytes(self._buffer)
                self._buffer.clear()
                self._pass_on(block)
        self._uncompressed += size
        return size

    def close(self) -> StreamResult:
        """Write what is left, and wait for it; a second time only tells the result again.

        :raises OSError: writing the blob failed, now or before.
        :raises ValueError: it was aborted.
        """
        if self._result is not None:
            return self._result
        if self._closed:
            raise ValueError("the compressed layer is closed")
        try:
            if self._threads:
                if self._buffer:
                    self._pass_on(bytes(self._buffer))
                self._packing.end()
                self._hashing.end()
                self._join()
            else:
                self._update(bytes(self._buffer))
                self._pack(bytes(self._buffer))
            if self._error is not None:
                raise self._error
            self._emit(self._packer.flush())
        finally:
            self.abort()
        digest, diff_id = (f"{made.name}:{made.hexdigest()}" for made in (self._blob, self._plain))
        self._result = StreamResult(digest, diff_id, self._size, self._uncompressed, self._compression)
        return self._result

    def abort(self) -> None:
        """Stop where it is; a second time does nothing, and neither does it after :meth:`close`."""
        self._closed = True
        self._packing.close()
        self._hashing.close()
        self._join()
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._closed:
            self.close()
        else:
            self.abort()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _pass_on(self, block: bytes) -> None:
        if not self._threads:
            pairs = [(self._packing, self._pack)]
            if self._plain is not self._blob:
                pairs.append((self._hashing, self._update))
            for channel, work in pairs:
                name = f"overlaykit-layer{work.__name__}"
                thread = threading.Thread(target=self._run, args=(channel, work), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
        try:
            self._packing.put(block)
            if self._plain is not self._blob:
                self._hashing.put(block)
        except Closed:
            if self._error is not None:
                raise self._error from None
            raise ValueError("the compressed layer is closed") from None

    def _run(self, channel: Channel[bytes], work: Callable[[bytes], None]) -> None:
        try:
            while (block := channel.get()) is not None:
                work(block)
        except Closed:
            pass
        except BaseException as error:
            self._error = error
            self._packing.close()
            self._hashing.close()

    def _update(self, block: bytes) -> None:
        if self._plain is not self._blob:
            self._plain.update(block)

    def _pack(self, block: bytes) -> None:
        self._emit(self._packer.compress(block))

    def _emit(self, data: bytes) -> None:
        self._blob.update(data)
        self._size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) :]
