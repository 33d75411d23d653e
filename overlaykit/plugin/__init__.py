"""Plugins: hook specifications, the manager that loads them, the drivers they register."""

from __future__ import annotations

from ._spec import CommandSpec, StoreInfo, hookimpl, hookspec

__all__ = ["CommandSpec", "StoreInfo", "hookimpl", "hookspec"]
