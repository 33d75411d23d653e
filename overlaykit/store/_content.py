"""Content by digest: blobs of layers, manifests and configurations, and those that are still on their way."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import threading
import time

from .. import errors
from ..changeset import digest_of, split_digest
from ..driver import Durability
from ._ingest import Blob, Ingest, typed

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO, Final

__all__ = ["ContentStore"]

STALE_SECONDS: Final = 24 * 60 * 60
"""How long the beginning of a blob is kept for whoever goes on with it."""

_ALGORITHMS: Final = ("sha256", "sha512")


class ContentStore:
    """Blobs that are named by their digests and never change; :attr:`Store.content` is a store's.

    A blob appears as a whole or not at all, after its bytes were found to be those that its digest names. It is kept
    until somebody removes it: what is needed, the images know.

    :param path: the directory, made with the first blob; ``None`` for blobs in memory.
    :param durability: whether a blob survives a power cut once it is there.
    """

    def __init__(self, path: Path | None, durability: Durability = Durability.COMMIT) -> None:
        self._path = path
        self._durability = durability
        self._lock = threading.Lock()
        self._memory: dict[str, int] = {}
        self._busy: set[str] = set()
        self._closed = False

    # -- looking ---------------------------------------------------------------------------------------------------

    def path(self, digest: str) -> Path | None:
        """Return where the blob is, or would be; ``None`` where blobs are in memory.

        :raises ImageFormatError: it is no digest.
        """
        algorithm, digits = split_digest(digest)
        return None if self._path is None else self._path / algorithm / digits

    def exists(self, digest: str) -> bool:
        """Tell whether the blob is there.

        :raises ImageFormatError: it is no digest.
        """
        self._check_open()
        path = self.path(digest)
        return digest in self._memory if path is None else path.is_file()

    def size(self, digest: str) -> int:
        """Return the blob's bytes.

        :raises NotFoundError: it is not there.
        :raises ImageFormatError: it is no digest.
        """
        with self._found(digest) as path:
            if path is not None:
                return path.stat().st_size
            with self._lock:
                return os.fstat(self._memory[digest]).st_size

    def open(self, digest: str) -> BinaryIO:
        """Open the blob for reading and seeking; it stays readable when it is removed meanwhile.

        :raises NotFoundError: it is not there.
        :raises ImageFormatError: it is no digest.
        """
        with self._found(digest) as path:
            if path is not None:
                return open(path, "rb")
            with self._lock:
                descriptor = os.dup(self._memory[digest])
        return io.BufferedReader(Blob(descriptor), 128 << 10)

    def read(self, digest: str, limit: int) -> bytes:
        """Return the whole of a small blob, such as a manifest.

        :param limit: how many bytes it may have.
        :raises NotFoundError: it is not there.
        :raises LimitError: it is larger.
        :raises ImageFormatError: it is no digest.
        """
        with self.open(digest) as file:
            # A blob does not change. To be asked for a limit of a gigabyte would be to make room for it.
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = file.read(size) if size <= limit else b""
        if size > limit:
            raise errors.LimitError(
                f"the blob {digest} has more than {limit} bytes: raise the limit 'document' if it may", limit="document"
            )
        return data

    def walk(self) -> Iterator[str]:
        """Yield the digests of all blobs that are there, sorted."""
        self._check_open()
        if self._path is None:
            with self._lock:
                yield from sorted(self._memory)
            return
        for algorithm in _ALGORITHMS:
            names: list[str] = []
            with contextlib.suppress(FileNotFoundError):
                names = sorted(os.listdir(self._path / algorithm))
            for name in names:
                digest = f"{algorithm}:{name}"
                with contextlib.suppress(errors.ImageFormatError):
                    split_digest(digest)
                    yield digest

    # -- changing --------------------------------------------------------------------------------------------------

    def add(self, data: bytes, digest: str | None = None) -> str:
        """Keep a small blob, which may be there already.

        :param digest: what its digest should be; its SHA-256 where there is none.
        :returns: its digest.
        :raises DigestMismatchError: it has another digest.
        :raises StoreFullError: there is no room for it.
        """
        actual = digest_of(data, digest)
        if digest in (None, actual) and self.exists(actual):
            return actual
        with self.ingest(digest, len(data), resume=False, wait=60) as ingest:
            ingest.write(data)
            return ingest.commit()

    def ingest(
        self,
        digest: str | None = None,
        size: int | None = None,
        *,
        resume: bool = True,
        wait: float = 0,
        private: bool = False,
    ) -> Ingest:
        """Begin to take a blob in, or go on where somebody was cut off.

        One at a time takes in one digest, over all processes. Who waited may find that the other one has brought it:
        see :attr:`Ingest.present`.

        :param digest: what it should be, and its name while it is on its way; ``None`` for whatever comes, of which
            nothing is kept unless it is committed.
        :param size: how many bytes it should have; ``None`` for any number.
        :param resume: keep what was taken in before, which :attr:`Ingest.offset` tells.
        :param wait: seconds to wait for another one who takes in the same blob.
        :param private: take no notice of others who take in the same blob, and keep nothing unless it is committed.
        :raises StoreBusyError: somebody else is taking in the same blob.
        :raises ImageFormatError: it is no digest.
        :raises StoreFullError: there is no room.
        """
        self._check_open()
        private = private or digest is None
        name = f"any-{os.urandom(16).hex()}" if private or digest is None else "-".join(split_digest(digest))
        end = time.monotonic() + wait
        while (descriptor := self._begin(name)) is None:
            if time.monotonic() >= end:
                raise errors.StoreBusyError(
                    f"somebody else is taking in the blob {digest}: try again when that is done"
                )
            time.sleep(0.02)
        try:
            return Ingest(self, name, descriptor, digest, size, resume=resume and not private, private=private)
        except BaseException:
            self._let_go(name, descriptor)
            raise

    def remove(self, digest: str) -> None:
        """Remove a blob; who has it open can read on.

        :raises NotFoundError: it is not there.
        :raises ImageFormatError: it is no digest.
        """
        with self._found(digest) as path:
            if path is not None:
                os.unlink(path)
                return
            with self._lock:
                os.close(self._memory.pop(digest))

    def cleanup(self, *, stale: float = STALE_SECONDS) -> int:
        """Delete what is on its way and nobody is working on.

        :param stale: seconds since somebody did, for beginnings that could be gone on with.
        :returns: how many bytes that freed.
        """
        self._check_open()
        freed = 0
        names: list[str] = []
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                names = os.listdir(self._path / "ingest")
        for name in names:
            path = self._ingest_path(name)
            with contextlib.suppress(FileNotFoundError):
                if not name.startswith("any-") and time.time() - path.stat().st_mtime < stale:
                    continue
                descriptor = self._begin(name, create=False)
                if descriptor is not None:
                    freed += os.fstat(descriptor).st_blocks * 512
                    self._let_go(name, descriptor, delete=True)
        return freed

    def close(self) -> None:
        """Let go of everything; blobs in memory are gone. A second time does nothing."""
        with self._lock:
            self._closed = True
            for descriptor in self._memory.values():
                os.close(descriptor)
            self._memory.clear()

    # -- for Ingest ------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StoreClosedError("the store is closed: open it again")

    @contextlib.contextmanager
    def _found(self, digest: str) -> Iterator[Path | None]:
        """Give the path of a blob that should be there, and say so where it turns out not to be."""
        self._check_open()
        path = self.path(digest)
        try:
            yield path
        except (FileNotFoundError, KeyError) as error:
            raise errors.NotFoundError(
                f"there is no blob {digest} here: get it from where the image came from"
            ) from error

    def _ingest_path(self, name: str) -> Path:
        assert self._path is not None
        return self._path / "ingest" / name

    def _begin(self, name: str, *, create: bool = True) -> int | None:
        """Open what is on its way and lock it; ``None`` where somebody else has the lock."""
        if self._path is None:
            return self._begin_in_memory(name)
        path = self._ingest_path(name)
        while True:
            with typed(path):
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
                except FileNotFoundError:
                    if not create:
                        raise
                    self._make(path.parent)
                    continue
            taken = False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Committed or cleaned up between opening and locking: then this is not the file of that name any more.
                with contextlib.suppress(FileNotFoundError):
                    taken = os.path.samestat(os.fstat(descriptor), os.stat(path))
            except BlockingIOError:
                return None
            finally:
                if not taken:
                    os.close(descriptor)
            if taken:
                return descriptor
            if not create:
                raise FileNotFoundError(path)

    def _begin_in_memory(self, name: str) -> int | None:
        with self._lock:
            if name in self._busy:
                return None
            if hasattr(os, "memfd_create"):
                descriptor = os.memfd_create("overlaykit-blob")
            else:
                import tempfile

                with tempfile.TemporaryFile() as file:
                    descriptor = os.dup(file.fileno())
            self._busy.add(name)
            return descriptor

    def _make(self, directory: Path) -> None:
        # The store's own directory is not made again where it was taken away.
        assert self._path is not None
        with typed(directory):
            for place in (self._path, directory):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(place, 0o700)
                    self._sync(place.parent)

    def _sync(self, directory: Path) -> None:
        if self._durability is not Durability.NONE:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _publish(self, name: str, descriptor: int, digest: str) -> None:
        """Give what was taken in its digest's name."""
        path = self.path(digest)
        if path is None:
            with self._lock:
                self._check_open()
                if digest not in self._memory:
                    self._memory[digest] = os.dup(descriptor)
            return
        with typed(path):
            os.fchmod(descriptor, 0o444)
            if self._durability is not Durability.NONE:
                os.fsync(descriptor)
            if not path.parent.is_dir():
                self._make(path.parent)
            os.rename(self._ingest_path(name), path)
            self._sync(path.parent)

    def _let_go(self, name: str, descriptor: int, *, delete: bool = False) -> None:
        """Unlock and close what is, or was, on its way."""
        if self._path is None:
            with self._lock:
                self._busy.discard(name)
        else:
            try:
                if delete:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._ingest_path(name))
            finally:
                # Closing alone would not do: a child that was forked meanwhile shares the open file.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
