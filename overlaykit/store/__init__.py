"""The store: snapshots with names over one driver, for many threads and several processes at once."""

from __future__ import annotations

from ._content import ContentStore
from ._diff import LayerDescriptor
from ._engine import Engine
from ._ingest import Ingest
from ._layers import LABEL_BLOB, LABEL_DIFF_ID, LayerInfo
from ._open import FORMAT, open_as, open_store
from ._store import Store
from ._working import Working

__all__ = [
    "FORMAT",
    "LABEL_BLOB",
    "LABEL_DIFF_ID",
    "ContentStore",
    "Engine",
    "Ingest",
    "LayerDescriptor",
    "LayerInfo",
    "Store",
    "Working",
    "open_as",
    "open_store",
]
