"""``overlaykit stop``: running containers are asked to end, and killed if they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._containers import add_signal_options, check_signal, for_each

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a container")
    add_signal_options(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Stop each; one that does not run is left as it is."""
    number = check_signal(arguments.signal)
    return for_each(context, arguments.names, lambda box: box.stop(arguments.time, signal=number), word="stopped")
