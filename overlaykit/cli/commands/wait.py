"""``overlaykit wait``: until containers have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the exit code of each, in the order given."""
    from ...runtime import DetachedContainer

    output = context.output
    codes = {}
    with context.open_store() as store:
        for name in arguments.names:
            codes[name] = DetachedContainer(store, name).wait()
            if not output.json:
                output.line(str(codes[name]))
                output.flush()
    if output.json:
        output.document({"exit_codes": codes})
    return 0
