"""``overlaykit tag``: an image gets further names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import as_json

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the image")
    parser.add_argument("names", metavar="NAME", nargs="+", help="a name; whoever had it loses it")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Give the names, and write them as they are from now on."""
    from ...image import Reference

    with context.open_store() as store:
        image = store.tag(arguments.image, *arguments.names)
    output = context.output
    if output.json:
        output.document(as_json(image))
        return 0
    for name in arguments.names:
        output.line(output.name(str(Reference.parse(name))))
    return 0
