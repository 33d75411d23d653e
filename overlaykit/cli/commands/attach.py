"""``overlaykit attach``: the streams of a running container, here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_GONE = 137
"""The exit code of a container that was killed together with who knew of it."""


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a running container")
    parser.add_argument("--no-stdin", action="store_true", help="only look")
    parser.add_argument(
        "--detach-keys",
        metavar="KEYS",
        default="ctrl-p,ctrl-q",
        help="leave the container running (default: ctrl-p,ctrl-q; empty for none)",
    )
    parser.add_argument("--no-signals", action="store_true", help="do not pass signals on: Ctrl-C leaves")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Show them, and end with the container's exit code; with 0 when it is left running."""
    from ...runtime import DetachedContainer, Relay, SocketEnd, parse_keys

    try:
        keys = parse_keys(arguments.detach_keys)
    except ValueError as error:
        raise UsageError(f"--detach-keys: {error}") from error
    with context.open_store() as store:
        connection, terminal, takes_input = DetachedContainer(store, arguments.name).attach()
    with connection:
        far = SocketEnd(connection, terminal=terminal)
        relay = Relay(
            far,
            stdin=0 if takes_input and not arguments.no_stdin else None,
            terminal=terminal,
            detach=keys if terminal else b"",
            forward=not arguments.no_signals,
        )
        if relay.run():
            context.output.note(f"left {arguments.name}: it runs on")
            return 0
        return _GONE if far.exit_code is None else far.exit_code
