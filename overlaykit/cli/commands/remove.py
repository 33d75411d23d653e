"""``overlaykit remove``: snapshots go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("keys", metavar="KEY", nargs="+", help="a snapshot that no other one stands on")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Remove the snapshots in the order given, up to the first that cannot be removed."""
    output = context.output
    with context.open_store() as store:
        for key in arguments.keys:
            store.remove(key)
            if not output.json:
                output.line(output.name(key))
    if output.json:
        output.document({"removed": arguments.keys})
    return 0
