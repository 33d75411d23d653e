"""``overlaykit remove``: snapshots go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._output import remove_each

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("keys", metavar="KEY", nargs="+", help="a snapshot that no other one stands on")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Remove the snapshots in the order given, up to the first that cannot be removed."""
    with context.open_store() as store:
        return remove_each(context.output, arguments.keys, store.remove)
