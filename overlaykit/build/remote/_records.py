"""What a store remembers of downloads, to ask whether they are still what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import value_class

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["DownloadRecord", "DownloadRecords"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS build_downloads (
    url TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    etag TEXT NOT NULL,
    modified TEXT NOT NULL
) STRICT
"""


@value_class
class DownloadRecord:
    """What came of an address.

    :param digest: of the blob that came.
    :param etag: the server's mark of this version; ``""`` for none.
    :param modified: ``Last-Modified`` as it came; ``""`` for none.
    """

    url: str
    digest: str
    etag: str
    modified: str


class DownloadRecords:
    """The table, in a store's database.

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

    def find(self, url: str) -> DownloadRecord | None:
        """Return what is known of an address."""
        return next((one for one in self.records() if one.url == url), None)

    def records(self) -> list[DownloadRecord]:
        """Return all of them."""
        with self._read() as connection:
            there = "SELECT count(*) FROM sqlite_master WHERE name = 'build_downloads'"
            if not connection.execute(there).fetchone()[0]:
                return []
            query = "SELECT url, digest, etag, modified FROM build_downloads ORDER BY url"
            return [DownloadRecord(*row) for row in connection.execute(query)]

    def put(self, record: DownloadRecord) -> None:
        """Remember one; what was known of its address is forgotten."""
        with self._write() as connection:
            connection.execute(_SCHEMA)
            query = "INSERT OR REPLACE INTO build_downloads (url, digest, etag, modified) VALUES (?, ?, ?, ?)"
            connection.execute(query, (record.url, record.digest, record.etag, record.modified))

    def forget(self) -> None:
        """Forget all; the blobs stay until somebody collects."""
        if self.records():
            with self._write() as connection:
                connection.execute("DELETE FROM build_downloads")
