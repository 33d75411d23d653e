"""The directory driver: every snapshot is a whole directory, copied from its parent as cheaply as can be."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._driver import DirectoryDriver
    from ._probe import probe

__all__ = ["DirectoryDriver", "probe"]

_MODULES = {
    "DirectoryDriver": "_driver",
    "probe": "_probe",
}


def __getattr__(name: str) -> object:
    # The plugin module is part of this package: listing the drivers imports it and must not import the driver.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
