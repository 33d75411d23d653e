"""Between a store and where images come from or go to: what is there already does not travel."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from .. import errors
from ..changeset import Limits, check_digest, digest_of
from ..store import LABEL_MEDIA_TYPE
from ._model import INDEX_TYPES, MANIFEST_TYPES, Descriptor, ImageConfig, Index, Manifest, Platform, chain_ids
from ._reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..changeset import Tee
    from ._records import Image
    from ._store import ImageStore

__all__ = ["BlobSource", "BlobTarget", "Fetched", "ProgressEvent", "Sent", "fetch_image", "send_image"]

_PIECE = 1 << 20
_DEPTH = 4
"""Indexes inside indexes."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that came.

    :param image: the image.
    :param moved: bytes of blobs that travelled.
    :param shared: bytes of blobs that were here already.
    """

    image: Image
    moved: int
    shared: int


@dataclass(frozen=True, slots=True)
class Sent:
    """An image that went.

    :param digest: of its manifest.
    :param moved: bytes of blobs that travelled.
    :param shared: bytes of blobs that were there already.
    """

    digest: str
    moved: int
    shared: int


def fetch_image(
    store: ImageStore,
    source: BlobSource,
    descriptor: Descriptor,
    *,
    platform: Platform | str | None = None,
    index: Descriptor | None = None,
    references: Iterable[str] = (),
    progress: Callable[[ProgressEvent], None] | None = None,
    limits: Limits | None = None,
) -> Fetched:
    """Take an image in: its blobs, and its layers as snapshots.

    Layers that are here under their chain id, and blobs that are here, are not asked for. Where something fails,
    nothing of the image is to be seen; layers that were whole by then wait for the next try, or for ``prune``.

    :param source: gives it.
    :param descriptor: of its manifest, or of an index.
    :param platform: which one of an index, which is kept too; ``None`` for this machine's. An image that comes alone
        must be for the platform that was asked for, and may be for any where none was.
    :param index: the index that the manifest was chosen from before, to be kept.
    :param references: names to give it.
    :param progress: told of each blob.
    :param limits: what is refused.
    :raises NotFoundError: there is no image for the platform, or a blob is missing.
    :raises ImageFormatError: it is damaged, or no image.
    :raises OSError: as the source, and :meth:`overlaykit.store.Store.apply`.
    """
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform
    # A name that can be none is found out before anything travels.
    names = [str(Reference.parse(name)) for name in references]
    return _Fetch(store, source, progress, limits or Limits()).run(descriptor, wanted, index, names)


class _Fetch:
    def __init__(
        self,
        store: ImageStore,
        source: BlobSource,
        progress: Callable[[ProgressEvent], None] | None,
        limits: Limits,
    ) -> None:
        self._store = store
        self._source = source
        self._tell = progress or (lambda _: None)
        self._limits = limits
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._moved = 0
        self._shared = 0
        self._downloaded: set[str] = set()
        self._indexes: list[tuple[str, bytes]] = []

    def run(
        self, descriptor: Descriptor, platform: Platform | None, index: Descriptor | None, references: list[str]
    ) -> Fetched:
        with self._store.adding():
            if index is not None:
                self._indexes.append((index.digest, self._document(index, "the index")))
            manifest = self._find(descriptor, platform or Platform.here())
            config_raw = self._document(manifest.config, "the image's configuration")
            config = ImageConfig.parse(config_raw, self._limits)
            if len(config.diff_ids) != len(manifest.layers):
                raise errors.ImageFormatError(
                    f"the image has {len(manifest.layers)} layers and its configuration {len(config.diff_ids)}: "
                    "make or fetch the image again"
                )
            if platform is not None and not self._indexes and not platform.accepts(config.platform):
                raise errors.NotFoundError(
                    f"the image is for {config.platform}, and {platform} was asked for: leave the platform out to take "
                    "it, or name another image"
                )
            self._layers(manifest, config)
            content = self._store.content
            content.add(config_raw, manifest.config.digest)
            content.add(manifest.raw, manifest.descriptor.digest)
            for digest, raw in self._indexes:
                content.add(raw, digest)
            first = self._indexes[0][0] if self._indexes else None
            image = self._store.record_image(manifest, config, references, index=first)
        return Fetched(image, self._moved, self._shared)

    # -- documents ---------------------------------------------------------------------------------------------------

    def _document(self, descriptor: Descriptor, what: str) -> bytes:
        self._limits.check("document", descriptor.size, f"{what} is larger")
        content = self._store.content
        if content.exists(descriptor.digest):
            data = content.read(descriptor.digest, self._limits.document)
        else:
            data = self._source.manifest(descriptor)
            check_digest(what, descriptor.digest, digest_of(data, descriptor.digest))
        if descriptor.size != len(data):
            raise errors.ImageFormatError(
                f"{what} has {len(data)} bytes and should have {descriptor.size}: make or fetch the image again"
            )
        return data

    def _find(self, descriptor: Descriptor, platform: Platform) -> Manifest:
        """Go through indexes to the manifest."""
        for _ in range(_DEPTH):
            if descriptor.media_type in MANIFEST_TYPES:
                raw = self._document(descriptor, "the manifest")
                return Manifest.parse(raw, descriptor.media_type, self._limits)
            if descriptor.media_type not in INDEX_TYPES:
                raise errors.MediaTypeError(f"{descriptor.media_type[:200]!r} is no media type of an image known here")
            raw = self._document(descriptor, "the index")
            self._indexes.append((descriptor.digest, raw))
            descriptor = Index.parse(raw, self._limits).select(platform)
        raise errors.ImageFormatError(f"the image's index leads through more than {_DEPTH} others")

    # -- layers ------------------------------------------------------------------------------------------------------

    def _layers(self, manifest: Manifest, config: ImageConfig) -> None:
        chain = chain_ids(config.diff_ids)
        layers = list(zip(manifest.layers, config.diff_ids, chain, strict=True))
        with contextlib.ExitStack() as stack:
            waiting: dict[str, concurrent.futures.Future[None]] = {}
            if self._source.parallel > 1:
                pool = stack.enter_context(
                    concurrent.futures.ThreadPoolExecutor(self._source.parallel, "overlaykit-fetch")
                )
                # What fails ends the rest that has not begun.
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
                for layer in manifest.layers:
                    if layer.digest not in waiting and not self._is_here(layer):
                        waiting[layer.digest] = pool.submit(self._fetch, layer)
            parent: str | None = None
            try:
                for layer, diff_id, name in layers:
                    future = waiting.pop(layer.digest, None)
                    if future is not None:
                        future.result()
                    self._layer(layer, diff_id, name, parent)
                    parent = name
            except BaseException as error:
                raise self._fail(error) from error.__cause__

    def _fetch(self, layer: Descriptor) -> None:
        try:
            self._download(layer)
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> BaseException:
        """End what is under way; return what failed first, of which the rest may be a consequence."""
        with self._lock:
            if self._failure is None or not isinstance(error, Exception):
                self._failure = error
        self._source.stop()
        return self._failure

    def _is_here(self, layer: Descriptor) -> bool:
        return self._store.content.exists(layer.digest)

    def _layer(self, layer: Descriptor, diff_id: str, name: str, parent: str | None) -> None:
        unpacked = self._store.has(name)
        if not self._is_here(layer):
            if unpacked:
                self._download(layer)
            else:
                self._unpack_coming(layer, diff_id, name, parent)
                self._tell(ProgressEvent("done", layer.digest, layer.size, layer.size))
                return
        else:
            size = self._store.content.size(layer.digest)
            if size != layer.size:
                raise errors.ImageFormatError(
                    f"the layer {layer.digest} has {size} bytes and should have {layer.size}: make or fetch the image "
                    "again"
                )
            self._shared += 0 if layer.digest in self._downloaded else layer.size
        if unpacked:
            self._tell(ProgressEvent("exists", layer.digest, layer.size, layer.size))
            return
        content = self._store.content
        self._apply(lambda: content.open(layer.digest), layer, diff_id, name, parent, tee=None)
        self._tell(ProgressEvent("done", layer.digest, layer.size, layer.size))

    def _download(self, layer: Descriptor) -> None:
        with self._store.content.ingest(layer.digest, layer.size, wait=3600) as ingest:
            if ingest.present:
                ingest.abort()
                return
            start = ingest.offset
            with contextlib.closing(self._source.open(layer, start)) as raw:
                while piece := raw.read(_PIECE):
                    ingest.write(piece)
                    self._tell(ProgressEvent("download", layer.digest, ingest.offset, layer.size))
            moved = ingest.offset - start
            ingest.commit()
        with self._lock:
            self._moved += moved
            self._downloaded.add(layer.digest)

    def _unpack_coming(self, layer: Descriptor, diff_id: str, name: str, parent: str | None) -> None:
        """Unpack while it comes, and keep what comes."""
        content = self._store.content
        with content.ingest(layer.digest, layer.size, resume=False, wait=3600) as ingest:
            if ingest.present:
                ingest.abort()
            else:
                try:
                    self._apply(lambda: self._source.open(layer), layer, diff_id, name, parent, tee=ingest)
                except (errors.ImageFormatError, errors.UnsupportedError, errors.StoreFullError):
                    # Nobody wants the rest of it.
                    ingest.abort()
                    raise
                if ingest.offset == layer.size:
                    self._moved += layer.size
                    ingest.commit()
                    return
                # Another one has unpacked the same layer out of another blob meanwhile.
                ingest.abort()
        if content.exists(layer.digest):
            self._shared += layer.size
        else:
            self._download(layer)
        if not self._store.has(name):
            self._apply(lambda: content.open(layer.digest), layer, diff_id, name, parent, tee=None)

    def _apply(
        self,
        open: Callable[[], BinaryIO],
        layer: Descriptor,
        diff_id: str,
        name: str,
        parent: str | None,
        *,
        tee: Tee | None,
    ) -> None:
        try:
            self._store.apply(
                open,
                parent,
                name,
                digest=layer.digest,
                diff_id=diff_id,
                labels={LABEL_MEDIA_TYPE: layer.media_type},
                size=layer.size,
                limits=self._limits,
                tee=tee,
                progress=lambda done: self._tell(ProgressEvent("unpack", layer.digest, done, layer.size)),
            )
        except errors.ExistsError:
            # Another one has unpacked the same layer meanwhile.
            if not self._store.has(name):
                raise


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
            futures = {pool.submit(self._one, blob): blob for blob in blobs}
            try:
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
