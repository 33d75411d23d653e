"""``overlaykit prepare``: a writable snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._snapshot import as_json, parse_labels

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="what to call it; any text that is not taken")
    parser.add_argument("parent", metavar="PARENT", nargs="?", help="the layer to start from; without it: empty")
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help="a label; several times")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Make the snapshot, and the store with it where there is none and no parent is asked for."""
    labels = parse_labels(arguments.label)
    with context.open_store(create=arguments.parent is None) as store:
        info = store.prepare(arguments.key, arguments.parent, labels=labels)
    if context.output.json:
        context.output.document(as_json(info))
    else:
        context.output.line(context.output.name(info.key))
    return 0
