"""Layers compressed while they are written, the same bytes for the same content on every run."""

from __future__ import annotations

import contextlib
import threading
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from .. import errors
from ._channel import Channel, Closed
from ._digest import new_hash
from ._inflate import CHUNK
from ._pipe import pipe_writer
from ._stream import StreamResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import _Hash as Hash
    from types import TracebackType
    from typing import Self

    from ._inflate import Compression
    from ._pipe import PipeWriter

__all__ = ["CompressedWriter", "compressed"]

_BLOCKS: Final = 4
_KINDS: Final[dict[str, Compression]] = {"none": "none", "gzip": "gzip", "zstd": "zstd"}
_DEFAULTS: Final = {"none": 0, "gzip": 1, "zstd": 3}
_LEVELS: Final = {"none": (0, 0), "gzip": (0, 9), "zstd": (1, 22)}
_FASTEST_ZLIB: Final = 4


class Output(Protocol):
    """What a blob is written to: a binary file, an :class:`~overlaykit.store.Ingest`."""

    def write(self, data: memoryview, /) -> int:
        """Take bytes, and return how many were taken."""


class _Packer(Protocol):
    def compress(self, data: memoryview, /) -> bytes | memoryview: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: memoryview, /) -> memoryview:
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


def compressed(
    out: Output,
    compression: str = "gzip",
    level: int | None = None,
    *,
    hashed: Hash | None = None,
    also: Callable[[memoryview], object] | None = None,
) -> CompressedWriter:
    """Return what compresses and hashes all that is written to it.

    :param out: gets the blob, from another thread where it is large; it is not closed.
    :param compression: ``"gzip"``, ``"zstd"`` or ``"none"``.
    :param level: for gzip 0 to 9, where 0 to 3 are an order of magnitude faster and make blobs larger by a tenth; 1
        where there is none. For zstd 1 to 22; 3 where there is none.
    :param hashed: the SHA-256 of what ``out`` gets that ``out`` makes itself, so that it need not be made twice.
    :param also: gets what is compressed, piece by piece, from another thread where it is large, and keeps none of it.
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
    return CompressedWriter(out, kind, level, hashed, also)


class CompressedWriter:
    """A layer on its way into its blob; :func:`compressed` makes one.

    What was written is compressed in blocks of one size, however it came: so the blob depends on the content, the
    compression and the level alone. A thread compresses a block and writes it while the caller hashes it and fills the
    next one; what fits into one block needs no thread. It has ended when :meth:`close` returns or the context manager
    is left.
    """

    def __init__(
        self,
        out: Output,
        compression: Compression,
        level: int,
        hashed: Hash | None,
        also: Callable[[memoryview], object] | None,
    ) -> None:
        self._out = out
        self._compression = compression
        self._packer = _packer(compression, level)
        self._hashed = hashed is not None
        self._blob = new_hash() if hashed is None else hashed
        self._also = also
        self._plain = self._blob if compression == "none" else new_hash()
        # The same few blocks over and over: fresh memory costs more than filling it.
        self._block: bytearray | None = None
        self._filled = 0
        self._made = 0
        self._free: Channel[bytearray] = Channel(_BLOCKS)
        self._full: Channel[tuple[bytearray, int]] = Channel(_BLOCKS)
        self._size = 0
        self._uncompressed = 0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._pipe: PipeWriter | None = None
        self._result: StreamResult | None = None
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Take the next bytes, and copy them.

        :returns: how many there were.
        :raises OSError: writing the blob failed, now or before.
        :raises ValueError: it is closed.
        """
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            room = self._room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            view = view[count:]
            self._add(count)
        return size

    def fill(self, read: Callable[[memoryview], int | None], most: int) -> int:
        """Let the next bytes be put where they are compressed, which saves a copy.

        :param read: puts bytes into what it is given, and returns how many: the ``readinto`` of a file.
        :param most: how many there may be.
        :returns: how many there were: 0 at the end of the file.
        :raises OSError: what ``read`` raises; or writing the blob failed, now or before.
        :raises ValueError: it is closed.
        """
        count = read(self._room()[:most]) or 0
        self._add(count)
        return count

    def close(self) -> StreamResult:
        """Write what is left, and wait for it; a second time only tells the result again.

        :raises OSError: writing the blob failed, now or before.
        :raises ValueError: it was aborted.
        """
        if self._result is not None:
            return self._result
        self._check_open()
        try:
            if self._thread is not None:
                if self._filled:
                    self._pass_on()
                self._full.end()
                self._thread.join()
                if self._error is not None:
                    raise self._error
            elif self._block is not None:
                self._pipe = pipe_writer(self._out)
                with memoryview(self._block)[: self._filled] as view:
                    self._hash(view)
                    self._pack(view)
            self._emit(self._packer.flush())
        finally:
            self.abort()
        digest, diff_id = (f"{made.name}:{made.hexdigest()}" for made in (self._blob, self._plain))
        self._result = StreamResult(digest, diff_id, self._size, self._uncompressed, self._compression)
        return self._result

    def abort(self) -> None:
        """Stop where it is; a second time does nothing, and neither does it after :meth:`close`.

        A write to a pipe that nobody reads is given up; one to something else that is no file ends first.
        """
        self._closed = True
        self._full.close()
        self._free.close()
        if self._pipe is not None:
            self._pipe.stop()
        # Ctrl-C may have come before it had begun: then it finds that there is nothing for it.
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        self._block = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._closed:
            self.close()
        else:
            self.abort()

    # -- blocks ----------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the compressed layer is closed")

    def _room(self) -> memoryview:
        """Return what is left of the block that is being filled; never nothing."""
        self._check_open()
        if self._block is None:
            if self._made < _BLOCKS:
                self._made += 1
                self._block = bytearray(CHUNK)
            else:
                with self._failing():
                    self._block = self._free.get()
            assert self._block is not None
        return memoryview(self._block)[self._filled :]

    def _add(self, count: int) -> None:
        self._filled += count
        self._uncompressed += count
        if self._filled == CHUNK:
            self._pass_on()

    def _pass_on(self) -> None:
        block, length = self._block, self._filled
        assert block is not None
        self._block, self._filled = None, 0
        if self._thread is None:
            self._pipe = pipe_writer(self._out)
            self._thread = threading.Thread(target=self._run, name="overlaykit-layer-pack", daemon=True)
            self._thread.start()
        with self._failing():
            self._full.put((block, length))
        # The other thread may give the block back by now, but only this one fills it again.
        with memoryview(block)[:length] as view:
            self._hash(view)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Raise what the thread met."""
        try:
            yield
        except Closed:
            if self._error is not None:
                raise self._error from None
            raise ValueError("the compressed layer is closed") from None

    def _run(self) -> None:
        try:
            while (full := self._full.get()) is not None:
                block, length = full
                with memoryview(block)[:length] as view:
                    self._pack(view)
                self._free.put(block)
        except Closed:
            pass
        except BaseException as error:
            self._error = error
            self._full.close()
            self._free.close()

    def _hash(self, view: memoryview) -> None:
        if self._plain is not self._blob:
            self._plain.update(view)

    def _pack(self, view: memoryview) -> None:
        if self._also is not None:
            self._also(view)
        self._emit(self._packer.compress(view))

    def _emit(self, data: bytes | memoryview) -> None:
        if not self._hashed:
            self._blob.update(data)
        self._size += len(data)
        out = self._pipe or self._out
        left = memoryview(data)
        while left:
            left = left[out.write(left) :]
