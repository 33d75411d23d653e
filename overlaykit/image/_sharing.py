"""Which layers there are, whose they are, and what sharing them saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store import LABEL_BLOB, LABEL_DIFF_ID
from ..values import value_class
from ._model import chain_ids

if TYPE_CHECKING:
    from ._model import ImageConfig, Manifest
    from ._store import ImageStore

__all__ = ["HistoryEntry", "Layer", "history", "layers"]


@value_class
class HistoryEntry:
    """One instruction of an image's making.

    :param created: when, as RFC 3339 has it.
    :param created_by: what.
    :param diff_id: the layer that it made; ``""`` where it made none.
    :param digest: of that layer's blob.
    :param size: bytes of that blob.
    """

    created: str
    created_by: str
    comment: str
    author: str
    diff_id: str = ""
    digest: str = ""
    size: int = 0

    @property
    def empty_layer(self) -> bool:
        """Whether it made no layer."""
        return not self.diff_id


@value_class
class Layer:
    """A layer in a store.

    :param chain_id: what it is known by, together with those below.
    :param diff_id: the digest of its uncompressed archive.
    :param blob: the digest of the blob that it came from.
    :param parent: the chain id of the layer below.
    :param bytes: bytes of storage it takes by itself.
    :param images: digests of the images that have it.
    :param containers: names of the containers over it.
    """

    chain_id: str
    diff_id: str
    blob: str
    parent: str | None
    bytes: int
    images: tuple[str, ...]
    containers: tuple[str, ...]

    @property
    def saved(self) -> int:
        """Bytes that would be stored besides, if each of its users had a copy of its own."""
        return self.bytes * max(0, len(self.images) + len(self.containers) - 1)


def history(config: ImageConfig, manifest: Manifest) -> list[HistoryEntry]:
    """Pair an image's history with its layers, the newest instruction first.

    Layers that the history does not tell of come last, without an instruction: it is optional (OCI image
    specification, config.md).
    """
    pairs = list(zip(config.diff_ids, manifest.layers, strict=True))
    found = []
    at = 0
    for entry in config.history:
        made: tuple[str, str, int] = ("", "", 0)
        if not entry.empty_layer and at < len(pairs):
            diff_id, layer = pairs[at]
            made = (diff_id, layer.digest, layer.size)
            at += 1
        found.append(HistoryEntry(entry.created, entry.created_by, entry.comment, entry.author, *made))
    found += [HistoryEntry("", "", "", "", diff_id, layer.digest, layer.size) for diff_id, layer in pairs[at:]]
    return found[::-1]


def layers(store: ImageStore) -> list[Layer]:
    """Return all layers, a parent before its children."""
    images: dict[str, list[str]] = {}
    containers: dict[str, list[str]] = {}
    chains: dict[str, tuple[str, ...]] = {}
    for image in store.images():
        chains[image.digest] = chain_ids(store.config(image).diff_ids)
        for one in chains[image.digest]:
            images.setdefault(one, []).append(image.digest)
    for container in store.containers():
        for one in chains.get(container.image, ()):
            containers.setdefault(one, []).append(container.name)
    return [
        Layer(
            info.key,
            info.labels.get(LABEL_DIFF_ID, ""),
            info.labels.get(LABEL_BLOB, ""),
            info.parent,
            store.usage(info.key).bytes,
            tuple(images.get(info.key, ())),
            tuple(containers.get(info.key, ())),
        )
        for info in store.layer_snapshots()
    ]
