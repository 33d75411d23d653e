"""Images out of Dockerfiles: parsed, planned, built step by step, and cached.

The store is imported with it; the rest when a name is first used.
"""

from __future__ import annotations

from ..lazy import lazy_names
from ._store import BuildStore, open_store

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._cache import BuildCache, CacheRecord
    from ._events import BuildEvent
    from ._request import BuildResult, BuildWarning, Pull, Secret, Shell

__all__ = [
    "BuildCache",
    "BuildEvent",
    "BuildResult",
    "BuildStore",
    "BuildWarning",
    "CacheRecord",
    "Pull",
    "Secret",
    "Shell",
    "open_store",
]

_LATER = {
    "BuildCache": "_cache",
    "BuildEvent": "_events",
    "BuildResult": "_request",
    "BuildWarning": "_request",
    "CacheRecord": "_cache",
    "Pull": "_request",
    "Secret": "_request",
    "Shell": "_request",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
