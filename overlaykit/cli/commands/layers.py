"""``overlaykit layers``: who shares which layer."""

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
    parser.description = "Say who shares which layer, and the bytes that sharing saves."


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the layers, a parent before its children, and what sharing saves in all."""
    import dataclasses

    with context.open_store() as store:
        found = store.layers()
        names = {image.digest: image for image in store.images()}
    saved = sum(layer.saved for layer in found)
    output = context.output
    if output.json:
        layers = [{**dataclasses.asdict(layer), "saved": layer.saved} for layer in found]
        output.document({"layers": layers, "bytes": sum(layer.bytes for layer in found), "saved": saved})
        return 0
    from ...image import Reference

    def called(digest: str) -> str:
        image = names.get(digest)
        return Reference.parse(image.references[0]).familiar if image and image.references else short(digest)

    rows = [
        (
            short(layer.chain_id),
            short(layer.parent) if layer.parent else "-",
            size(layer.bytes),
            size(layer.saved),
            ", ".join(map(called, layer.images)) or "-",
            ", ".join(layer.containers) or "-",
        )
        for layer in found
    ]
    output.table(("LAYER", "PARENT", "SIZE", "SAVED", "IMAGES", "CONTAINERS"), rows, frozenset({2, 3}))
    output.note(f"{len(found)} layers; sharing saves {size(saved)}")
    return 0
