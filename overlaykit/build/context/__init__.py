"""Files on their way into a layer: what COPY and ADD name, what it is by content, and how it gets there.

What copies is imported when something is copied, and not taken from the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names
from ._content import content_digest
from ._ignore import Ignore
from ._mode import check_mode
from ._select import Entry, select
from ._stats import StatCache

if TYPE_CHECKING:
    from ._copy import CopyOptions, copy_entries
    from ._plan import CopyPlan, plan_copy

__all__ = [
    "CopyOptions",
    "CopyPlan",
    "Entry",
    "Ignore",
    "StatCache",
    "check_mode",
    "content_digest",
    "copy_entries",
    "plan_copy",
    "select",
]

_LATER = {
    "CopyOptions": "_copy",
    "CopyPlan": "_plan",
    "copy_entries": "_copy",
    "plan_copy": "_plan",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
