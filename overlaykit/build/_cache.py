"""What a store remembers of the steps of builds: the key of what went in, and the layer that came out."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from .. import errors
from ..image import Descriptor
from ..values import value_class

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["BuildCache", "CacheRecord", "key_of"]

_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS build_schema (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS build_cache (
    key TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    created TEXT NOT NULL,
    created_by TEXT NOT NULL,
    used REAL NOT NULL
) STRICT;
"""

_COLUMNS = "key, diff_id, chain, digest, media_type, size, created, created_by, used"


@value_class
class CacheRecord:
    """One step of a build that need not be done again.

    :param key: the digest of all that it depends on.
    :param diff_id: of the layer that it made; ``""`` where it changed nothing.
    :param chain: the name of the layer's snapshot; ``""`` where it changed nothing over nothing.
    :param digest: of the layer's blob; ``""`` for none.
    :param media_type: of the blob.
    :param size: bytes of the blob.
    :param created: when the step was done, as RFC 3339 has it.
    :param created_by: what history says of it.
    :param used: seconds since the epoch, when it was used last.
    """

    key: str
    diff_id: str
    chain: str
    digest: str
    media_type: str
    size: int
    created: str
    created_by: str
    used: float = 0.0

    @property
    def layer(self) -> Descriptor | None:
        """The blob's descriptor, ``None`` where nothing changed."""
        return Descriptor(self.media_type, self.digest, self.size) if self.diff_id else None


def key_of(what: str, **parts: Any) -> str:
    """Return the key of a step.

    :param what: the kind of step.
    :param parts: all that its result depends on, as JSON can have it.
    """
    text = json.dumps([_VERSION, what, parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class BuildCache:
    """The table of steps, in a store's database.

    :param read: gives its connection for reading.
    :param write: gives it for a transaction.
    """

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[sqlite3.Connection]],
        write: Callable[[], AbstractContextManager[sqlite3.Connection]],
    ) -> None:
        self._read = read
        self._write = write
        self._made = False

    def find(self, key: str) -> CacheRecord | None:
        """Return a step by its key."""
        if not self._has_tables():
            return None
        with self._read() as connection:
            query = f"SELECT {_COLUMNS} FROM build_cache WHERE key = ?"  # noqa: S608 - a constant
            row = connection.execute(query, (key,)).fetchone()
        return None if row is None else CacheRecord(*row)

    def put(self, record: CacheRecord) -> None:
        """Remember a step; what was known under its key is forgotten."""
        self._make_tables()
        values = (
            record.key,
            record.diff_id,
            record.chain,
            record.digest,
            record.media_type,
            record.size,
            record.created,
            record.created_by,
            time.time(),
        )
        with self._write() as connection:
            query = f"INSERT OR REPLACE INTO build_cache ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
            connection.execute(query, values)

    def touch(self, keys: list[str]) -> None:
        """Note that steps were used now."""
        if keys and self._has_tables():
            with self._write() as connection:
                query = "UPDATE build_cache SET used = ? WHERE key = ?"
                connection.executemany(query, [(time.time(), key) for key in keys])

    def records(self) -> list[CacheRecord]:
        """Return all steps, those used last first."""
        if not self._has_tables():
            return []
        with self._read() as connection:
            query = f"SELECT {_COLUMNS} FROM build_cache ORDER BY used DESC, key"  # noqa: S608 - a constant
            return [CacheRecord(*row) for row in connection.execute(query)]

    def forget(self, *, before: float | None = None) -> int:
        """Forget steps; their layers stay until somebody collects.

        :param before: only those that were used last before this, seconds since the epoch.
        :returns: how many.
        """
        if not self._has_tables():
            return 0
        with self._write() as connection:
            if before is None:
                return connection.execute("DELETE FROM build_cache").rowcount
            return connection.execute("DELETE FROM build_cache WHERE used < ?", (before,)).rowcount

    def _has_tables(self) -> bool:
        if not self._made:
            with self._read() as connection:
                query = "SELECT count(*) FROM sqlite_master WHERE name = 'build_schema'"
                if not connection.execute(query).fetchone()[0]:
                    return False
                (version,) = connection.execute("SELECT version FROM build_schema").fetchone()
            if version > _VERSION:
                raise errors.StoreVersionError(
                    f"the store's build cache has version {version} and this overlaykit knows up to {_VERSION}: "
                    "use a newer overlaykit"
                )
            self._made = True
        return self._made

    def _make_tables(self) -> None:
        if self._has_tables():
            return
        with self._write() as connection:
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO build_schema (only, version) VALUES (1, ?)", (_VERSION,))
        self._made = True
