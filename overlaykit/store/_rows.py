"""The statements: one function a question or a change, on a connection that the caller holds."""

from __future__ import annotations

import datetime
import sqlite3
import time

from ..driver import SnapshotId, SnapshotInfo, SnapshotKind, Usage
from ..values import value_class
from ._labels import Labels

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import EllipsisType
    from typing import Final

__all__ = ["COMMITTING", "PREPARING", "READY", "Filter", "Row", "now"]

READY: Final = 0  #: there, whole
PREPARING: Final = 1  #: reserved, the driver is making it
COMMITTING: Final = 2  #: reserved, the driver turns ``source`` into it

PAGE: Final = 256


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

_KINDS: Final = frozenset(kind.value for kind in SnapshotKind)

_SELECT: Final = (
    "SELECT s.n, s.id, s.key, s.kind, s.state, s.transient, s.source, s.created, s.updated, s.bytes, s.inodes,"
    " s.parent, p.id, p.key FROM snapshots s LEFT JOIN snapshots p ON p.n = s.parent"
)


@value_class
class Row:
    """A row of ``snapshots`` with its parent's id and key; times in microseconds since the epoch."""

    n: int
    id: SnapshotId
    key: str
    kind: SnapshotKind
    state: int
    transient: bool
    source: int | None
    created: int
    updated: int
    usage: Usage | None
    parent: int | None
    parent_id: SnapshotId | None
    parent_key: str | None

    def info(self, labels: Mapping[str, str]) -> SnapshotInfo:
        """Return what the user sees of it."""
        return make_info(self.key, self.kind, self.parent_key, labels, self.created, self.updated)

    @property
    def storage(self) -> SnapshotId:
        """The id that the driver shows: a view is the committed snapshot below it."""
        return self.parent_id if self.kind is SnapshotKind.VIEW and self.parent_id is not None else self.id


@value_class
class Filter:
    """What :meth:`Store.walk` selects; ``...`` for a parent is any, ``None`` none."""

    kind: SnapshotKind | None
    parent: str | EllipsisType | None
    labels: Mapping[str, str | None]
    prefix: str | None

    def where(self) -> tuple[str, list[object]]:
        """Return the condition and its parameters."""
        parts: list[str] = []
        values: list[object] = []
        if self.kind is not None:
            parts.append("s.kind = ?")
            values.append(self.kind.value)
        if self.parent is None:
            parts.append("s.parent IS NULL")
        elif isinstance(self.parent, str):
            parts.append("p.key = ?")
            values.append(self.parent)
        if self.prefix:
            parts.append("s.key >= ? AND substr(s.key, 1, ?) = ?")
            values += [self.prefix, len(self.prefix), self.prefix]
        for name, value in self.labels.items():
            if value is None:
                parts.append("EXISTS (SELECT 1 FROM labels WHERE snapshot = s.n AND name = ?)")
                values.append(name)
            else:
                parts.append("EXISTS (SELECT 1 FROM labels WHERE snapshot = s.n AND name = ? AND value = ?)")
                values += [name, value]
        return "".join(f" AND {part}" for part in parts), values


def keep(connection: sqlite3.Connection, key: str) -> None:
    """Let a snapshot outlive whoever made it."""
    connection.execute("UPDATE snapshots SET transient = 0 WHERE key = ?", (key,))


def rename(connection: sqlite3.Connection, key: str, new: str) -> None:
    """Give a snapshot another key, which is free."""
    connection.execute("UPDATE snapshots SET key = ? WHERE key = ?", (new, key))


def now() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def make_info(
    key: str, kind: SnapshotKind, parent: str | None, labels: Mapping[str, str], created: int, updated: int
) -> SnapshotInfo:
    """Build the public value from what the database holds."""
    return SnapshotInfo(
        key,
        kind,
        parent,
        Labels(labels),
        _EPOCH + datetime.timedelta(microseconds=created),
        _EPOCH + datetime.timedelta(microseconds=updated),
    )


def _row(values: tuple[object, ...]) -> Row:
    n, own_id, key, kind, state, transient, source, created, updated, size, inodes, parent, parent_id, parent_key = (
        values
    )
    if not (
        isinstance(n, int)
        and isinstance(own_id, str)
        and isinstance(key, str)
        and kind in _KINDS
        and isinstance(state, int)
        and isinstance(created, int)
        and isinstance(updated, int)
        and (source is None or isinstance(source, int))
        and (parent is None or (isinstance(parent, int) and isinstance(parent_id, str) and isinstance(parent_key, str)))
    ):
        raise sqlite3.DatabaseError("a row of the table snapshots makes no sense")
    return Row(
        n,
        SnapshotId(own_id),
        key,
        SnapshotKind(kind),
        state,
        bool(transient),
        source,
        created,
        updated,
        Usage(size, inodes) if isinstance(size, int) and isinstance(inodes, int) else None,
        parent,
        SnapshotId(parent_id) if isinstance(parent_id, str) else None,
        parent_key if isinstance(parent_key, str) else None,
    )


def find(connection: sqlite3.Connection, key: str) -> Row | None:
    """Return the snapshot of this key, if it is there and whole."""
    values = connection.execute(f"{_SELECT} WHERE s.key = ? AND s.state = 0", (key,)).fetchone()
    return None if values is None else _row(values)


def is_there(connection: sqlite3.Connection, row: Row) -> bool:
    """Tell whether the snapshot is still what it was when it was found."""
    values = connection.execute("SELECT id FROM snapshots WHERE key = ? AND state = 0", (row.key,)).fetchone()
    return bool(values == (row.id,))


def labels_of(connection: sqlite3.Connection, n: int) -> dict[str, str]:
    """Return a snapshot's labels, sorted by name."""
    return dict(connection.execute("SELECT name, value FROM labels WHERE snapshot = ? ORDER BY name", (n,)))


def children(connection: sqlite3.Connection, n: int) -> list[str]:
    """Return the keys of the snapshots above this one, those that are being made included, in order of creation."""
    rows = connection.execute("SELECT key FROM snapshots WHERE parent = ? AND state != 2 ORDER BY n", (n,))
    return [key for (key,) in rows]


def page(connection: sqlite3.Connection, wanted: Filter, after: int) -> list[tuple[int, SnapshotInfo]]:
    """Return the next snapshots that fit, in order of creation, each with the number to go on after."""
    where, values = wanted.where()
    rows = connection.execute(
        f"{_SELECT} WHERE s.n > ? AND s.state = 0{where} ORDER BY s.n LIMIT ?", (after, *values, PAGE)
    ).fetchall()
    return [(row.n, row.info(labels_of(connection, row.n))) for row in map(_row, rows)]


def insert(
    connection: sqlite3.Connection,
    id: SnapshotId,
    key: str,
    kind: SnapshotKind,
    state: int,
    parent: int | None,
    labels: Mapping[str, str],
    moment: int,
    *,
    source: int | None = None,
    transient: bool = False,
) -> int:
    """Add a snapshot.

    :returns: its number.
    :raises sqlite3.IntegrityError: the key is taken, or the parent is gone.
    """
    n = connection.execute(
        "INSERT INTO snapshots (id, key, kind, state, parent, source, transient, created, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (id, key, kind.value, state, parent, source, transient, moment, moment),
    ).lastrowid
    assert n is not None
    add_labels(connection, n, labels)
    return n


def restore(connection: sqlite3.Connection, row: Row, labels: Mapping[str, str]) -> None:
    """Add a row again that was deleted.

    :raises sqlite3.IntegrityError: the key was taken meanwhile.
    """
    size, inodes = (None, None) if row.usage is None else (row.usage.bytes, row.usage.inodes)
    times = row.created, row.updated
    connection.execute(
        "INSERT INTO snapshots (n, id, key, kind, state, parent, transient, created, updated, bytes, inodes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row.n, row.id, row.key, row.kind.value, row.state, row.parent, row.transient, *times, size, inodes),
    )
    add_labels(connection, row.n, labels)


def add_labels(connection: sqlite3.Connection, n: int, labels: Mapping[str, str]) -> None:
    """Add labels to a snapshot, replacing those of the same name."""
    if labels:
        connection.executemany(
            "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", [(n, name, value) for name, value in labels.items()]
        )


def change_labels(connection: sqlite3.Connection, n: int, labels: Mapping[str, str | None], replace: bool) -> int:
    """Update a snapshot's labels and its time.

    :returns: that time.
    """
    if replace:
        connection.execute("DELETE FROM labels WHERE snapshot = ?", (n,))
    gone = [(n, name) for name, value in labels.items() if value is None]
    connection.executemany("DELETE FROM labels WHERE snapshot = ? AND name = ?", gone)
    add_labels(connection, n, {name: value for name, value in labels.items() if value is not None})
    moment = now()
    connection.execute("UPDATE snapshots SET updated = ? WHERE n = ?", (moment, n))
    return moment


def set_ready(connection: sqlite3.Connection, n: int) -> None:
    """Say that a snapshot is whole."""
    connection.execute("UPDATE snapshots SET state = 0 WHERE n = ?", (n,))


def set_parent(connection: sqlite3.Connection, n: int, parent: int) -> None:
    """Put a snapshot over another one."""
    connection.execute("UPDATE snapshots SET parent = ? WHERE n = ?", (parent, n))


def set_usage(connection: sqlite3.Connection, id: SnapshotId, usage: Usage) -> None:
    """Record what a committed snapshot takes."""
    connection.execute("UPDATE snapshots SET bytes = ?, inodes = ? WHERE id = ?", (usage.bytes, usage.inodes, id))


def finish_commit(connection: sqlite3.Connection, n: int, source: int, usage: Usage | None) -> None:
    """Let the committed snapshot take the place of the active one."""
    connection.execute("DELETE FROM snapshots WHERE n = ?", (source,))
    size, inodes = (None, None) if usage is None else (usage.bytes, usage.inodes)
    connection.execute(
        "UPDATE snapshots SET state = 0, source = NULL, bytes = ?, inodes = ? WHERE n = ?", (size, inodes, n)
    )


def delete(connection: sqlite3.Connection, n: int, id: SnapshotId) -> bool:
    """Delete a row; tell whether it was there.

    :raises sqlite3.IntegrityError: it has children.
    """
    return connection.execute("DELETE FROM snapshots WHERE n = ? AND id = ?", (n, id)).rowcount == 1


def unfinished(connection: sqlite3.Connection) -> Iterable[Row]:
    """Return the rows that a crash may have left behind."""
    return map(_row, connection.execute(f"{_SELECT} WHERE s.state != 0 OR s.transient != 0 ORDER BY s.n").fetchall())


def stored(connection: sqlite3.Connection) -> Iterator[tuple[SnapshotId, str]]:
    """Yield id and key of every snapshot that the driver should have, those that are being made included."""
    yield from connection.execute("SELECT id, key FROM snapshots WHERE kind != 'view'")


def known_ids(connection: sqlite3.Connection) -> set[str]:
    """Return the ids of all rows, views included."""
    return {values[0] for values in connection.execute("SELECT id FROM snapshots")}
