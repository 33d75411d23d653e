"""``overlaykit changes``: what a snapshot adds, modifies and deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._changes import show_changes

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot, which is compared with what it stands on")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the changes in tree order: A, M or D, the path, and what of a modified path differs."""
    with context.open_store() as store:
        show_changes(context, arguments.key, store.changes(arguments.key))
    return 0
