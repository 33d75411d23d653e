"""The driver."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from weakref import WeakValueDictionary

from overlaykit import errors
from overlaykit.driver import Change, Driver, DriverConfig, SnapshotId, Usage
from overlaykit.inodes import Caller, InodeTree
from overlaykit.tree import compare

from ._database import Database
from ._snapshot import Chain, Snapshot
from .plugin import CAPABILITIES

__all__ = ["SqliteDriver", "SqliteTree"]

_ONCE = 1000
"""Rows of a removed snapshot that are deleted in one transaction: others wait no longer than for those."""

_CHAIN = """
WITH RECURSIVE chain (layer, parent) AS (
    SELECT layer, parent FROM snapshots WHERE layer = ?
    UNION ALL SELECT snapshots.layer, snapshots.parent FROM snapshots JOIN chain ON snapshots.layer = chain.parent
) SELECT layer FROM chain
"""


class SqliteDriver(Driver):
    """Keeps all snapshots in the tables of one SQLite file; see ``_SCHEMA``.

    A snapshot is a layer of rows: preparing one adds a row, committing changes it, removing takes away its id. What a
    tree changes becomes rows of its own layer; to look something up is to take the highest layer's that is in the
    snapshot's chain, which an index finds, whether there are two layers or 500.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        assert config.root is not None  # the spec says needs_path
        self.capabilities = CAPABILITIES
        self._database = Database(config.root / "snapshots.db", config.durability)
        self._caller = Caller()
        #: The snapshots of which a tree or a file is open, by layer.
        self._live: WeakValueDictionary[int, Snapshot] = WeakValueDictionary()

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        with self._database.writing:
            below, root = (None, 0) if parent is None else self._row(parent)[::2]
            (layer,) = self._database.execute(
                "INSERT INTO snapshots (id, parent, root) VALUES (?, ?, ?) RETURNING layer", (id, below, root)
            ).fetchone()
            if parent is None:
                snapshot = self._live[layer] = Snapshot(
                    self._database, self._caller, layer, frozenset([layer]), 0, frozen=False
                )
                made = snapshot.make(stat.S_IFDIR | 0o755, self._caller.gid, time.time_ns(), (0, ""))
                made.home = (made.ino, "")
                snapshot.root = made.ino
                self._database.execute("UPDATE snapshots SET root = ? WHERE layer = ?", (made.ino, layer))

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        snapshot = self._snapshot(id)
        with self._database.durably(), self._database.writing:
            if snapshot.writers:
                snapshot.refuse()
            unnamed = self._database.execute("SELECT ino FROM inodes WHERE layer = ? AND nlink = 0", (snapshot.layer,))
            for (ino,) in unnamed.fetchall():
                if ino not in snapshot.opened:
                    snapshot.forget(ino)
            self._database.execute("UPDATE snapshots SET id = ?, committed = 1 WHERE id = ?", (new, id))
        snapshot.frozen = True

    def remove(self, id: SnapshotId) -> None:
        with self._database.writing:
            self._row(id)
            self._database.execute("UPDATE snapshots SET id = NULL WHERE id = ?", (id,))

    def cleanup(self) -> None:
        with self._database.reading:
            removed = self._database.execute("SELECT layer FROM snapshots WHERE id IS NULL").fetchall()
        for (layer,) in removed:
            live = self._live.get(layer)
            if live is None or not live.opened:
                self._delete(layer)
        if removed:
            self._database.shrink()

    def _delete(self, layer: int) -> None:
        for table, key in (("pieces", "rowid"), ("entries", "directory, name"), ("inodes", "ino")):
            done = _ONCE
            while done == _ONCE:
                with self._database.writing:
                    done = self._database.execute(
                        f"DELETE FROM {table} WHERE layer = ? AND ({key}) IN "
                        f"(SELECT {key} FROM {table} WHERE layer = ? LIMIT {_ONCE})",
                        (layer, layer),
                    ).rowcount
        with self._database.writing:
            self._database.execute("DELETE FROM snapshots WHERE layer = ?", (layer,))

    # -- looking at one ------------------------------------------------------------------------------------------

    def _row(self, id: SnapshotId) -> tuple[int, bool, int]:
        """Return a snapshot's layer, whether it is committed, and its root."""
        row = self._database.execute("SELECT layer, committed, root FROM snapshots WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise errors.NotFoundError(f"no snapshot {id!r} in {self._database.path}; it was never made, or removed")
        return row[0], bool(row[1]), row[2]

    def _snapshot(self, id: SnapshotId) -> Snapshot:
        with self._database.reading:
            layer, committed, root = self._row(id)
            snapshot = self._live.get(layer)
            if snapshot is None:
                chain: Chain = frozenset(one for (one,) in self._database.execute(_CHAIN, (layer,)))
                snapshot = self._live[layer] = Snapshot(
                    self._database, self._caller, layer, chain, root, frozen=committed
                )
            return snapshot

    def tree(self, id: SnapshotId, *, readonly: bool) -> SqliteTree:
        snapshot = self._snapshot(id)
        return SqliteTree(snapshot, readonly=readonly or snapshot.frozen)

    def usage(self, id: SnapshotId) -> Usage:
        with self._database.reading:
            layer, _, _ = self._row(id)
            (inodes,) = self._database.execute(
                "SELECT count(*) FROM inodes WHERE layer = ? AND nlink > 0", (layer,)
            ).fetchone()
            (taken,) = self._database.execute(
                "SELECT total(length(data)) FROM pieces WHERE layer = ?", (layer,)
            ).fetchone()
        return Usage(int(taken), inodes)

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        if parent is None:
            yield from super().changes(id, parent)
            return
        with self.tree(parent, readonly=True) as before, self.tree(id, readonly=True) as after:
            snapshot = after.snapshot

            def unchanged(path: str, old: os.stat_result, new: os.stat_result) -> bool:
                # The bytes of one inode differ only where this layer has pieces of it, or shows fewer of those below.
                return old.st_ino == new.st_ino and not snapshot.wrote(new.st_ino)

            yield from compare(before, after, unchanged=unchanged)

    def ids(self) -> Iterator[SnapshotId]:
        with self._database.reading:
            rows = self._database.execute("SELECT id FROM snapshots WHERE id IS NOT NULL").fetchall()
        return (SnapshotId(text) for (text,) in rows)

    def close(self) -> None:
        self._database.close()


class SqliteTree(InodeTree):
    """The tree of a snapshot."""

    def __init__(self, snapshot: Snapshot, *, readonly: bool) -> None:
        super().__init__(snapshot, readonly=readonly)
        self.snapshot = snapshot

    def statvfs(self) -> os.statvfs_result:
        """Return the figures of the file system that the file is on."""
        self._check_open()
        figures = list(os.statvfs(self.snapshot.database.path))
        figures[8] = os.ST_RDONLY if self.readonly else 0
        figures[9] = 255
        return os.statvfs_result(figures)
