"""``overlaykit create``: a container over an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import container_json

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the image")
    parser.add_argument("name", metavar="NAME", nargs="?", help="what to call it; without it a name is made up")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Make the container, and write its name."""
    with context.open_store() as store:
        info = store.create_container(arguments.image, arguments.name).info
    output = context.output
    if output.json:
        output.document(container_json(info))
    else:
        output.line(output.name(info.name))
    return 0
