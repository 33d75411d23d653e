"""Between a store and where images come from or go to: what is there already does not travel."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._model import Descriptor
    from ._records import Image
    from ._store import ImageStore

__all__ = ["BlobSource", "BlobTarget", "Fetched", "ProgressEvent", "Sent", "send_image"]


@value_class
class ProgressEvent:
    """How far something is.

    :param action: ``"download"``, ``"unpack"``, ``"write"``, ``"upload"``, ``"exists"`` or ``"done"``.
    :param digest: of the blob.
    :param done: bytes.
    :param total: bytes in all, ``None`` where that is not known.
    """

    action: str
    digest: str
    done: int
    total: int | None = None


class BlobSource(Protocol):
    """Where an image comes from: an archive, a layout, a registry."""

    @property
    def parallel(self) -> int:
        """How many blobs it likes to give at once; 1 for what is on this machine."""

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest, an index or a configuration whole; the caller checks its digest."""

    def stop(self) -> None:
        """End what other threads are reading: it is not wanted any more."""

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """Open a blob for reading, from an offset on; called by several threads at once."""


class BlobTarget(Protocol):
    """Where an image goes to: an archive, a registry."""

    @property
    def parallel(self) -> int:
        """How many blobs it likes to be given at once."""

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there already."""

    def put(self, descriptor: Descriptor, open: Callable[[int], BinaryIO]) -> int:
        """Take a blob; ``open`` opens it from an offset on. Return the bytes that travelled."""

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Take the manifest, when all that it names is there."""

    def stop(self) -> None:
        """End what other threads are giving it: it is not wanted any more."""


@value_class
class Fetched:
    """An image that came.

    :param image: the image.
    :param moved: bytes of blobs that travelled.
    :param shared: bytes of blobs that were here already.
    :param source: registry and repository that it came from, which may be a mirror's; ``""`` for an archive.
    """

    image: Image
    moved: int
    shared: int
    source: str = ""


@value_class
class Sent:
    """An image that went.

    :param digest: of its manifest.
    :param moved: bytes of blobs that travelled.
    :param shared: bytes of blobs that were there already.
    """

    digest: str
    moved: int
    shared: int


def send_image(
    store: ImageStore,
    image: Image,
    target: BlobTarget,
    *,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> Sent:
    """Give an image away: what the target has already does not travel; nobody collects it meanwhile.

    :raises NotFoundError: a blob of it is not here.
    :raises StoreBusyError: somebody has been collecting for too long.
    :raises OSError: as the target.
    """
    with store.adding():
        manifest = store.manifest(image)
        blobs = list({blob.digest: blob for blob in (*manifest.layers, manifest.config)}.values())
        send = _Send(store, target, progress or (lambda _: None))
        send.all(blobs)
        target.put_manifest(manifest.descriptor, manifest.raw)
    return Sent(manifest.descriptor.digest, send.moved, send.shared)


class _Send:
    def __init__(self, store: ImageStore, target: BlobTarget, tell: Callable[[ProgressEvent], None]) -> None:
        self._store = store
        self._target = target
        self._tell = tell
        self.moved = 0
        self.shared = 0

    def all(self, blobs: list[Descriptor]) -> None:
        if self._target.parallel <= 1:
            for blob in blobs:
                self._count(blob, self._one(blob))
            return
        # The largest first: one that begins last would have all others waited for.
        blobs = sorted(blobs, key=lambda blob: blob.size, reverse=True)
        with concurrent.futures.ThreadPoolExecutor(self._target.parallel, "overlaykit-send") as pool:
            try:
                futures = {pool.submit(self._one, blob): blob for blob in blobs}
                for future in concurrent.futures.as_completed(futures):
                    self._count(futures[future], future.result())
            except BaseException:
                self._target.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _count(self, blob: Descriptor, moved: int) -> None:
        self.moved += moved
        self.shared += 0 if moved else blob.size

    def _one(self, blob: Descriptor) -> int:
        if self._target.has(blob):
            self._tell(ProgressEvent("exists", blob.digest, blob.size, blob.size))
            return 0

        def open_from(offset: int) -> BinaryIO:
            raw = self._store.content.open(blob.digest)
            raw.seek(offset)
            return raw

        moved = self._target.put(blob, open_from)
        self._tell(ProgressEvent("done", blob.digest, blob.size, blob.size))
        return moved
