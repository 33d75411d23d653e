"""``overlaykit demo``: the story of Docker's layers, really played."""

from __future__ import annotations

from ._narrator import Narrator
from ._stage import temporary_directory
from ._story import Story

__all__ = ["Narrator", "Story", "temporary_directory"]
