"""Removes what no image and no container uses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .. import errors
from ..changeset import Limits, digest_of
from ..values import value_class
from ._model import INDEX_TYPES, Index, chain_ids

if TYPE_CHECKING:
    from ._store import ImageStore

__all__ = ["Collected", "collect"]


@value_class
class Collected:
    """What was removed.

    :param names: references.
    :param images: digests of images.
    :param layers: chain ids of layers.
    :param blobs: digests of blobs.
    :param bytes: bytes of those blobs, and of storage of those layers.
    """

    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    bytes: int = 0


def collect(store: ImageStore) -> Collected:
    """Remove layers and blobs that no image uses; the caller is alone.

    A layer that something else stands on (a container, a snapshot of somebody's own) stays, and with it all below.
    """
    kept_layers, kept_blobs = store.kept()
    used_layers, used_blobs = set(kept_layers), set(kept_blobs)
    for image in store.images():
        manifest = store.manifest(image)
        used_layers.update(chain_ids(store.config(image).diff_ids))
        used_blobs.update((image.digest, image.config), (layer.digest for layer in manifest.layers))
        index = store.index(image)
        if index is not None:
            used_blobs.update(_indexes(store, index))
    gone: list[str] = []
    size = 0
    # A layer is made after those below it.
    for info in reversed([info for info in store.layer_snapshots() if info.key not in used_layers]):
        with contextlib.suppress(errors.LayerInUseError, errors.RemovalVetoedError, errors.NotFoundError):
            usage = _usage(store, info.key)
            store.remove(info.key)
            gone.append(info.key)
            size += usage
    blobs = [digest for digest in store.content.walk() if digest not in used_blobs]
    for digest in blobs:
        size += store.content.size(digest)
        store.content.remove(digest)
    return Collected(layers=tuple(gone), blobs=tuple(blobs), bytes=size)


def _indexes(store: ImageStore, index: Index) -> set[str]:
    """Return the digests of an index and of those in it that are here."""
    found = {digest_of(index.raw)}
    waiting = [index]
    while waiting:
        for one in waiting.pop().manifests:
            if one.media_type in INDEX_TYPES and one.digest not in found and store.content.exists(one.digest):
                found.add(one.digest)
                raw = store.content.read(one.digest, store.content.size(one.digest))
                waiting.append(Index.parse(raw, Limits.none()))
    return found


def _usage(store: ImageStore, key: str) -> int:
    try:
        return store.usage(key).bytes
    except errors.SnapshotDamagedError:
        return 0
