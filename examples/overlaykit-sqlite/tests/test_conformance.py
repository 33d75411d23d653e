"""The driver does what every driver does."""

from __future__ import annotations

from overlaykit.conformance import FullSuite


class TestSqlite(FullSuite):
    driver = "sqlite"
