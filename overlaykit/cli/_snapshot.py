"""Snapshots as commands write and filter them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._exit import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..driver import SnapshotInfo, Usage

__all__ = ["as_json", "labels_text", "parse_labels"]


def as_json(info: SnapshotInfo, usage: Usage | None = None) -> dict[str, Any]:
    """Return a snapshot for a JSON document; times are ISO 8601 in UTC."""
    document: dict[str, Any] = {
        "key": info.key,
        "kind": str(info.kind),
        "parent": info.parent,
        "labels": dict(info.labels),
        "created": info.created.isoformat(),
        "updated": info.updated.isoformat(),
    }
    if usage is not None:
        document["usage"] = {"bytes": usage.bytes, "inodes": usage.inodes}
    return document


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels in one cell of a table."""
    return ", ".join(f"{name}={value}" if value else name for name, value in sorted(labels.items()))


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return the labels that ``K=V`` words stand for.

    :raises UsageError: one of them has another form.
    """
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"the label {text!r} is not of the form NAME=VALUE")
        labels[name] = value
    return labels
