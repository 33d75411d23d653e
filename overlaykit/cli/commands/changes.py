"""``overlaykit changes``: what a snapshot adds, modifies and deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from ...driver import Change
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run", "show"]

_STYLES = {"added": "green", "modified": "yellow", "deleted": "red"}


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot, which is compared with what it stands on")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the changes in tree order: A, M or D, the path, and what of a modified path differs."""
    with context.open_store() as store:
        show(context, arguments.key, store.changes(arguments.key))
    return 0


def show(context: Context, key: str, changes: Iterable[Change]) -> None:
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
