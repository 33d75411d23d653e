"""Fixtures of the tests of the plugin for users."""

from __future__ import annotations

from testkit.pytests import place, run, way

__all__ = ["place", "run", "way"]
