"""The memory driver: copy-on-write trees in this process's memory, on any platform, without privileges."""

from __future__ import annotations

from overlaykit.lazy import lazy_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._driver import MemoryDriver
    from ._file import MemoryFile
    from ._probe import probe
    from ._tree import MemoryTree
    from .plugin import CAPABILITIES

__all__ = ["CAPABILITIES", "MemoryDriver", "MemoryFile", "MemoryTree", "probe"]

_MODULES = {
    "CAPABILITIES": "plugin",
    "MemoryDriver": "_driver",
    "probe": "_probe",
    "MemoryFile": "_file",
    "MemoryTree": "_tree",
}

# The plugin module is part of this package: listing the drivers imports it and must not import the driver.
__getattr__, __dir__ = lazy_names(globals(), _MODULES)
