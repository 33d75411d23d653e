"""New images: a layer of what a snapshot changed, a configuration and a manifest over all of them."""

from __future__ import annotations

import datetime
import json
import os
from typing import TYPE_CHECKING, Any

from .. import errors
from ..changeset import Limits
from ._model import OCI_CONFIG, OCI_MANIFEST, Descriptor, ImageConfig, Manifest, chain_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..store import LayerDescriptor, Shown
    from ._records import Image
    from ._store import ImageStore

__all__ = ["add_layer", "record", "source_date_epoch", "timestamp"]


def add_layer(
    store: ImageStore,
    key: str,
    parent: str | None,
    below: Sequence[str],
    compression: str,
    epoch: int | None,
    shown: Shown | None = None,
) -> LayerDescriptor:
    """Write how a snapshot differs from what it stands on as a blob, and unpack that, unless it is here.

    :param parent: the layer that it is to stand on, which has what the snapshot stands on.
    :param below: the diff ids of that layer and those below it.
    :param shown: see :func:`keep_layer`.
    """
    from ..store import keep_layer

    return keep_layer(
        store,
        key,
        parent,
        lambda layer: chain_ids((*below, layer.diff_id))[-1],
        compression=compression,
        epoch=epoch,
        shown=shown,
    )


def record(
    store: ImageStore,
    document: dict[str, Any],
    layers: Sequence[Descriptor],
    reference: str | None,
    *,
    media_type: str = OCI_MANIFEST,
    config_type: str = OCI_CONFIG,
) -> Image:
    """Keep a configuration, and a manifest of it and of layers that are here, as an image.

    :param document: the configuration.
    :param reference: a name for it.
    """
    config = json.dumps(document, separators=(",", ":")).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": Descriptor.of(config_type, config).document(),
        "layers": [layer.document() for layer in layers],
    }
    raw = json.dumps(manifest, separators=(",", ":")).encode()
    store.content.add(config)
    store.content.add(raw)
    return store.record_image(
        Manifest.parse(raw, media_type, Limits.none()),
        ImageConfig.parse(config, Limits.none()),
        [] if reference is None else [reference],
    )


def source_date_epoch(given: int | None) -> int | None:
    """Return the epoch that was given, or else that of the environment."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given is not None or not text:
        return given
    try:
        datetime.datetime.fromtimestamp(int(text), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise errors.ChangesetError(
            f"$SOURCE_DATE_EPOCH is {text[:40]!r} and no number of seconds: set it to one, or unset it"
        ) from None
    return int(text)


def timestamp(epoch: int | None) -> str:
    """Return a time, or now, as RFC 3339 has it."""
    now = datetime.datetime.now(datetime.UTC)
    moment = now if epoch is None else datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"
