"""The store's SQLite database: its connection, its schema, what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading

from .. import errors
from ..driver import Durability

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Final, TypeGuard

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "Metadata"]

SCHEMA_VERSION: Final = 1
"""``PRAGMA user_version`` of the databases that this overlaykit writes."""

BUSY_SECONDS: Final = 30.0
"""How long an operation waits for another process before it is a :class:`~overlaykit.errors.StoreBusyError`."""

_APPLICATION_ID: Final = 0x6F6B6974  # "okit"

# A commit is a second row with the new id and the name it reserves; `source` is the active one it will replace.
# `transient` rows belong to a Working: they end with the process that holds their lock.
_SCHEMA: Final = """
CREATE TABLE snapshots (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state INTEGER NOT NULL,
    parent INTEGER REFERENCES snapshots (n) ON DELETE RESTRICT,
    source INTEGER REFERENCES snapshots (n) ON DELETE SET NULL,
    transient INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    bytes INTEGER,
    inodes INTEGER
);
CREATE INDEX snapshots_parent ON snapshots (parent) WHERE parent IS NOT NULL;
CREATE INDEX snapshots_source ON snapshots (source) WHERE source IS NOT NULL;
CREATE TABLE labels (
    snapshot INTEGER NOT NULL REFERENCES snapshots (n) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (snapshot, name)
) WITHOUT ROWID;
CREATE INDEX labels_name ON labels (name, value);
"""

_SYNCHRONOUS: Final = {Durability.NONE: "OFF", Durability.COMMIT: "NORMAL", Durability.FULL: "FULL"}


class Metadata:
    """One connection to the database, used by one thread at a time.

    A statement takes microseconds, so threads share a connection and a lock: there is one thing to close. A forked
    child may not use it (sqlite.org, "How To Corrupt An SQLite Database File", 2.6): it is told to open
    the store again.

    :param path: the database file; ``None`` keeps everything in memory.
    :param durability: ``NONE`` never waits for the disk, ``COMMIT`` only where :meth:`write` is asked to,
        ``FULL`` always.
    :param create: make the tables where there are none.
    :param timeout: seconds to wait for another process.
    :raises StoreCorruptError: the file is no database of a store, or is damaged.
    :raises StoreVersionError: a newer overlaykit made it.
    """

    def __init__(
        self, path: Path | None, durability: Durability, *, create: bool = False, timeout: float = BUSY_SECONDS
    ) -> None:
        self._path = path
        self.durability = durability
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        if path is not None and not create and not path.exists():
            raise errors.StoreCorruptError(
                f"{path} is missing, and with it the names of all snapshots: restore it from a backup", filename=path
            )
        with self._translated():
            connection = sqlite3.connect(
                ":memory:" if path is None else path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up(connection, create)
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    def _set_up(self, connection: sqlite3.Connection, create: bool) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if version == 0 and application == 0 and create:
            self._create(connection)
        elif application != _APPLICATION_ID or version < 1:
            raise errors.StoreCorruptError(
                f"{self._path} is not the database of an overlaykit store: restore it from a backup",
                filename=self._path,
            )
        elif version > SCHEMA_VERSION:
            raise errors.StoreVersionError(
                f"{self._path} has schema version {version} and this overlaykit knows up to {SCHEMA_VERSION}: "
                "use a newer overlaykit",
                filename=self._path,
            )
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self.durability]}")

    def _create(self, connection: sqlite3.Connection) -> None:
        if self._path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        # The tables go from the log into the database itself: a store that was made is whole without its log.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check_open(self) -> None:
        """Check that the store may be used.

        :raises StoreClosedError: it was closed, or opened by the process that this one was forked from.
        """
        if self._connection is None:
            raise errors.StoreClosedError(f"{self._name()} is closed: open it again")
        if self._path is not None and os.getpid() != self._pid:
            raise errors.StoreClosedError(
                f"{self._name()} was opened before this process was forked: open it again in this process"
            )

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the connection for one query, or for several that need not see the same state."""
        return _Session(self, writes=False, durable=False)

    def write(self, *, durable: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """Give the connection inside a transaction that is committed at the end, or rolled back by an exception.

        :param durable: with ``Durability.COMMIT`` this transaction, and all before it, are on the disk at the end.
        :raises StoreBusyError: another process did not end its transaction in time.
        :raises StoreFullError: the disk is full; nothing has changed then.
        :raises ReadOnlyError: the database cannot be written.
        :raises StoreCorruptError: the database is damaged.
        """
        return _Session(self, writes=True, durable=durable and self.durability is Durability.COMMIT)

    def check_integrity(self) -> None:
        """Read the whole database.

        :raises StoreCorruptError: it is damaged.
        """
        with self.read() as connection:
            problems = connection.execute("PRAGMA integrity_check(1)").fetchall()
            broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken or problems != [("ok",)]:
            found = f"foreign keys of {broken[0][0]}" if broken else str(problems[0][0]).splitlines()[-1]
            raise self._corrupt(found)

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        if self._path is not None and os.getpid() != self._pid:
            # Another thread of the parent may have held the lock at the fork: it is never let go of here.
            connection, self._connection = self._connection, None
            if connection is not None:
                _abandon(connection)
            return
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with self._translated():
                    connection.close()

    def _use(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            raise errors.StoreClosedError(f"{self._name()} is closed: open it again")
        if connection.in_transaction:  # an interrupt came between BEGIN and what follows it
            connection.rollback()
        return connection

    def _name(self) -> str:
        return "the store in memory" if self._path is None else f"the store {self._path.parent}"

    def _corrupt(self, found: object) -> errors.StoreCorruptError:
        return errors.StoreCorruptError(
            f"{self._path} is damaged ({found}): restore it from a backup; nothing was changed", filename=self._path
        )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _is_ours(error):
                raise self._translate(error) from error
            raise

    def _translate(self, error: sqlite3.Error) -> errors.OverlaykitError:
        # Without a code it is Python's own or ours: text that is not UTF-8, a row that makes no sense.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        place = f"{self._path or 'the store in memory'}"
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._corrupt(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
            return errors.StoreBusyError(
                f"{place} was locked by another process for {self._timeout:g} s: try again, or end that process",
                filename=self._path,
            )
        if code == sqlite3.SQLITE_FULL or (self._path is not None and _is_full(self._path)):
            return errors.StoreFullError(
                f"the file system of {place} is full: remove snapshots or other files", filename=self._path
            )
        if code == sqlite3.SQLITE_READONLY or (self._path is not None and _is_readonly(self._path)):
            return errors.ReadOnlyError(f"{place} is read-only for this user: make it writable", filename=self._path)
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return errors.StoreAccessError(
                f"{place} cannot be opened ({error}): check its permissions", filename=self._path
            )
        if code == sqlite3.SQLITE_ERROR:
            # The statements are fixed: one that does not fit the tables says that the tables are not ours any more.
            return self._corrupt(error)
        return errors.OverlaykitError(f"{place} failed ({error}): look into the kernel's log", filename=self._path)


class _Session:
    """A use of the connection by one thread. A class: a generator's context manager would double what one costs."""

    __slots__ = ("_durable", "_metadata", "_writes")

    def __init__(self, metadata: Metadata, *, writes: bool, durable: bool) -> None:
        self._metadata = metadata
        self._writes = writes
        self._durable = durable

    def __enter__(self) -> sqlite3.Connection:
        metadata = self._metadata
        metadata.check_open()
        metadata._lock.acquire()
        try:
            connection = metadata._use()
            if self._writes:
                self._begin(connection)
        except BaseException as error:
            metadata._lock.release()
            if _is_ours(error):
                raise metadata._translate(error) from error
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        if self._durable:
            connection.execute("PRAGMA synchronous = FULL")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._end(connection)
            raise

    def _end(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.rollback()
        if self._durable:
            connection.execute("PRAGMA synchronous = NORMAL")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        metadata = self._metadata
        connection = metadata._connection
        assert connection is not None
        try:
            if self._writes:
                try:
                    if error is None:
                        connection.execute("COMMIT")
                finally:
                    self._end(connection)
        except sqlite3.Error as late:
            error = late
        finally:
            metadata._lock.release()
        if error is not None and _is_ours(error):
            raise metadata._translate(error) from error


def _is_ours(error: BaseException) -> TypeGuard[sqlite3.Error]:
    """Tell an error that is about the database's state from one that the caller asked for, or made."""
    return isinstance(error, sqlite3.Error) and not isinstance(
        error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    )


def _abandon(connection: sqlite3.Connection) -> None:
    # In a forked child the parent's connection may be neither used nor closed: atexit keeps it for this process's life.
    import atexit

    atexit.register(id, connection)


def _is_full(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def _is_readonly(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False
