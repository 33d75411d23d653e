"""``overlaykit prune``: what nothing uses goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import collected_json
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--build-cache", action="store_true", help="forget the steps of builds, and what only they used"
    )
    parser.description = (
        "Remove images without a name, and layers and blobs that no image and no container uses. "
        "Snapshots that are no layers of images are never touched."
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Remove, and write what."""
    with context.open_store() as store:
        done = store.prune(build_cache=arguments.build_cache)
    output = context.output
    if output.json:
        output.document(collected_json(done))
        return 0
    for one in dict.fromkeys((*done.images, *done.layers, *done.blobs)):
        output.line(one)
    output.note(f"{len(done.images)} images, {len(done.layers)} layers, {len(done.blobs)} blobs: {size(done.bytes)}")
    return 0
