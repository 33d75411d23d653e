"""What ADD fetches: files by HTTP, and Git repositories. Of what few builds need, nothing is imported before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names

if TYPE_CHECKING:
    from ._address import GitAddress, file_name, is_http, without_password
    from ._git import GitTree, find_commit
    from ._http import Download, Downloads
    from ._records import DownloadRecord, DownloadRecords

__all__ = [
    "Download",
    "DownloadRecord",
    "DownloadRecords",
    "Downloads",
    "GitAddress",
    "GitTree",
    "file_name",
    "find_commit",
    "is_http",
    "without_password",
]

_LATER = {
    "Download": "_http",
    "DownloadRecord": "_records",
    "DownloadRecords": "_records",
    "Downloads": "_http",
    "GitAddress": "_address",
    "GitTree": "_git",
    "file_name": "_address",
    "find_commit": "_git",
    "is_http": "_address",
    "without_password": "_address",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
