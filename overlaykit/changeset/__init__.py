"""OCI layers: the changesets that turn one tree into another, as tar streams."""

from __future__ import annotations

from ._diff import WrittenLayer, write_layer

__all__ = ["WrittenLayer", "write_layer"]
