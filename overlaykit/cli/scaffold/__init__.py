"""``overlaykit new-driver``: a plugin project that is whole from the start."""

from __future__ import annotations

from ._names import Names, names_from
from ._project import render, write_project

__all__ = ["Names", "names_from", "render", "write_project"]
