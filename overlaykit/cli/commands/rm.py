"""``overlaykit rm``: containers go; the layers of their images stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Remove the containers in the order given, up to the first that cannot be removed."""
    output = context.output
    with context.open_store() as store:
        for name in arguments.names:
            store.remove_container(name)
            if not output.json:
                output.line(output.name(name))
    if output.json:
        output.document({"removed": arguments.names})
    return 0
