"""Looking at an image layer by layer: what each adds, changes and removes, and which bytes are wasted.

Everything comes when a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from ._analyse import analyse
    from ._document import as_document, aspect_names
    from ._groups import WasteGroup, group_waste, instruction_text
    from ._model import (
        Analysis,
        Cause,
        DirectoryTotal,
        Duplicate,
        Entry,
        EntryChange,
        LayerReport,
        Step,
        Waste,
    )
    from ._page import page_text, write_page
    from ._rules import Broken, Rules, parse_bytes, read_rules

__all__ = [
    "Analysis",
    "Broken",
    "Cause",
    "DirectoryTotal",
    "Duplicate",
    "Entry",
    "EntryChange",
    "LayerReport",
    "Rules",
    "Step",
    "Waste",
    "WasteGroup",
    "analyse",
    "as_document",
    "aspect_names",
    "group_waste",
    "instruction_text",
    "page_text",
    "parse_bytes",
    "read_rules",
    "write_page",
]

_LATER = {
    "Analysis": "_model",
    "Broken": "_rules",
    "Cause": "_model",
    "DirectoryTotal": "_model",
    "Duplicate": "_model",
    "Entry": "_model",
    "EntryChange": "_model",
    "LayerReport": "_model",
    "Rules": "_rules",
    "Step": "_model",
    "Waste": "_model",
    "WasteGroup": "_groups",
    "analyse": "_analyse",
    "as_document": "_document",
    "aspect_names": "_document",
    "group_waste": "_groups",
    "instruction_text": "_groups",
    "page_text": "_page",
    "parse_bytes": "_rules",
    "read_rules": "_rules",
    "write_page": "_page",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
