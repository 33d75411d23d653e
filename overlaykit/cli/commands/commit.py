"""``overlaykit commit``: a writable snapshot becomes a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._snapshot import as_json, parse_labels

if TYPE_CHECKING:
    import argparse

    from .._context import Context

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the writable snapshot")
    parser.add_argument("name", metavar="NAME", nargs="?", help="what to call the layer; without it a name is made up")
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help="a label; several times")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Commit, and write the layer's name."""
    labels = parse_labels(arguments.label)
    with context.open_store() as store:
        info = store.commit(arguments.key, arguments.name, labels=labels or None)
    if context.output.json:
        context.output.document(as_json(info))
    else:
        context.output.line(context.output.name(info.key))
    return 0
