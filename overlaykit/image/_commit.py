"""A container becomes an image: one new layer over those of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._model import OCI_CONFIG, OCI_MANIFEST, Descriptor, ImageConfig, Manifest
from ._reference import Reference
from ._write import add_layer, record, source_date_epoch, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..store import LayerDescriptor, Shown
    from ._container import ContainerInfo
    from ._records import Image
    from ._store import ImageStore

__all__ = ["commit_container"]


def commit_container(
    store: ImageStore,
    container: ContainerInfo,
    reference: str | None,
    author: str,
    message: str,
    changes: Mapping[str, Any],
    compression: str,
    epoch: int | None,
    shown: Shown | None = None,
) -> Image:
    """See :meth:`Container.commit`.

    :param shown: the container's tree and its changes, where somebody else has it open.
    """
    epoch = source_date_epoch(epoch)
    if reference is not None:
        Reference.parse(reference)  # before the work
    with store.adding():
        image = store.image(container.image)
        base, manifest = store.config(image), store.manifest(image)
        layer = add_layer(store, container.name, image.top, base.diff_ids, compression, epoch, shown)
        document = _config(base, (*base.diff_ids, layer.diff_id), timestamp(epoch), author, message, changes)
        return record(
            store,
            document,
            (*manifest.layers, Descriptor(_layer_type(manifest, layer), layer.digest, layer.size)),
            reference,
            media_type=manifest.media_type,
            config_type=manifest.config.media_type if manifest.media_type != OCI_MANIFEST else OCI_CONFIG,
        )


def _layer_type(manifest: Manifest, layer: LayerDescriptor) -> str:
    """Docker's manifests have Docker's types of layers."""
    if manifest.media_type == OCI_MANIFEST:
        return layer.media_type
    end = layer.media_type.rpartition("+")[2] if "+" in layer.media_type else ""
    return "application/vnd.docker.image.rootfs.diff.tar" + (f".{end}" if end else "")


def _config(
    base: ImageConfig,
    diff_ids: tuple[str, ...],
    created: str,
    author: str,
    message: str,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    entry = {"created": created, "created_by": "overlaykit commit"}
    if author:
        entry["author"] = author
    if message:
        entry["comment"] = message
    document: dict[str, Any] = dict(base.document)
    inner = {**(document.get("config") or {}), **changes}
    document["created"] = created
    if author:
        document["author"] = author
    document["config"] = {key: value for key, value in inner.items() if value is not None}
    document["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    document["history"] = [*(document.get("history") or []), entry]
    # Docker's own notes about the container that made the base.
    for key in ("container", "container_config", "id", "parent", "parent_id"):
        document.pop(key, None)
    return document
