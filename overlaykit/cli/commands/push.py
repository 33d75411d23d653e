"""``overlaykit push``: an image to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._progress import add_progress_option, transfer_progress
from .._registry import add_registry_options, registry_options
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="which image")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="where to, where its name does not say")
    add_registry_options(parser)
    add_progress_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Push, and write a line: the digest, what went, and what was there."""
    from ...image.registry import push

    output, options = context.output, registry_options(arguments)
    with context.open_store() as store, transfer_progress(output, arguments.progress) as progress:
        sent = push(store, arguments.image, arguments.target, options=options, progress=progress)
    if output.json:
        output.document({"digest": sent.digest, "moved": sent.moved, "shared": sent.shared})
        return 0
    more = "" if output.quiet else f"  {size(sent.moved)} went, {size(sent.shared)} were there"
    output.line(f"{sent.digest}{more}")
    return 0
