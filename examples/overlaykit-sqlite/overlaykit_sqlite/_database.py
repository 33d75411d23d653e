"""The file, its tables, and brackets of transactions."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from overlaykit import errors
from overlaykit.driver import Durability

__all__ = ["Bracket", "Database", "Pending"]

_SCHEMA = """
PRAGMA page_size = 8192;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;

-- A layer is a snapshot under the number that orders it: above its parent's. Without an id it is removed.
CREATE TABLE snapshots (
    layer INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE,
    parent INTEGER REFERENCES snapshots,
    root INTEGER NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0
);

-- An inode as a layer made or changed it; what a snapshot shows is its version of the highest layer in its chain.
CREATE TABLE inodes (
    ino INTEGER, layer INTEGER, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    nlink INTEGER NOT NULL, rdev INTEGER NOT NULL, times BLOB NOT NULL, directory INTEGER NOT NULL, name BLOB NOT NULL,
    target BLOB, size INTEGER NOT NULL, blocks INTEGER NOT NULL, below INTEGER NOT NULL, xattrs BLOB,
    PRIMARY KEY (ino, layer)
) WITHOUT ROWID;
CREATE INDEX inodes_by_layer ON inodes (layer);

-- A name as a layer gave it; without an inode it is one that the layer took away.
CREATE TABLE entries (
    directory INTEGER, name BLOB, layer INTEGER, ino INTEGER, kind INTEGER,
    PRIMARY KEY (directory, name, layer)
) WITHOUT ROWID;
CREATE INDEX entries_by_layer ON entries (layer);

-- The bytes of a file that a layer wrote, in pieces; what is missing shows those of below, or zeros.
CREATE TABLE pieces (layer INTEGER, ino INTEGER, number INTEGER, data BLOB NOT NULL);
CREATE UNIQUE INDEX pieces_by_place ON pieces (layer, ino, number);

CREATE TABLE counter (next INTEGER NOT NULL);
INSERT INTO counter VALUES (2);
"""

_SYNCHRONOUS = {Durability.NONE: "OFF", Durability.COMMIT: "NORMAL", Durability.FULL: "FULL"}
_PATIENCE = 120.0
"""Seconds to wait for another process's transaction."""

#: What the primary result codes of SQLite are to a caller of the operating system.
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_TOOBIG: errno.EFBIG,
}


class Pending(Protocol):
    """Who has something to write in the open transaction."""

    def flush(self) -> None:
        """Write it."""

    def drop(self) -> None:
        """Forget it: it is written, or the transaction has come to nothing."""


class Database:
    """One connection, that one thread uses at a time.

    :param path: the file; made if it is not there.
    :param durability: what has to be on the disk after a transaction.
    """

    def __init__(self, path: Path, durability: Durability) -> None:
        self.path = path
        self.durability = durability
        self.lock = threading.RLock()
        #: What is to be written before the open transaction is committed.
        self.pending: set[Pending] = set()
        self.reading = Bracket(self, writes=False)
        self.writing = Bracket(self, writes=True)
        self.depth = 0
        #: Whether the open transaction may write.
        self.writes = False
        self._left: list[sqlite3.Connection] = []
        self._closed = False
        if not path.exists():
            _make(path)
        self._connect()

    def _connect(self) -> None:
        with translated(self.path):
            self._pid = os.getpid()
            self._connection = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self.durability]}")
            self._connection.execute("PRAGMA cache_size = -16384")

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement, within a bracket."""
        return self._connection.execute(sql, values)

    def begin(self, writes: bool) -> None:
        """Begin the outermost bracket's transaction."""
        if self._closed:
            raise errors.StoreClosedError(f"the database {self.path} is closed; open the store again")
        if self._pid != os.getpid():
            # A connection does not survive a fork; closing it here would disturb the parent's.
            self._left.append(self._connection)
            self._connect()
        # IMMEDIATE: who reads first and then writes may find that another process wrote in between.
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        self.writes = writes

    def end(self, commit: bool) -> None:
        """End it."""
        try:
            if commit:
                for pending in self.pending:
                    pending.flush()
                self._connection.execute("COMMIT")
        finally:
            # A full disk, for one, has undone it already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self.writes = False
            for pending in self.pending:
                pending.drop()
            self.pending.clear()

    @contextlib.contextmanager
    def durably(self) -> Iterator[None]:
        """Have the transaction within on the disk when it is over, unless nothing is promised."""
        promised = self.durability is Durability.COMMIT
        with self.lock:
            if promised and not self._closed:
                self._connection.execute("PRAGMA synchronous = FULL")
            try:
                yield
            finally:
                if promised and not self._closed:
                    self._connection.execute("PRAGMA synchronous = NORMAL")

    def shrink(self) -> None:
        """Give free pages back to the file system; outside of brackets."""
        with self.lock, translated(self.path):
            # Not execute(): that takes one step, which gives back one page.
            self._connection.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        with self.lock:
            if not self._closed:
                self._closed = True
                if self._pid == os.getpid():
                    self._connection.close()


class Bracket:
    """A transaction, that may be entered again by the thread that is in it."""

    def __init__(self, database: Database, *, writes: bool) -> None:
        self._database = database
        self._writes = writes

    def __enter__(self) -> None:
        database = self._database
        database.lock.acquire()
        try:
            if not database.depth:
                with translated(database.path):
                    database.begin(self._writes)
            assert database.writes or not self._writes, "what began by reading cannot write"
            database.depth += 1
        except BaseException:
            database.lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database = self._database
        database.depth -= 1
        try:
            with translated(database.path):
                if not database.depth:
                    database.end(error is None)
                if isinstance(error, sqlite3.Error):
                    raise error
        finally:
            database.lock.release()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite says as the operating system would say it."""
    try:
        yield
    except sqlite3.Error as error:
        code = _ERRNO.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, errno.EIO)
        raise OSError(code, f"{os.strerror(code)} ({error})", str(path)) from error


def _make(path: Path) -> None:
    """Make the file with its tables, whole or not at all, whoever else is making it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    with translated(beside):
        connection = sqlite3.connect(beside, isolation_level=None)
        try:
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
    try:
        # Another's that came first stays.
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()
