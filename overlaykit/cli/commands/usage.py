"""``overlaykit usage``: what a snapshot takes, alone and with all it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the usage of the snapshot and of each layer below it, and the sum."""
    with context.open_store() as store:
        stack = [store.stat(arguments.key)]
        while stack[-1].parent is not None:
            stack.append(store.stat(stack[-1].parent))
        found = [(info, store.usage(info.key)) for info in stack]
    total = (sum(usage.bytes for _, usage in found), sum(usage.inodes for _, usage in found))
    output = context.output
    if output.json:
        output.document(
            {
                "key": arguments.key,
                "bytes": found[0][1].bytes,
                "inodes": found[0][1].inodes,
                "stack": [{"key": i.key, "kind": str(i.kind), "bytes": u.bytes, "inodes": u.inodes} for i, u in found],
                "total": {"bytes": total[0], "inodes": total[1]},
            }
        )
        return 0
    rows = [(info.key, str(info.kind), size(usage.bytes), str(usage.inodes)) for info, usage in found]
    rows.append(("total", "", size(total[0]), str(total[1])))
    output.table(("KEY", "KIND", "SIZE", "INODES"), rows, frozenset({2, 3}))
    return 0
