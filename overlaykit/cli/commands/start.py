"""``overlaykit start``: containers that are there run, in the background."""

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


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Start each as it was run before; one that never was, as its image says."""
    options = context.options.options
    return for_each(context, arguments.names, lambda box: box.start(driver_options=options), word="started")
