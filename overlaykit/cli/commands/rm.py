"""``overlaykit rm``: containers go; the layers of their images stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._containers import for_each

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a container")
    parser.add_argument("-f", "--force", action="store_true", help="kill one that runs first")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Remove the containers in the order given, up to the first that cannot be removed."""
    return for_each(context, arguments.names, lambda box: box.remove(force=arguments.force), word="removed")
