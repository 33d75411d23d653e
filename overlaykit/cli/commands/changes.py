"""``overlaykit changes``: what a snapshot adds, modifies and deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from ...driver import Change
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_STYLES = {"added": "green", "modified": "yellow", "deleted": "red"}


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot, which is compared with what it stands on")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the changes in tree order: A, M or D, the path, and what of a modified path differs."""
    output = context.output
    with context.open_store() as store:
        changes = store.changes(arguments.key)
        if output.json:
            output.document({"key": arguments.key, "changes": [_as_json(change) for change in changes]})
            return 0
        for change in changes:
            letter = output.style(change.kind.value[0].upper(), _STYLES[change.kind.value])
            aspects = output.style(f" ({', '.join(_aspects(change))})", "dim") if change.aspects else ""
            output.line(f"{letter} {output.name(change.path)}{aspects}")
    return 0


def _as_json(change: Change) -> dict[str, Any]:
    return {"kind": change.kind.value, "path": change.path, "aspects": _aspects(change)}


def _aspects(change: Change) -> list[str]:
    return [str(aspect.name).lower() for aspect in change.aspects]
