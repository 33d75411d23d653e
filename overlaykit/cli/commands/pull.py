"""``overlaykit pull``: an image from a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import UsageError
from .._progress import add_progress_option, transfer_progress
from .._registry import add_mirror_option, add_registry_options, registry_options
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="[REGISTRY/]REPOSITORY[:TAG][@DIGEST], as debian:12")
    parser.add_argument("--platform", metavar="OS/ARCH", help="which one of an image for several platforms")
    parser.add_argument("--all-platforms", action="store_true", help="all of them")
    add_mirror_option(parser)
    add_registry_options(parser)
    add_progress_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Pull, and write a line an image: its digest, what came, and what was here."""
    from ...image import Reference
    from ...image.registry import pull, pull_all

    if arguments.platform and arguments.all_platforms:
        raise UsageError("--platform names one and --all-platforms takes all: leave one out")
    output, options = context.output, registry_options(arguments)
    with context.open_store(create=True) as store, transfer_progress(output, arguments.progress) as progress:
        if arguments.all_platforms:
            pulled = pull_all(store, arguments.image, options=options, progress=progress)
        else:
            pulled = [pull(store, arguments.image, platform=arguments.platform, options=options, progress=progress)]
    if output.json:
        output.document(
            [
                {
                    "digest": one.image.digest,
                    "platform": one.image.platform,
                    "references": list(one.image.references),
                    "moved": one.moved,
                    "shared": one.shared,
                    "source": one.source,
                }
                for one in pulled
            ]
        )
        return 0
    asked = Reference.parse(arguments.image)
    for one in pulled:
        other = "" if one.source == f"{asked.registry}/{asked.repository}" else f", from {one.source}"
        more = "" if output.quiet else f"  {size(one.moved)} came, {size(one.shared)} were here{other}"
        output.line(f"{one.image.digest}{more}")
    return 0
