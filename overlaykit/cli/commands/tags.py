"""``overlaykit tags``: what a registry has of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._registry import add_registry_options, registry_options

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("repository", metavar="REPOSITORY", help="[REGISTRY/]REPOSITORY, as debian")
    add_registry_options(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write a tag a line, sorted."""
    from ...image.registry import tags

    output = context.output
    found = tags(arguments.repository, options=registry_options(arguments))
    if output.json:
        output.document(found)
        return 0
    for one in found:
        output.line(output.name(one))
    return 0
