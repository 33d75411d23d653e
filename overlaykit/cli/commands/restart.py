"""``overlaykit restart``: containers are stopped, and start again."""

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
    parser.add_argument(
        "-t", "--time", metavar="SECONDS", type=float, help="until it is killed; -1 for never (default: 10)"
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Restart each; one that does not run is started."""
    options = context.options.options
    return for_each(
        context,
        arguments.names,
        lambda box: box.restart(arguments.time, driver_options=options),
        word="restarted",
    )
