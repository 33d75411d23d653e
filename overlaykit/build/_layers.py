"""Steps that make layers: out of the cache, or done, kept and remembered."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING, Protocol

from .. import errors
from ..image import Descriptor, chain_ids, timestamp
from ..values import replace, value_class
from ._cache import CacheRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..changeset import CompressedWriter, WrittenLayer
    from ..image import ImageStore
    from ..store import LayerDescriptor, Working
    from ..tree import Tree
    from ._cache import BuildCache
    from ._cache_from import HistoryCache
    from ._control import Control
    from ._events import Step
    from ._locks import KeyLocks

__all__ = ["KEY_ANNOTATION", "Layer", "LayerMaker", "LayerSource", "Stack"]

KEY_ANNOTATION = "overlaykit.build.key"
"""The annotation of a layer in a manifest: the cache key of the step that made it, for ``--cache-from``."""


class LayerSource(Protocol):
    """What writes a layer without having made it first."""

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""

    def write(self, out: CompressedWriter) -> WrittenLayer:
        """Write its archive, which has no whiteouts."""


@value_class
class Layer:
    """One layer of an image that is being built.

    :param descriptor: of its blob, as the manifest is to have it.
    :param diff_id: of the uncompressed archive.
    """

    descriptor: Descriptor
    diff_id: str


@value_class
class Stack:
    """Layers one over the other.

    :param layers: the lowest first.
    :param top: the name of the topmost one's snapshot; ``None`` for no layers.
    """

    layers: tuple[Layer, ...] = ()
    top: str | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Of the layers, the lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    def chain(self, diff_id: str) -> str:
        """Return the name of the snapshot of one more layer."""
        return chain_ids((*self.diff_ids, diff_id))[-1]

    def over(self, record: CacheRecord) -> Stack:
        """Return the stack with a step's layer on top; a step that changed nothing leaves it as it is."""
        descriptor = record.layer
        if descriptor is None:
            return self
        marked = replace(descriptor, annotations={KEY_ANNOTATION: record.key})
        return Stack((*self.layers, Layer(marked, record.diff_id)), self.chain(record.diff_id))


class LayerMaker:
    """Makes the layers of one build.

    :param known: steps that ``--cache-from`` tells of, by key.
    :param histories: what else it tells.
    :param no_cache: do everything again; what comes of it is remembered all the same.
    """

    def __init__(
        self,
        store: ImageStore,
        cache: BuildCache,
        locks: KeyLocks,
        control: Control,
        *,
        known: Mapping[str, CacheRecord],
        histories: HistoryCache,
        no_cache: bool,
        compression: str,
        epoch: int | None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._locks = locks
        self._control = control
        self._known = known
        self._histories = histories
        self._no_cache = no_cache
        self._compression = compression
        self._epoch = epoch
        self._lock = threading.Lock()
        self._used: list[str] = []
        #: Steps that make layers, and those of them that were cached.
        self.steps = 0
        self.cached = 0

    def make(
        self,
        stack: Stack,
        key: str,
        created_by: str,
        work: Callable[[Working], None],
        step: Step,
        *,
        linked: bool = False,
        pack: Callable[[Tree, bool], LayerSource | None] | None = None,
        look: Callable[[Working], None] | None = None,
        history: Sequence[dict[str, Any]] | None = None,
    ) -> tuple[Stack, CacheRecord]:
        """Return the stack with what a step makes of it.

        :param key: the digest of all that it depends on, the stack included unless ``linked``.
        :param created_by: what history says of it.
        :param work: does it in a snapshot over the stack, or over nothing where ``linked``.
        :param linked: its layer does not depend on what is below.
        :param pack: returns what writes the layer at once, or ``None`` where ``work`` has to be done for it; given the
            tree that it goes over, and whether that is of no layers.
        :param look: looks at what was done, before it is kept.
        :param history: what comes before it, where its text and that tell what it does.
        :raises StoreFullError: there is no room.
        """
        self._control.check()
        with self._lock:
            self.steps += 1
        record = None if self._no_cache else self._found(stack, key, created_by, history)
        if record is None:
            with self._locks.hold(key.replace(":", "-"), self._control.check):
                # Another build may have done it meanwhile.
                record = None if self._no_cache else self._found(stack, key, created_by, history)
                if record is None:
                    record = self._do(stack, key, created_by, work, linked, pack, look)
                    step.done(record.size if record.diff_id else None)
                    return stack.over(record), record
        step.cached(record.size if record.diff_id else None)
        with self._lock:
            self.cached += 1
            self._used.append(key)
        return stack.over(record), record

    def note_use(self) -> None:
        """Record which steps were used."""
        with self._lock:
            used, self._used = self._used, []
        self._cache.touch(used)

    def _found(
        self, stack: Stack, key: str, created_by: str, history: Sequence[dict[str, Any]] | None
    ) -> CacheRecord | None:
        record = self._cache.find(key) or self._known.get(key)
        if record is None and history is not None:
            record = self._histories.find(key, history, created_by, stack)
        if record is None or not record.diff_id:
            return record
        if not self._store.content.exists(record.digest):
            return None
        name = stack.chain(record.diff_id)
        if not self._store.has(name):
            if name == record.chain:
                return None  # it was removed: what is below may have been all that it was about
            self._put_over(stack, record)
        return record

    def _do(
        self,
        stack: Stack,
        key: str,
        created_by: str,
        work: Callable[[Working], None],
        linked: bool,
        pack: Callable[[Tree, bool], LayerSource | None] | None,
        look: Callable[[Working], None] | None,
    ) -> CacheRecord:
        from ..store import begin_layer

        try:
            with begin_layer(self._store, None if linked else stack.top) as working:
                source = None if linked or pack is None else self._plan(working, pack)
                if source is not None:
                    layer = self._pack(working, stack, source)
                else:
                    work(working)
                    self._control.check()
                    if look is not None:
                        look(working)
                    layer = self._blob(working) if linked else self._keep(working, stack)
            record = self._record(stack, key, created_by, layer)
            if linked and layer is not None:
                self._put_over(stack, record)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and not isinstance(error, errors.OverlaykitError):
                where = self._store.path or "the store in memory"
                raise errors.StoreFullError(
                    f"the file system of {where} is full: make room, remove images, or prune --build-cache",
                    filename=where,
                ) from error
            raise
        self._cache.put(record)
        return record

    def _blob(self, working: Working) -> LayerDescriptor | None:
        if next(iter(self._store.changes(working.key)), None) is None:
            return None
        with self._store.content.ingest() as ingest:
            layer = self._store.diff(working.key, ingest, compression=self._compression, epoch=self._epoch)
            ingest.commit()
        return layer

    def _plan(self, working: Working, pack: Callable[[Tree, bool], LayerSource | None]) -> LayerSource | None:
        with self._store.tree(working.key, readonly=True) as tree:
            return pack(tree, working.info.parent is None)

    def _pack(self, working: Working, below: Stack, source: LayerSource) -> LayerDescriptor | None:
        from ..store import pack_layer

        if source.empty:
            return None
        return pack_layer(
            self._store, working, source.write, lambda made: below.chain(made.diff_id), compression=self._compression
        )

    def _keep(self, working: Working, below: Stack) -> LayerDescriptor | None:
        if next(iter(self._store.changes(working.key)), None) is None:
            return None
        from ..store import commit_layer

        return commit_layer(
            self._store,
            working,
            lambda made: below.chain(made.diff_id),
            compression=self._compression,
            epoch=self._epoch,
        )

    def _record(self, stack: Stack, key: str, created_by: str, layer: LayerDescriptor | None) -> CacheRecord:
        created = timestamp(self._epoch)
        if layer is None:
            return CacheRecord(key, "", stack.top or "", "", "", 0, created, created_by)
        chain = stack.chain(layer.diff_id)
        return CacheRecord(key, layer.diff_id, chain, layer.digest, layer.media_type, layer.size, created, created_by)

    def _put_over(self, stack: Stack, record: CacheRecord) -> None:
        """Unpack a layer that does not depend on what is below over this stack."""
        name = stack.chain(record.diff_id)
        if self._store.has(name):
            return
        from ..changeset import Limits
        from ..store import LABEL_MEDIA_TYPE

        content = self._store.content
        try:
            self._store.apply(
                lambda: content.open(record.digest),
                stack.top,
                name,
                digest=record.digest,
                diff_id=record.diff_id,
                labels={LABEL_MEDIA_TYPE: record.media_type},
                limits=Limits.none(),
            )
        except errors.ExistsError:
            if not self._store.has(name):
                raise
