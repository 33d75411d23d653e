"""``overlaykit unpause``: paused containers go on."""

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
    parser.add_argument("names", metavar="NAME", nargs="+", help="a paused container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Let each go on."""
    return for_each(context, arguments.names, lambda box: box.unpause(), word="unpaused")
