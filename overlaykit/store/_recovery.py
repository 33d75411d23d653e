"""What a killed process left half done is undone or finished."""

from __future__ import annotations

import os
import sqlite3

from . import _rows
from ._locks import FileLock

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path

    from ..driver import SnapshotId
    from ._drivers import GuardedDriver
    from ._metadata import Metadata
    from ._rows import Row

__all__ = ["recover"]


def recover(metadata: Metadata, driver: GuardedDriver, locks: Path) -> dict[SnapshotId, str]:
    """Bring database and storage together. The caller sees to it that no process is inside an operation.

    - A snapshot that was being prepared is removed.
    - A commit is finished where the driver has the new snapshot, and undone where it still has the active one.
    - A working snapshot whose process is gone is removed.
    - What only the driver knows was being prepared or removed, and is removed.

    A second run does what the first could not: killing it is as harmless as killing an operation.

    :param locks: the directory of the lock files.
    :returns: ids and keys of the snapshots that the driver has lost.
    :raises StoreCorruptError: there is something to repair, but the database is damaged: nothing is removed then.
    """
    ids = driver.ids()
    with metadata.read() as connection:
        rows = list(_rows.unfinished(connection))
        stored = dict(_rows.stored(connection))
    if rows or not ids <= stored.keys():
        # Everything below deletes what the database does not vouch for.
        metadata.check_integrity()
    for row in rows:
        if row.state == _rows.PREPARING:
            _delete(metadata, row)
        elif row.state == _rows.COMMITTING:
            _settle_commit(metadata, row, ids)
    for row in rows:
        if row.state == _rows.READY and row.transient:
            _end_working(metadata, row, locks / row.id)
    with metadata.read() as connection:
        stored = dict(_rows.stored(connection))
        known = _rows.known_ids(connection)
    for unknown in ids - stored.keys():
        driver.remove(unknown)
    _remove_stale_locks(locks, known)
    return {lost: key for lost, key in stored.items() if lost not in ids}


def _delete(metadata: Metadata, row: Row) -> bool:
    try:
        with metadata.write(durable=True) as connection:
            return _rows.delete(connection, row.n, row.id)
    except sqlite3.IntegrityError:
        return False


def _settle_commit(metadata: Metadata, row: Row, ids: set[SnapshotId]) -> None:
    if row.id in ids and row.source is not None:
        with metadata.write(durable=True) as connection:
            _rows.finish_commit(connection, row.n, row.source, None)
    else:
        _delete(metadata, row)


def _end_working(metadata: Metadata, row: Row, path: Path) -> None:
    lock = FileLock.take(path, exclusive=True)
    if lock is not None:
        lock.release(remove=_delete(metadata, row))


def _remove_stale_locks(locks: Path, known: set[str]) -> None:
    for name in os.listdir(locks):
        if name not in known:
            lock = FileLock.take(locks / name, exclusive=True)
            if lock is not None:
                lock.release(remove=True)
