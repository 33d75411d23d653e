"""An analysis as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tree import Aspect, ChangeKind

if TYPE_CHECKING:
    from ._model import Analysis, Duplicate, Entry, EntryChange, LayerReport, Waste

__all__ = ["as_document", "aspect_names"]


def aspect_names(aspects: Aspect) -> list[str]:
    """Return what differs as words: ``["mode", "mtime"]``."""
    return [str(aspect.name).lower() for aspect in Aspect if aspect in aspects and aspect is not Aspect.NONE]


def as_document(analysis: Analysis, *, changes: bool = True) -> dict[str, Any]:
    """Return an analysis for a JSON document.

    :param changes: have each path that a layer changes in it, and not only how many there are.
    """
    return {
        "image": analysis.image.digest,
        "name": analysis.name,
        "references": list(analysis.image.references),
        "platform": analysis.image.platform,
        "container": analysis.container or None,
        "stored": analysis.stored,
        "wasted": analysis.wasted,
        "efficiency": analysis.efficiency,
        "user_stored": analysis.user_stored,
        "user_wasted": analysis.user_wasted if analysis.user_wasted != float("inf") else None,
        "duplicated": analysis.duplicated,
        "layers": [_layer(layer, changes) for layer in analysis.layers],
        "history": [
            {"created_by": one.created_by, "created": one.created, "comment": one.comment, "layer": one.layer}
            for one in analysis.steps
        ],
        "waste": [_waste(one) for one in analysis.waste],
        "duplicates": [_duplicate(one) for one in analysis.duplicates],
    }


def _layer(layer: LayerReport, changes: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "index": layer.index,
        "created_by": layer.created_by,
        "comment": layer.comment,
        "created": layer.created,
        "container": layer.is_container,
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        "chain_id": layer.chain_id,
        "size": layer.size,
        "unpacked": layer.unpacked,
        "stored": layer.stored,
        "entries": layer.entries,
        "added": layer.count(ChangeKind.ADDED),
        "modified": layer.count(ChangeKind.MODIFIED),
        "removed": layer.count(ChangeKind.DELETED),
        "wasted": layer.wasted,
        "hidden": layer.hidden,
        "shared": list(layer.shared),
    }
    if changes:
        document["changes"] = [_change(one) for one in layer.changes]
    return document


def _change(change: EntryChange) -> dict[str, Any]:
    return {
        "kind": str(change.kind),
        "path": change.path,
        "aspects": aspect_names(change.aspects),
        "stored": change.stored,
        **_entry(change.entry),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    import os

    document: dict[str, Any] = {"type": str(entry.kind), "mode": entry.mode, "uid": entry.uid, "gid": entry.gid}
    document["size"] = entry.size
    if entry.target:
        document["target"] = os.fsdecode(entry.target)
    if entry.device:
        document["device"] = entry.device
    return document


def _waste(waste: Waste) -> dict[str, Any]:
    return {
        "path": waste.path,
        "bytes": waste.bytes,
        "layer": waste.layer,
        "hidden_by": waste.hidden_by,
        "cause": str(waste.cause),
        "aspects": aspect_names(waste.aspects),
        "moved_to": waste.moved_to,
    }


def _duplicate(duplicate: Duplicate) -> dict[str, Any]:
    return {
        "digest": f"sha256:{duplicate.digest}",
        "size": duplicate.size,
        "bytes": duplicate.bytes,
        "places": [{"path": path, "layer": layer} for path, layer in duplicate.places],
    }
