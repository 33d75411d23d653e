"""``overlaykit start``: containers that are there run, in the background or, with -a, here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._attach import add_detach_keys, detach_keys, show_streams
from .._containers import for_each
from .._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a container")
    parser.add_argument("-a", "--attach", action="store_true", help="show its streams here, and end with its exit code")
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="as -a, and give it this command's standard input"
    )
    add_detach_keys(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Start each as it was run before; one that never was, as its image says."""
    options = context.options.options
    if not arguments.attach and not arguments.interactive:
        return for_each(context, arguments.names, lambda box: box.start(driver_options=options), word="started")
    if len(arguments.names) != 1:
        raise UsageError("one container alone can be attached to: start the others without -a and -i")
    from ...runtime import DetachedContainer

    keys = detach_keys(arguments)
    (name,) = arguments.names
    with context.open_store() as store:
        box = DetachedContainer(store, name)
        connection = box.start_attached(driver_options=options)
        terminal = box.terminal
    with connection:
        return show_streams(context, connection, name, terminal=terminal, stdin=arguments.interactive, keys=keys)
