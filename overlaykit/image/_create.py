"""A plain snapshot, with all that it stands on, becomes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._model import Descriptor, Platform, chain_ids
from ._reference import Reference
from ._write import add_layer, record, source_date_epoch, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..store import LayerDescriptor
    from ._records import Image
    from ._store import ImageStore

__all__ = ["create_image"]


def create_image(
    store: ImageStore,
    key: str,
    reference: str | None,
    config: Mapping[str, Any],
    platform: str | None,
    compression: str,
    epoch: int | None,
) -> Image:
    """See :meth:`ImageStore.create_image`."""
    if reference is not None:
        Reference.parse(reference)  # before the work
    where = Platform.here() if platform is None else Platform.parse(platform)
    epoch = source_date_epoch(epoch)
    stack: list[str] = []
    below: str | None = key
    while below is not None:
        stack.append(below)
        below = store.stat(below).parent
    layers: list[LayerDescriptor] = []
    diff_ids: tuple[str, ...] = ()
    with store.adding():
        for snapshot in reversed(stack):
            parent = chain_ids(diff_ids)[-1] if diff_ids else None
            layers.append(add_layer(store, snapshot, parent, diff_ids, compression, epoch))
            diff_ids = (*diff_ids, layers[-1].diff_id)
        moment = timestamp(epoch)
        document: dict[str, Any] = {"created": moment, "architecture": where.architecture, "os": where.os}
        if where.variant:
            document["variant"] = where.variant
        document["config"] = {name: value for name, value in config.items() if value is not None}
        document["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
        document["history"] = [{"created": moment, "created_by": "overlaykit create_image"} for _ in layers]
        blobs = [Descriptor(layer.media_type, layer.digest, layer.size) for layer in layers]
        return record(store, document, blobs, reference)
