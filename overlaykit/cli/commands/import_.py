"""``overlaykit import``: a directory or an archive becomes a base layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._snapshot import as_json, parse_labels
from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", metavar="DIR|TAR", help="a directory, or a tar archive, compressed or not")
    parser.add_argument("name", metavar="NAME", nargs="?", help="what to call the layer; without it a name is made up")
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help="a label; several times")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Import, with progress on a terminal, and write the layer's name."""
    from .._progress import import_progress

    output = context.output
    labels = parse_labels(arguments.label)
    with context.open_store(create=True) as store:
        with import_progress(output, arguments.source) as progress:
            info = store.import_tree(arguments.source, arguments.name, labels=labels or None, progress=progress)
        usage = store.usage(info.key)
    if output.json:
        output.document(as_json(info, usage))
    else:
        output.line(output.name(info.key))
        output.note(f"{size(usage.bytes)}, {usage.inodes} files and directories")
    return 0
