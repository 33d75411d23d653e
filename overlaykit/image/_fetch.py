"""Images that come in: their blobs, and their layers as snapshots."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

from .. import errors
from ..changeset import Limits, check_digest, digest_of
from ..driver import Capability
from ..store import LABEL_MEDIA_TYPE
from ._model import INDEX_TYPES, MANIFEST_TYPES, Descriptor, ImageConfig, Index, Manifest, Platform, chain_ids
from ._reference import Reference
from ._transfer import Fetched, ProgressEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from ..changeset import Tee
    from ._store import ImageStore
    from ._transfer import BlobSource

__all__ = ["fetch_image"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PIECE = 1 << 20
_DEPTH = 4
"""Indexes inside indexes."""
_TOGETHER = 4
"""Layers unpacked at once, at most."""
_COMMITTING = 10
"""Seconds that somebody else's commit may take."""


def fetch_image(
    store: ImageStore,
    source: BlobSource,
    descriptor: Descriptor,
    *,
    platform: Platform | str | None = None,
    any_alone: bool = False,
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
    :param any_alone: take one that comes alone whatever its platform, though one was asked for.
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
    return _Fetch(store, source, progress, limits or Limits()).run(
        descriptor, wanted, index, names, any_alone=any_alone
    )


class _StoppedError(Exception):
    """Another layer has failed, or the caller has given up."""


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
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._moved = 0
        self._shared = 0
        self._came: set[str] = set()
        self._indexes: list[tuple[str, bytes]] = []

    def run(
        self,
        descriptor: Descriptor,
        platform: Platform | None,
        index: Descriptor | None,
        references: list[str],
        *,
        any_alone: bool,
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
            alone = platform is not None and not self._indexes and not any_alone
            if alone and platform is not None and not platform.accepts(config.platform):
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
        # A layer that may be unpacked before the one below it is there leaves no processor idle; each takes memory.
        together = min(_TOGETHER, os.cpu_count() or 1) if Capability.REBASE in self._store.capabilities else 1
        with contextlib.ExitStack() as stack:
            unpacking = self._pool(stack, together, "unpack")
            downloads: dict[str, Future[None]] = {}
            if self._source.parallel > 1:
                downloading = self._pool(stack, self._source.parallel, "fetch")
                for layer in manifest.layers:
                    if layer.digest not in downloads and not self._is_here(layer):
                        downloads[layer.digest] = downloading.submit(self._ending, self._download, layer)
            first: dict[str, Future[str]] = {}
            done: list[Future[str]] = []
            for layer, diff_id, name in zip(manifest.layers, config.diff_ids, chain, strict=True):
                # One blob may be several layers: it comes once.
                before = (downloads.get(layer.digest), first.get(layer.digest))
                below = done[-1].result if done else None
                unpacked = unpacking.submit(self._ending, self._layer, layer, diff_id, name, below, before)
                first.setdefault(layer.digest, unpacked)
                done.append(unpacked)
            concurrent.futures.wait(done, return_when=concurrent.futures.FIRST_EXCEPTION)
        if self._failure is not None:
            raise self._failure

    def _pool(self, stack: contextlib.ExitStack, threads: int, what: str) -> concurrent.futures.Executor:
        pool = concurrent.futures.ThreadPoolExecutor(threads, f"overlaykit-{what}")
        # What fails ends the rest that has not begun.
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stack.push(self._end)
        return pool

    def _end(self, _: object, error: BaseException | None, __: object) -> None:
        """End what threads are at before they are waited for: Ctrl-C may come before all of them have begun."""
        if error is not None:
            self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        self._source.stop()

    def _ending(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do something; where it fails, end all else, and keep what failed first: the rest may be a consequence."""
        try:
            return work(*args, **kwargs)
        except BaseException as error:
            with self._lock:
                if self._failure is None and not self._stopped.is_set():
                    self._failure = error
            self._stop()
            raise

    def _event(self, action: str, digest: str, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self._tell(ProgressEvent(action, digest, done, total))

    def _is_here(self, layer: Descriptor) -> bool:
        content = self._store.content
        if not content.exists(layer.digest):
            return False
        if (size := content.size(layer.digest)) != layer.size:
            raise errors.ImageFormatError(
                f"the layer {layer.digest} has {size} bytes and should have {layer.size}: make or fetch the image again"
            )
        return True

    def _layer(
        self,
        layer: Descriptor,
        diff_id: str,
        name: str,
        parent: Callable[[], str] | None,
        before: Iterable[Future[None] | Future[str] | None],
    ) -> str:
        """Unpack a layer, and return its name.

        :param parent: waits for the one below.
        :param before: what brings the blob.
        """
        for future in before:
            if future is not None:
                future.result()
        if self._store.has(name):
            if self._is_here(layer):
                self._count(layer)
            else:
                self._download(layer)
            self._event("exists", layer.digest, layer.size, layer.size)
            return name
        if self._is_here(layer):
            self._count(layer)
            self._apply_here(layer, diff_id, name, parent)
        else:
            self._unpack_coming(layer, diff_id, name, parent)
        self._event("done", layer.digest, layer.size, layer.size)
        return name

    def _count(self, layer: Descriptor, moved: int | None = None) -> None:
        """Count a blob that was here, or the bytes of one that came."""
        with self._lock:
            if moved is not None:
                self._moved += moved
                self._came.add(layer.digest)
            elif layer.digest not in self._came:
                self._shared += layer.size

    def _download(self, layer: Descriptor) -> None:
        with self._store.content.ingest(layer.digest, layer.size, wait=3600) as ingest:
            if ingest.present:
                ingest.abort()
                return
            start = ingest.offset
            with contextlib.closing(self._source.open(layer, start)) as raw:
                while piece := raw.read(_PIECE):
                    ingest.write(piece)
                    self._event("download", layer.digest, ingest.offset, layer.size)
            moved = ingest.offset - start
            ingest.commit()
        self._count(layer, moved)

    def _unpack_coming(self, layer: Descriptor, diff_id: str, name: str, parent: Callable[[], str] | None) -> None:
        """Unpack while it comes, and keep what comes."""
        # Nobody waits for this blob: two who each had one that the other needs first would wait for ever.
        with self._store.content.ingest(layer.digest, layer.size, private=True) as ingest:
            self._apply(lambda: self._source.open(layer), layer, diff_id, name, parent, tee=ingest)
            if ingest.offset == layer.size:
                ingest.commit()
                self._count(layer, layer.size)
                return
            # Another one has unpacked the same layer out of another blob meanwhile.
            ingest.abort()
        if self._is_here(layer):
            self._count(layer)
        else:
            self._download(layer)
        if not self._store.has(name):
            self._apply_here(layer, diff_id, name, parent)

    def _apply_here(self, layer: Descriptor, diff_id: str, name: str, parent: Callable[[], str] | None) -> None:
        content = self._store.content
        self._apply(lambda: content.open(layer.digest), layer, diff_id, name, parent, tee=None)

    def _apply(
        self,
        open: Callable[[], BinaryIO],
        layer: Descriptor,
        diff_id: str,
        name: str,
        parent: Callable[[], str] | None,
        *,
        tee: Tee | None,
    ) -> None:
        for last in (False, False, True):
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
                    progress=lambda done: self._event("unpack", layer.digest, done, layer.size),
                )
                return
            except errors.ExistsError:
                # Another one has unpacked the same layer meanwhile, or is about to.
                if self._appears(name):
                    return
                if last:
                    raise
            tee = None

    def _appears(self, name: str) -> bool:
        end = time.monotonic() + _COMMITTING
        while not (there := self._store.has(name)) and time.monotonic() < end and not self._stopped.wait(0.02):
            pass
        return there
