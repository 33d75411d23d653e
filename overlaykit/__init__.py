"""Docker's layered filesystem as a Python library: copy-on-write trees over read-only layers."""

from __future__ import annotations

__version__ = "0.1.0"
