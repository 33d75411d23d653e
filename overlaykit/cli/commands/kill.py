"""``overlaykit kill``: a signal for running containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._containers import check_signal, for_each

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a running container")
    parser.add_argument("-s", "--signal", metavar="SIGNAL", default="KILL", help="what to send (default: KILL)")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Send it to the first process of each."""
    number = check_signal(arguments.signal)
    assert number is not None
    return for_each(context, arguments.names, lambda box: box.kill(number), word="signalled")
