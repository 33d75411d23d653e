"""The driver: snapshots by id."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from overlaykit import errors
from overlaykit.driver import Driver

from ._changes import changes
from ._snapshot import Snapshot, World
from ._tree import MemoryTree
from ._usage import usage
from .plugin import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.driver import Change, DriverConfig, LayerWriter, SnapshotId, Usage

__all__ = ["MemoryDriver"]

_SMALL = 16
"""A removed snapshot with up to so many inodes of its own is freed at once, a larger one at cleanup."""


class MemoryDriver(Driver):
    """Keeps snapshots in memory, sharing all that they have in common; see :class:`~._snapshot.Snapshot`.

    prepare, commit and remove take the same few microseconds whatever the size of the tree. Nothing survives the
    process, and nothing is written to ``config.root``. Durability has no meaning here and is accepted.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = CAPABILITIES
        self._world = World()
        self._snapshots: dict[SnapshotId, Snapshot] = {}
        self._lock = threading.Lock()
        self._trash: deque[Snapshot] = deque()
        self._closed = False

    def _get(self, id: SnapshotId) -> Snapshot:
        try:
            return self._snapshots[id]
        except KeyError:
            if self._closed:
                raise errors.StoreClosedError("the memory driver is closed; open the store again") from None
            raise errors.NotFoundError(f"no snapshot {id!r} in memory; it was never made, or removed") from None

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        if self._closed:
            raise errors.StoreClosedError("the memory driver is closed; open the store again")
        snapshot = Snapshot(self._world, None if parent is None else self._get(parent))
        with self._lock:
            if id in self._snapshots:
                raise errors.ExistsError(f"snapshot {id!r} exists; take another id")
            self._snapshots[id] = snapshot

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        snapshot = self._get(id)
        with self._lock:
            if new in self._snapshots:
                raise errors.ExistsError(f"snapshot {new!r} exists; take another id")
            snapshot.freeze()
            self._snapshots[new] = self._snapshots.pop(id)

    def remove(self, id: SnapshotId) -> None:
        with self._lock:
            snapshot = self._get(id)
            del self._snapshots[id]
        if len(snapshot.own) > _SMALL:
            self._trash.append(snapshot)

    def tree(self, id: SnapshotId, *, readonly: bool) -> MemoryTree:
        snapshot = self._get(id)
        return MemoryTree(snapshot, readonly=readonly or snapshot.frozen)

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        from ._writer import MemoryWriter

        return MemoryWriter(self.tree(id, readonly=False))

    def usage(self, id: SnapshotId) -> Usage:
        return usage(self._get(id))

    def ids(self) -> Iterator[SnapshotId]:
        return iter(list(self._snapshots))

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        snapshot = self._get(id)
        below = None if parent is None else self._get(parent)
        if below is not snapshot.parent:
            return super().changes(id, parent)
        return iter(changes(snapshot))

    def cleanup(self) -> None:
        while self._trash:
            try:
                self._trash.pop()
            except IndexError:
                return  # another caller of cleanup took it

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._snapshots.clear()
        self.cleanup()
