"""A container's streams, behind its supervisor, shown here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from ..runtime import Connection
    from ._context import Context
    from ._parse import CommandParser

__all__ = ["add_detach_keys", "detach_keys", "show_streams"]

_GONE = 137
"""The exit code of a container that was killed together with who knew of it."""


def add_detach_keys(parser: CommandParser) -> None:
    """Declare the keys that leave a container."""
    parser.add_argument(
        "--detach-keys",
        metavar="KEYS",
        default="ctrl-p,ctrl-q",
        help="leave the container running (default: ctrl-p,ctrl-q; empty for none)",
    )


def detach_keys(arguments: argparse.Namespace) -> bytes:
    """Return the bytes of those keys.

    :raises UsageError: there are no such keys.
    """
    from ..runtime import parse_keys

    try:
        return parse_keys(arguments.detach_keys)
    except ValueError as error:
        raise UsageError(f"--detach-keys: {error}") from error


def show_streams(
    context: Context,
    connection: Connection,
    name: str,
    *,
    terminal: bool,
    stdin: bool,
    keys: bytes,
    forward: bool = True,
) -> int:
    """Show them until the container has ended, or the user leaves.

    :param stdin: what is typed goes to it.
    :param forward: signals go to it.
    :returns: its exit code; 0 when it is left running.
    """
    from ..runtime import Relay, SocketEnd

    far = SocketEnd(connection, terminal=terminal)
    relay = Relay(far, stdin=0 if stdin else None, terminal=terminal, detach=keys if terminal else b"", forward=forward)
    if relay.run():
        context.output.note(f"left {name}: it runs on")
        return 0
    return _GONE if far.exit_code is None else far.exit_code
