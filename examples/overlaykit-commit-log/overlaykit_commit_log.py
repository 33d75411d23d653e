"""Writes a line for each commit to the file that ``OVERLAYKIT_COMMIT_LOG`` names."""

from __future__ import annotations

import json
import os

from overlaykit.driver import SnapshotInfo
from overlaykit.plugin import StoreInfo, hookimpl


@hookimpl
def overlaykit_after_commit(store: StoreInfo, snapshot: SnapshotInfo) -> None:
    """Called outside every lock; what is raised here becomes a warning, and the commit stands."""
    path = os.environ.get("OVERLAYKIT_COMMIT_LOG")
    if path:
        entry = {"time": snapshot.created.isoformat(), "store": store.path, "driver": store.driver}
        with open(path, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry | {"key": snapshot.key, "parent": snapshot.parent}) + "\n")
