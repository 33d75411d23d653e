"""OCI layers: the changesets that turn one tree into another, as tar streams."""

from __future__ import annotations

from ._apply import Applied, Restart, apply_layer
from ._compress import CompressedWriter, compressed
from ._diff import WrittenLayer, write_layer
from ._digest import check_digest, new_hash, split_digest
from ._inflate import Compression
from ._limits import Limits
from ._stream import LayerStream, StreamResult, Tee

__all__ = [
    "Applied",
    "CompressedWriter",
    "Compression",
    "LayerStream",
    "Limits",
    "Restart",
    "StreamResult",
    "Tee",
    "WrittenLayer",
    "apply_layer",
    "check_digest",
    "compressed",
    "new_hash",
    "split_digest",
    "write_layer",
]
