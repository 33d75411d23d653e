"""The memory driver: copy-on-write trees in this process's memory, on any platform, without privileges."""

from __future__ import annotations

from ._driver import CAPABILITIES, MemoryDriver, probe
from ._file import MemoryFile
from ._tree import MemoryTree

__all__ = ["CAPABILITIES", "MemoryDriver", "MemoryFile", "MemoryTree", "probe"]
