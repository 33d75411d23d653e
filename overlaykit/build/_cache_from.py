"""``--cache-from``: what images tell of the steps that made them.

An image that was built here has the cache key of each layer's step in its manifest. Of any other one the history is
compared: a RUN is the same where all before it is the same text over the same layers, as Docker's first builder had it.
What a COPY copied no history tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..values import value_class
from ._cache import CacheRecord
from ._layers import KEY_ANNOTATION, Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._bases import Base

__all__ = ["HistoryCache", "known_steps"]


@value_class
class _Entry:
    created: str
    created_by: str
    stack: Stack
    """All layers below it, and its own."""
    empty: bool


def _entries(base: Base) -> list[_Entry]:
    layers = base.stack.layers
    found, count = [], 0
    for one in base.history:
        empty = bool(one.get("empty_layer"))
        count += not empty
        if count > len(layers):
            return []
        stack = Stack()
        below = Stack(layers[: count - 1]) if count else stack
        if count:
            stack = Stack(layers[:count], below.chain(layers[count - 1].diff_id))
        found.append(_Entry(str(one.get("created") or ""), str(one.get("created_by") or ""), stack, empty))
    return found


def _record(key: str, entry: _Entry) -> CacheRecord:
    layer = entry.stack.layers[-1]
    blob = layer.descriptor
    return CacheRecord(
        key,
        layer.diff_id,
        entry.stack.top or "",
        blob.digest,
        blob.media_type,
        blob.size,
        entry.created,
        entry.created_by,
    )


def known_steps(images: Sequence[Base]) -> dict[str, CacheRecord]:
    """Return the steps whose keys images tell."""
    found = {}
    for image in images:
        for entry in _entries(image):
            if not entry.empty:
                key = entry.stack.layers[-1].descriptor.annotations.get(KEY_ANNOTATION)
                if key:
                    found[key] = _record(key, entry)
    return found


class HistoryCache:
    """The histories of images that do not tell keys."""

    def __init__(self, images: Sequence[Base]) -> None:
        self._images = [_entries(image) for image in images]

    def find(self, key: str, history: Sequence[dict[str, Any]], created_by: str, stack: Stack) -> CacheRecord | None:
        """Return a step that is the same by its history.

        :param history: what comes before it.
        :param stack: the layers below it.
        """
        at = len(history)
        for entries in self._images:
            if len(entries) <= at or entries[at].empty or entries[at].created_by != created_by:
                continue
            if entries[at].stack.diff_ids[:-1] != stack.diff_ids:
                continue
            if all(one.get("created_by") == other.created_by for one, other in zip(history, entries, strict=False)):
                return _record(key, entries[at])
        return None
