"""``overlaykit history``: the instructions that made an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import short
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the image")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the instructions, the newest first, each with its layer and that one's size."""
    import dataclasses

    with context.open_store() as store:
        found = store.history(arguments.image)
    output = context.output
    if output.json:
        entries = [{**dataclasses.asdict(entry), "empty_layer": entry.empty_layer} for entry in found]
        output.document({"image": arguments.image, "history": entries})
        return 0
    rows = [
        (
            entry.created.partition(".")[0].removesuffix("Z") or "-",
            "(empty)" if entry.empty_layer else short(entry.digest),
            "-" if entry.empty_layer else size(entry.size),
            entry.created_by or "-",
            entry.comment,
        )
        for entry in found
    ]
    output.table(("CREATED", "LAYER", "SIZE", "CREATED BY", "COMMENT"), rows, frozenset({2}))
    return 0
