"""``overlaykit rename``: a container gets another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a container")
    parser.add_argument("new", metavar="NEW", help="what to call it")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Rename it, also while it runs; say nothing, as ``docker rename``."""
    with context.open_store() as store:
        store.rename_container(arguments.name, arguments.new)
    if context.output.json:
        context.output.document({"name": arguments.new, "was": arguments.name})
    return 0
