"""A driver that merges layers by the program fuse-overlayfs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._driver import FuseOverlayfsDriver
    from ._probe import probe

__all__ = ["FuseOverlayfsDriver", "probe"]

_MODULES = {"FuseOverlayfsDriver": "_driver", "probe": "_probe"}


def __getattr__(name: str) -> object:
    # The plugin module is in this package: what lists the drivers imports it, and must not import the driver.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
