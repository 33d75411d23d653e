"""The directory driver: every snapshot is a whole directory, copied from its parent as cheaply as can be."""

from __future__ import annotations

from ._driver import DirectoryDriver
from ._probe import probe
from ._tree import DirectoryTree

__all__ = ["DirectoryDriver", "DirectoryTree", "probe"]
