"""``overlaykit rmi``: names of images go, and what nobody uses then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import collected_json

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a name, or a digest for the image itself")
    parser.add_argument("--force", action="store_true", help="the image goes though it has several names")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Take them away in the order given, up to the first that cannot be."""
    output = context.output
    documents = []
    with context.open_store() as store:
        for name in arguments.images:
            done = store.remove_image(name, force=arguments.force)
            documents.append(collected_json(done))
            if not output.json:
                for one in (*done.names, *done.images):
                    output.line(output.name(one))
    if output.json:
        output.document({"removed": documents})
    return 0
