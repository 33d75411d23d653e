"""A plain snapshot, with all that it stands on, becomes an image."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from ..changeset import Limits
from ._container import add_layer, source_date_epoch, timestamp
from ._model import OCI_CONFIG, OCI_MANIFEST, Descriptor, ImageConfig, Manifest, Platform, chain_ids
from ._reference import Reference

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
    parent: str | None = None
    with store.adding():
        for snapshot in reversed(stack):
            with store.content.ingest() as ingest:
                layer = store.diff(snapshot, ingest, compression=compression, epoch=epoch)  # type: ignore[arg-type]
                ingest.commit()
            layers.append(layer)
            name = chain_ids(tuple(one.diff_id for one in layers))[-1]
            add_layer(store, parent, name, layer)
            parent = name
        moment = timestamp(epoch, datetime.datetime.now(datetime.UTC))
        document: dict[str, Any] = {"created": moment, "architecture": where.architecture, "os": where.os}
        if where.variant:
            document["variant"] = where.variant
        document["config"] = {name: value for name, value in config.items() if value is not None}
        document["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        document["history"] = [{"created": moment, "created_by": "overlaykit create_image"} for _ in layers]
        raw_config = json.dumps(document, separators=(",", ":")).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor.of(OCI_CONFIG, raw_config).document(),
            "layers": [Descriptor(layer.media_type, layer.digest, layer.size).document() for layer in layers],
        }
        raw = json.dumps(manifest, separators=(",", ":")).encode()
        store.content.add(raw_config)
        store.content.add(raw)
        return store.record_image(
            Manifest.parse(raw, OCI_MANIFEST, Limits.none()),
            ImageConfig.parse(raw_config, Limits.none()),
            [] if reference is None else [reference],
        )
