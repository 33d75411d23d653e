"""Files on their way into a layer: what COPY and ADD name, what it is by content, and how it gets there."""

from __future__ import annotations

from ._content import content_digest
from ._copy import CopyOptions, copy_entries
from ._ignore import Ignore
from ._mode import check_mode
from ._plan import CopyPlan, plan_copy
from ._select import Entry, select
from ._stats import StatCache

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
