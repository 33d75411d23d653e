"""``overlaykit load``: images out of an archive or a layout directory."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from .._exit import UsageError
from .._progress import add_progress_option, transfer_progress

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="FILE|DIR",
        help="an OCI archive, a docker archive or an OCI layout directory; - for standard input",
    )
    parser.add_argument("--name", metavar="IMAGE", help="what to call the image, where the archive has only one")
    parser.add_argument("--platform", metavar="OS/ARCH", help="which one of an image for several platforms")
    add_progress_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Load, and write the names, or the digests of what has no name."""
    from ...image import load

    output = context.output
    if arguments.source == "-" and sys.stdin.isatty():
        raise UsageError("there is a terminal at standard input, and an archive is no text: name a file")
    source = io.FileIO(0, closefd=False) if arguments.source == "-" else arguments.source
    with context.open_store(create=True) as store, transfer_progress(output, arguments.progress) as progress:
        loaded = load(
            store,
            source,
            references=[arguments.name] if arguments.name else (),
            platform=arguments.platform,
            progress=progress,
        )
    if output.json:
        output.document(
            [
                {
                    "digest": one.image.digest,
                    "references": list(one.image.references),
                    "moved": one.moved,
                    "shared": one.shared,
                }
                for one in loaded
            ]
        )
        return 0
    for one in loaded:
        for name in one.image.references or (one.image.digest,):
            output.line(output.name(name))
    return 0
