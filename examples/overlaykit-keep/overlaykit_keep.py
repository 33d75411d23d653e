"""Keeps snapshots that have the label ``keep``: its text is the reason that a removal is refused with."""

from __future__ import annotations

from overlaykit.driver import SnapshotInfo
from overlaykit.plugin import StoreInfo, hookimpl


@hookimpl
def overlaykit_before_remove(store: StoreInfo, snapshot: SnapshotInfo) -> str | None:
    """A reason refuses the removal, ``None`` lets it go ahead; what is raised here refuses too."""
    return snapshot.labels.get("keep")
