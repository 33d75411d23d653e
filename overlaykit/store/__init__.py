"""The store: snapshots with names over one driver, for many threads and several processes at once."""

from __future__ import annotations

from ..lazy import lazy_names
from ._content import ContentStore
from ._engine import Engine
from ._ids import needs_user_namespace
from ._ingest import Ingest, typed
from ._labels import LABEL_BLOB, LABEL_DIFF_ID, LABEL_MEDIA_TYPE
from ._locks import wait_for
from ._open import FORMAT, open_as, open_store
from ._store import Store
from ._working import Working

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._diff import LayerDescriptor, Shown
    from ._import import unpack_archive
    from ._keep import begin_layer, commit_layer, keep_layer, pack_layer
    from ._layers import LayerInfo

__all__ = [
    "FORMAT",
    "LABEL_BLOB",
    "LABEL_DIFF_ID",
    "LABEL_MEDIA_TYPE",
    "ContentStore",
    "Engine",
    "Ingest",
    "LayerDescriptor",
    "LayerInfo",
    "Shown",
    "Store",
    "Working",
    "begin_layer",
    "commit_layer",
    "keep_layer",
    "needs_user_namespace",
    "open_as",
    "open_store",
    "pack_layer",
    "typed",
    "unpack_archive",
    "wait_for",
]

_LATER = {
    "LayerDescriptor": "_diff",
    "LayerInfo": "_layers",
    "Shown": "_diff",
    "begin_layer": "_keep",
    "commit_layer": "_keep",
    "keep_layer": "_keep",
    "pack_layer": "_keep",
    "unpack_archive": "_import",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
