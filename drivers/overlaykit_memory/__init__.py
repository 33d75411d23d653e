"""The memory driver: copy-on-write trees in this process's memory, on any platform, without privileges.

Its names are loaded when they are first used: registering the driver loads nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._driver import MemoryDriver as MemoryDriver
    from ._file import MemoryFile as MemoryFile
    from ._probe import CAPABILITIES as CAPABILITIES
    from ._probe import probe as probe
    from ._tree import MemoryTree as MemoryTree

__all__ = ["CAPABILITIES", "MemoryDriver", "MemoryFile", "MemoryTree", "probe"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _driver, _file, _probe, _tree

    for module in (_driver, _file, _probe, _tree):
        if name in module.__all__:
            return globals().setdefault(name, getattr(module, name))
    raise AssertionError(name)
