"""``overlaykit pause``: running containers are stopped where they are."""

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
    parser.add_argument("names", metavar="NAME", nargs="+", help="a running container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Stop all processes of each, without their noticing."""
    return for_each(context, arguments.names, lambda box: box.pause(), word="paused")
