"""``overlaykit push``: an image to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._progress import add_progress_option, transfer_progress
from .._registry import add_registry_options, registry_options
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="which image")
    parser.add_argument("target", metavar="TARGET", nargs="?", help="where to, where its name does not say")
    parser.add_argument("--all-platforms", action="store_true", help="for all of them, with the index")
    add_registry_options(parser)
    add_progress_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Push, and write a line: the digest, what went, and what was there."""
    from ...image.registry import push, push_all

    output, options = context.output, registry_options(arguments)
    with context.open_store() as store, transfer_progress(output, arguments.progress) as progress:
        send = push_all if arguments.all_platforms else push
        done = send(store, arguments.image, arguments.target, options=options, progress=progress)
    sent = done if isinstance(done, list) else [done]
    digest, moved, shared = sent[-1].digest, sum(one.moved for one in sent), sum(one.shared for one in sent)
    if output.json:
        output.document({"digest": digest, "moved": moved, "shared": shared})
        return 0
    more = "" if output.quiet else f"  {size(moved)} went, {size(shared)} were there"
    output.line(f"{digest}{more}")
    return 0
