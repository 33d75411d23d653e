"""``overlaykit save``: images as an archive or a layout directory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._exit import UsageError
from .._progress import add_progress_option, transfer_progress
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="the images; what they share is written once")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="where to; without it the archive goes to standard output"
    )
    parser.add_argument(
        "--form",
        choices=("oci-archive", "oci", "docker-archive"),
        default="oci-archive",
        help="what to write; oci is a layout directory (default: oci-archive)",
    )
    parser.add_argument("--compress", choices=("gzip", "zstd"), help="compress the archive as a whole")
    add_progress_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Save, and say how much was written."""
    from ...image import save

    output, target = context.output, arguments.output
    if target in (None, "-"):
        if arguments.form == "oci":
            raise UsageError("a layout is a directory: say where with --output DIR")
        if sys.stdout.isatty():
            raise UsageError("an archive is no text for a terminal: say where with --output FILE")
    streamed = target in (None, "-")
    with context.open_store() as store, transfer_progress(output, arguments.progress) as progress:
        written = save(
            store,
            arguments.images,
            sys.stdout.buffer if streamed else target,
            form=arguments.form,
            compression=arguments.compress,
            progress=progress,
        )
    if streamed:
        return 0
    if output.json:
        output.document({"path": target, "form": arguments.form, "bytes": written})
    else:
        output.note(f"{target}: {size(written)}")
    return 0
