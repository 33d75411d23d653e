"""What changed in a snapshot becomes a blob and a layer in one go."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from .. import errors
from ..changeset import Channel, Closed, Limits, Restart, apply_layer
from ._diff import diff, pack
from ._labels import LABEL_BLOB, LABEL_DIFF_ID, LABEL_MEDIA_TYPE
from ._layers import open_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..changeset import CompressedWriter, WrittenLayer
    from ._diff import LayerDescriptor, Shown
    from ._store import Store
    from ._working import Working

__all__ = ["begin_layer", "commit_layer", "keep_layer", "pack_layer"]

_WAITING: Final = 4  # pieces between the two threads


def keep_layer(
    store: Store,
    key: str,
    parent: str | None,
    name: Callable[[LayerDescriptor], str],
    *,
    compression: str = "gzip",
    epoch: int | None = None,
    shown: Shown | None = None,
) -> LayerDescriptor:
    """Make a layer of how a snapshot differs from what it stands on: a blob, and a committed snapshot of that.

    The same comes of :meth:`Store.diff` into the store's content and :meth:`Store.apply` of that, and takes longer.

    :param store: what has them.
    :param key: the snapshot; it stays what it is.
    :param parent: what the layer is to stand on, which has what the snapshot stands on.
    :param name: tells the layer's name; where there is a snapshot of that name, that is the layer.
    :param compression: of the blob: ``"gzip"``, ``"zstd"`` or ``"none"``.
    :param epoch: seconds since the epoch; later times are written as this one.
    :param shown: the snapshot's tree and changes, where the store cannot open it; read once.
    :raises NotFoundError: there is no such snapshot.
    :raises ChangesetError: a name begins with ``.wh.``, or a file changed meanwhile.
    :raises StoreFullError: there is no room.
    """
    with store.snapshot(parent, labels=store._engine.owners.labels()) as working:
        with store.content.ingest() as ingest, _Unpacking(store, parent, working) as unpacking:
            layer = diff(store, key, ingest, compression, None, epoch, None, also=unpacking.take, shown=shown)
            ingest.commit()
            unpacking.finish()
        if unpacking.done:
            _commit(working, layer, name)
            return layer
    _unpack_again(store, parent, name(layer), layer)
    return layer


def begin_layer(store: Store, parent: str | None) -> Working:
    """Make a working snapshot that is to become a layer: it keeps owners as layers do.

    :param parent: the layer below; ``None`` for none.
    :raises OSError: as :meth:`Store.prepare`.
    """
    return store.snapshot(parent, labels=store._engine.owners.labels())


def commit_layer(
    store: Store,
    working: Working,
    name: Callable[[LayerDescriptor], str],
    *,
    compression: str = "gzip",
    epoch: int | None = None,
) -> LayerDescriptor:
    """Make a working snapshot of :func:`begin_layer` a layer: a blob of what changed, and the snapshot itself.

    Where the blob does not have all as it is in the snapshot (sockets, times later than the epoch), it is unpacked
    again. Where the layer is there already, the working snapshot stays, to be discarded.

    :param name: tells the layer's name; where there is a snapshot of that name, that is the layer.
    :param compression: of the blob: ``"gzip"``, ``"zstd"`` or ``"none"``.
    :param epoch: seconds since the epoch; later times are written as this one.
    :raises ChangesetError: a name begins with ``.wh.``, or a file changed meanwhile.
    :raises LayerInUseError: a file in it is open for writing.
    :raises StoreFullError: there is no room.
    """
    if epoch is not None:
        return keep_layer(store, working.key, working.info.parent, name, compression=compression, epoch=epoch)
    with store.content.ingest() as ingest:
        layer = diff(store, working.key, ingest, compression, None, None, None)
        ingest.commit()
    if layer.skipped:
        _unpack_again(store, working.info.parent, name(layer), layer)
        return layer
    _commit(working, layer, name)
    return layer


def pack_layer(
    store: Store,
    working: Working,
    write: Callable[[CompressedWriter], WrittenLayer],
    name: Callable[[LayerDescriptor], str],
    *,
    compression: str = "gzip",
) -> LayerDescriptor:
    """Make a working snapshot of :func:`begin_layer`, in which nothing was done, the layer of an archive.

    Where the layer is there already, the working snapshot stays, to be discarded.

    :param write: writes the archive, without whiteouts: it is unpacked while it is compressed and hashed.
    :param name: tells the layer's name; where there is a snapshot of that name, that is the layer.
    :param compression: of the blob: ``"gzip"``, ``"zstd"`` or ``"none"``.
    :raises StoreFullError: there is no room.
    :raises OSError: what ``write`` raises.
    """
    parent = working.info.parent
    with store.content.ingest() as ingest, _Unpacking(store, parent, working) as unpacking:
        layer = pack(ingest, compression, None, write, also=unpacking.take)
        ingest.commit()
        unpacking.finish()
    if unpacking.done:
        _commit(working, layer, name)
    else:
        _unpack_again(store, parent, name(layer), layer)
    return layer


def _commit(working: Working, layer: LayerDescriptor, name: Callable[[LayerDescriptor], str]) -> None:
    labels = {LABEL_DIFF_ID: layer.diff_id, LABEL_BLOB: layer.digest, LABEL_MEDIA_TYPE: layer.media_type}
    with contextlib.suppress(errors.ExistsError):
        working.commit(name(layer), labels=labels)


def _unpack_again(store: Store, parent: str | None, name: str, layer: LayerDescriptor) -> None:
    """Unpack the blob: what could not be unpacked in one reading."""
    with contextlib.suppress(errors.ExistsError):
        store.apply(
            lambda: store.content.open(layer.digest),
            parent,
            name,
            digest=layer.digest,
            diff_id=layer.diff_id,
            labels={LABEL_MEDIA_TYPE: layer.media_type},
            limits=Limits.none(),
        )


class _Unpacking:
    """Unpacks a layer in a thread while it is being written.

    :ivar done: whether all of it was unpacked; ``False`` where its whiteouts must be known before.
    """

    def __init__(self, store: Store, parent: str | None, working: Working) -> None:
        self.done = False
        self._store = store
        self._parent = parent
        self._working = working
        self._pieces: Channel[bytes] = Channel(_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="overlaykit-layer-unpack", daemon=True)

    def take(self, piece: memoryview) -> None:
        """Unpack the next piece of the archive.

        :raises OSError: unpacking failed.
        """
        try:
            self._pieces.put(bytes(piece))
        except Closed:
            assert self._error is not None
            raise self._error from None

    def finish(self) -> None:
        """Wait until all that was taken is unpacked.

        :raises OSError: that failed.
        """
        self._pieces.end()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> _Unpacking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._unpack()
        except Closed:
            pass  # given up
        except BaseException as error:
            self._error = error
            self._pieces.close()

    def _unpack(self) -> None:
        store, working = self._store, self._working
        with contextlib.ExitStack() as stack:
            parent = self._parent
            below = None if parent is None else lambda: open_below(store, parent, working, stack)
            writer = stack.enter_context(store._engine.layer_writer(working.key))
            with contextlib.suppress(Restart):
                apply_layer(self._each(), writer, below, limits=Limits.none())
                self.done = True
        for _ in self._each():
            pass

    def _each(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            yield piece
