"""``overlaykit attach``: the streams of a running container, here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._attach import add_detach_keys, detach_keys, show_streams

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a running container")
    parser.add_argument("--no-stdin", action="store_true", help="only look")
    add_detach_keys(parser)
    parser.add_argument("--no-signals", action="store_true", help="do not pass signals on: Ctrl-C leaves")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Show them, and end with the container's exit code; with 0 when it is left running."""
    from ...runtime import DetachedContainer

    keys = detach_keys(arguments)
    with context.open_store() as store:
        connection, terminal, takes_input = DetachedContainer(store, arguments.name).attach()
    with connection:
        return show_streams(
            context,
            connection,
            arguments.name,
            terminal=terminal,
            stdin=takes_input and not arguments.no_stdin,
            keys=keys,
            forward=not arguments.no_signals,
        )
