"""One blob on its way into the store."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading

from .. import errors
from ..changeset import check_digest, new_hash
from ._drivers import storing

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from hashlib import _Hash as Hash
    from pathlib import Path
    from types import TracebackType
    from typing import Final, Self

    from _typeshed import WriteableBuffer

    from ._content import ContentStore

__all__ = ["Blob", "Ingest", "typed"]

_BLOCK: Final = 1 << 20


@contextlib.contextmanager
def typed(path: Path | str) -> Iterator[None]:
    """Say what is wrong where the store's file system takes nothing."""
    try:
        with storing(path, "make room, or remove images and prune"):
            yield
    except errors.OverlaykitError:
        raise
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise errors.StoreAccessError(
                f"no permission for {path}: open the store as its owner", filename=path
            ) from error
        raise


class Blob(io.RawIOBase):
    """An open blob with a position of its own, though the open file is shared.

    :param descriptor: closed with it.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read the next bytes."""
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go elsewhere."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if start is None:
            start = os.fstat(self._descriptor).st_size
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = start + offset
        return self._at

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class Ingest:
    """A blob on its way in: :meth:`write` it from :attr:`offset` on, then :meth:`commit`.

    Leaving the context manager without that keeps what has come for the next one who takes in the same digest.
    """

    def __init__(
        self,
        store: ContentStore,
        name: str,
        descriptor: int,
        digest: str | None,
        size: int | None,
        *,
        resume: bool,
        private: bool,
    ) -> None:
        self._store = store
        self._name = name
        self._descriptor = descriptor
        self._expected = digest
        self._size = size
        self._private = private
        self._hash = new_hash(digest)
        self._offset = 0
        self._lock = threading.Lock()
        self._present = digest is not None and store.exists(digest)
        if resume and digest is not None:
            self._resume()
        if not self._offset:
            os.ftruncate(descriptor, 0)

    def _resume(self) -> None:
        length = os.fstat(self._descriptor).st_size
        if self._size is not None and length > self._size:
            return
        with Blob(os.dup(self._descriptor)) as file:
            while data := file.read(_BLOCK):
                self._hash.update(data)
                self._offset += len(data)

    @property
    def present(self) -> bool:
        """Whether the blob was there already when this began: there is no need to take it in again."""
        return self._present

    @property
    def offset(self) -> int:
        """How many bytes there are: what comes next is what follows them."""
        return self._offset

    @property
    def digest(self) -> str:
        """The digest of these bytes."""
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    @property
    def hash(self) -> Hash:
        """The hash of these bytes, which goes on with what is written."""
        return self._hash

    @property
    def closed(self) -> bool:
        """Whether it was committed, aborted or closed."""
        return self._descriptor < 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Take the next bytes.

        :returns: how many there were.
        :raises StoreFullError: there is no room for them: everything that has come is deleted, to make some.
        :raises LayerFormatError: these are more than there should be.
        :raises ValueError: it is closed.
        """
        view = memoryview(data).cast("B")
        with self._lock:
            self._check_open()
            if self._size is not None and self._offset + len(view) > self._size:
                raise errors.LayerFormatError(
                    f"the blob {self._expected or ''} has more than the {self._size} bytes it should have: it was "
                    "damaged on the way; get it again"
                )
            try:
                with typed(self._store._path or "the store in memory"):
                    left = view
                    while left:
                        left = left[os.pwrite(self._descriptor, left, self._offset + len(view) - len(left)) :]
            except errors.StoreFullError:
                self._end(delete=True)
                raise
            self._hash.update(view)
            self._offset += len(view)
        return len(view)

    def restart(self) -> None:
        """Drop all that has come: the sender can only begin anew.

        :raises ValueError: it is closed.
        """
        with self._lock:
            self._check_open()
            os.ftruncate(self._descriptor, 0)
            self._hash = new_hash(self._expected)
            self._offset = 0

    def commit(self) -> str:
        """Check what has come and make it a blob of the store, which may have it already.

        :returns: its digest.
        :raises DigestMismatchError: it is not what its digest names: all that has come is deleted.
        :raises LayerFormatError: it is shorter than it should be: what has come is kept.
        :raises StoreFullError: there is no room: all that has come is deleted.
        :raises ValueError: it is closed.
        """
        with self._lock:
            self._check_open()
            if self._size is not None and self._offset < self._size:
                self._end(delete=self._private)
                raise errors.LayerFormatError(
                    f"the blob {self._expected or ''} ends after {self._offset} of {self._size} bytes: it was cut "
                    "short; get the rest"
                )
            digest = self.digest
            try:
                check_digest("the blob", self._expected, digest)
                self._store._publish(self._name, self._descriptor, digest)
            except BaseException:
                self._end(delete=True)
                raise
            self._end()
        return digest

    def abort(self) -> None:
        """Delete all that has come; a second time, or after :meth:`commit`, does nothing."""
        with self._lock:
            self._end(delete=True)

    def close(self) -> None:
        """Stop, and keep what has come where a digest names it; when it is closed already, do nothing."""
        with self._lock:
            self._end(delete=self._private or not self._offset)

    def _check_open(self) -> None:
        if self._descriptor < 0:
            raise ValueError("the blob was committed, aborted or closed before")

    def _end(self, *, delete: bool = False) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._store._let_go(self._name, descriptor, delete=delete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()
