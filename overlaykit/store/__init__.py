"""The store: snapshots with names over one driver, for many threads and several processes at once."""

from __future__ import annotations

from ._content import ContentStore
from ._diff import LayerDescriptor
from ._ingest import Ingest
from ._open import FORMAT, open_store
from ._store import Store
from ._working import Working

__all__ = ["FORMAT", "ContentStore", "Ingest", "LayerDescriptor", "Store", "Working", "open_store"]
