"""The checks of ``overlaykit doctor``: each looks, none changes anything."""

from __future__ import annotations

from ._check import Check, Status
from ._report import check_all

__all__ = ["Check", "Status", "check_all"]
