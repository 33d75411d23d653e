"""``overlaykit label``: labels are set and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import UsageError
from .._snapshot import as_json, labels_text, parse_labels

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot")
    parser.add_argument("labels", metavar="K=V|K-", nargs="+", help="set the label K to V, or delete it")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Change the labels, and write those there are then."""
    deleted = [word for word in arguments.labels if word.endswith("-") and "=" not in word]
    if "-" in deleted:
        raise UsageError("a label to delete is written NAME-")
    labels: dict[str, str | None] = dict(parse_labels(word for word in arguments.labels if word not in deleted))
    labels.update({word[:-1]: None for word in deleted})
    with context.open_store() as store:
        store.update_labels(arguments.key, labels)
        info = store.stat(arguments.key)
    if context.output.json:
        context.output.document(as_json(info))
    else:
        context.output.line(context.output.name(labels_text(info.labels)))
    return 0
