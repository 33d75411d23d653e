"""Layers read from their blobs: inflated and hashed in threads while somebody uses what comes out."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from .. import errors
from ..values import value_class
from ._channel import Channel, Closed
from ._digest import check_digest, new_hash, split_digest
from ._inflate import HEAD, detect, inflate
from ._limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from ._inflate import Compression

__all__ = ["LayerStream", "StreamResult", "Tee"]

_READ: Final = 512 << 10
_SMALL: Final = 256 << 10  # bytes below which a piece is not worth a switch of threads
_WAITING: Final = 4  # chunks between two threads


class Tee(Protocol):
    """Who else gets the blob's bytes, such as an :class:`~overlaykit.store.Ingest`."""

    @property
    def offset(self) -> int:
        """How many bytes it has."""

    @property
    def digest(self) -> str:
        """The digest of those, so that they need not be hashed twice."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@value_class
class StreamResult:
    """What a layer was that was read to its end.

    :param digest: of the blob.
    :param diff_id: the digest of what it holds, uncompressed.
    :param size: bytes of the blob.
    :param uncompressed: bytes of what it holds.
    :param compression: how it was compressed.
    """

    digest: str
    diff_id: str
    size: int
    uncompressed: int
    compression: Compression


class LayerStream:
    """The content of a layer, in pieces of about a megabyte at most: iterate, then :meth:`finish`.

    One thread reads, hashes and inflates the blob, another one hashes what comes out; both work ahead of the consumer
    by a few pieces. They start with the iteration and have ended when the context manager is left, however it is.

    :param raw: the blob; it is read from where it stands, by another thread, and not closed.
    :param limits: where to stop.
    :param digest: what the blob's digest should be.
    :param size: how many bytes the blob should have; no more are read.
    :param diff_id: what the digest of the uncompressed content should be.
    :param tee: gets all bytes of the blob, in that other thread, before anybody knows what they are.
    :param progress: called with the number of bytes read of the blob so far, in the consumer's thread.
    :raises ImageFormatError: a digest is none.
    """

    def __init__(
        self,
        raw: BinaryIO,
        *,
        limits: Limits | None = None,
        digest: str | None = None,
        size: int | None = None,
        diff_id: str | None = None,
        tee: Tee | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        for expected in (digest, diff_id):
            if expected is not None:
                split_digest(expected)
        self._raw = raw
        self._limits = Limits() if limits is None else limits
        self._expected = digest
        self._size = size
        self._expected_diff = diff_id
        self._tee = tee
        self._progress = progress
        self._blob = new_hash(digest)
        self._hashes = tee is None or tee.offset > 0 or not tee.digest.startswith(f"{self._blob.name}:")
        self._plain = new_hash(diff_id)
        self._read = 0
        self._told = -1
        self._expanded = 0
        self._compression: Compression | None = None
        self._known = threading.Event()
        self._chunks: Channel[bytes] = Channel(_WAITING)
        self._hashing: Channel[bytes] = Channel(_WAITING)
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._closed = False

    # -- the consumer's side ---------------------------------------------------------------------------------------

    @property
    def compression(self) -> Compression:
        """How the blob is compressed, told by its first bytes, which this reads.

        :raises MediaTypeError: in a way that no layer may be.
        """
        self._start()
        self._known.wait()
        if self._compression is None:
            self._fail()
        assert self._compression is not None
        return self._compression

    def __iter__(self) -> Iterator[bytes]:
        """Yield what has not been yielded yet.

        :raises LayerFormatError: the blob is damaged, cut short, or has something behind its end.
        :raises DigestMismatchError: the blob is damaged, and is not the one its digest names either.
        :raises LimitError: it inflates to more than it may.
        :raises MediaTypeError: it is compressed in a way that no layer may be.
        :raises OSError: reading it failed, or the tee did.
        """
        self._start()
        while True:
            try:
                chunk = self._chunks.get()
            except Closed:
                self._fail()
            if self._progress is not None and self._read != self._told:
                self._told = self._read
                self._progress(self._told)
            if chunk is None:
                self._fail()
                return
            yield chunk

    def finish(self) -> StreamResult:
        """Read what is left, and check both digests.

        :raises DigestMismatchError: one is another than it should be.
        :raises OSError: as iterating does.
        """
        for _ in self:
            pass
        self._join()
        self._fail()
        digest = self._digest()
        diff_id = f"{self._plain.name}:{self._plain.hexdigest()}"
        check_digest("the blob", self._expected, digest)
        check_digest("the uncompressed layer", self._expected_diff, diff_id)
        return StreamResult(digest, diff_id, self._read, self._expanded, self.compression)

    def close(self) -> None:
        """Stop the threads and wait for them; a second time does nothing.

        A thread that is inside ``raw.read`` is waited for: what may block should have a timeout.
        """
        self._closed = True
        self._chunks.close()
        self._hashing.close()
        self._join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if self._closed:
            raise ValueError("the layer stream is closed")
        if not self._threads:
            for target in (self._pump, self._hash):
                thread = threading.Thread(target=target, name=f"overlaykit-layer{target.__name__}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _fail(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise ValueError("the layer stream is closed")

    # -- the threads -----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        try:
            self._inflate()
        except Closed:
            pass
        except errors.LayerFormatError as error:
            self._error = self._other_blob() or error
        except BaseException as error:
            self._error = error
        finally:
            self._known.set()
            self._hashing.end()
            self._chunks.end()

    def _inflate(self) -> None:
        head = self._next()
        while 0 < len(head) < HEAD and (more := self._next()):
            head += more
        self._compression = detect(head[:HEAD])
        self._known.set()
        waiting = [head]
        limits = self._limits
        small: list[bytes] = []
        gathered = 0
        for chunk in inflate(self._compression, lambda: waiting.pop() if waiting else self._next(), limits):
            self._expanded += len(chunk)
            if self._expanded > limits.expanded:
                raise errors.LimitError(
                    f"the layer inflates to more than {limits.expanded} bytes: raise the limit 'expanded' if it may",
                    limit="expanded",
                )
            if self._expanded > limits.ratio_from and self._expanded > limits.ratio * self._read:
                raise errors.LimitError(
                    f"the layer inflates to more than {limits.ratio} times its size ({self._expanded} bytes out of "
                    f"{self._read} so far): raise the limit 'ratio' if it may",
                    limit="ratio",
                )
            small.append(chunk)
            gathered += len(chunk)
            if gathered >= _SMALL:
                self._give(small)
                gathered = 0
        if small:
            self._give(small)
        while self._next():
            pass
        if self._size is not None and self._read < self._size:
            raise errors.LayerFormatError(
                f"the blob ends after {self._read} of {self._size} bytes: it was cut short; get it again"
            )

    def _give(self, small: list[bytes]) -> None:
        chunk = small[0] if len(small) == 1 else b"".join(small)
        small.clear()
        self._chunks.put(chunk)
        self._hashing.put(chunk)

    def _next(self) -> bytes:
        """Return the blob's next bytes, many where there are many: small pieces cost a switch of threads each."""
        parts: list[bytes] = []
        got = 0
        while got < _READ:
            want = _READ - got
            if self._size is not None:
                # One more, to see whether it ends there.
                want = min(want, self._size - self._read + 1)
            if not (data := self._raw.read(want)):
                break
            self._read += len(data)
            if self._size is not None and self._read > self._size:
                raise errors.LayerFormatError(
                    f"the blob has more than the {self._size} bytes it should have: it was damaged on the way; "
                    "get it again"
                )
            if self._hashes:
                self._blob.update(data)
            if self._tee is not None:
                self._tee.write(data)
            parts.append(data)
            got += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _digest(self) -> str:
        if self._tee is not None and not self._hashes:
            return self._tee.digest
        return f"{self._blob.name}:{self._blob.hexdigest()}"

    def _other_blob(self) -> errors.DigestMismatchError | None:
        # A layer that is damaged because its blob was damaged on the way is worth getting again, one that was made so
        # is not: read on, as far as that can tell them apart.
        if self._expected is None:
            return None
        try:
            while not self._closed and self._next():
                pass
            check_digest("the blob", self._expected, self._digest())
        except errors.DigestMismatchError as error:
            return error
        except OSError:
            # What was wrong first is the one to tell of.
            return None
        return None

    def _hash(self) -> None:
        try:
            while (chunk := self._hashing.get()) is not None:
                self._plain.update(chunk)
        except Closed:
            pass
        except BaseException as error:
            self._error = error
            self._chunks.close()
            self._hashing.close()
