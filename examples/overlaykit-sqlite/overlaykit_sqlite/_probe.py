"""Whether the driver works in a directory."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from overlaykit.driver import Probe

from .plugin import CAPABILITIES

__all__ = ["probe"]

_OLDEST = (3, 35, 0)  # RETURNING


def probe(place: Path | None) -> Probe:
    """Say whether the driver works at ``place``; nothing is changed."""
    if sqlite3.sqlite_version_info < _OLDEST:
        return Probe(
            False,
            f"Python was built with SQLite {sqlite3.sqlite_version}, and this takes 3.35",
            "use a Python with a newer SQLite",
        )
    if place is None:
        return Probe(False, "it keeps its database in a directory", "give the store a path")
    if not place.is_dir():
        return Probe(False, f"{place} is no directory", "make it")
    if not os.access(place, os.W_OK | os.X_OK):
        return Probe(False, f"no permission to write in {place}", "take a directory of your own, or chown it")
    return Probe(
        True, f"SQLite {sqlite3.sqlite_version}", capabilities=CAPABILITIES, details={"sqlite": sqlite3.sqlite_version}
    )
