"""How commands show what a snapshot or a container changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..driver import Change
    from ._context import Context

__all__ = ["show_changes"]

_STYLES = {"added": "green", "modified": "yellow", "deleted": "red"}


def show_changes(context: Context, key: str, changes: Iterable[Change]) -> None:
    """Write changes."""
    output = context.output
    if output.json:
        output.document({"key": key, "changes": [_as_json(change) for change in changes]})
        return
    for change in changes:
        letter = output.style(change.kind.value[0].upper(), _STYLES[change.kind.value])
        aspects = output.style(f" ({', '.join(_aspects(change))})", "dim") if change.aspects else ""
        output.line(f"{letter} {output.name(change.path)}{aspects}")


def _as_json(change: Change) -> dict[str, Any]:
    return {"kind": change.kind.value, "path": change.path, "aspects": _aspects(change)}


def _aspects(change: Change) -> list[str]:
    return [str(aspect.name).lower() for aspect in change.aspects]
