"""OCI layers: the changesets that turn one tree into another, as tar streams."""

from __future__ import annotations

from ._diff import WrittenLayer, write_layer
from ._limits import Limits

__all__ = ["Limits", "WrittenLayer", "write_layer"]
