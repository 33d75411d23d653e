"""``overlaykit images``: what images there are."""

from __future__ import annotations

from .._image import as_json, short
from .._text import age, size

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--all", action="store_true", help="also those without a name")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the images, the newest first, each name on a line of its own."""
    import datetime

    with context.open_store() as store:
        found = store.images()
    if not arguments.all:
        found = [image for image in found if image.references]
    output = context.output
    if output.json:
        output.document({"images": [as_json(image) for image in found]})
        return 0
    from ...image import Reference

    now = datetime.datetime.now(datetime.UTC)
    rows = [
        (
            Reference.parse(name).familiar if name else "-",
            short(image.digest),
            image.platform,
            str(image.layers),
            size(image.size),
            age(image.added, now),
        )
        for image in found
        for name in image.references or ("",)
    ]
    output.table(("NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "ADDED"), rows, frozenset({3, 4}))
    return 0
