"""``overlaykit snapshots``: what is in the store, as a table or a tree."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from .._draw import draw_tree
from .._snapshot import as_json, labels_text, parse_labels
from .._text import age, printable, size

if TYPE_CHECKING:
    import argparse

    from ...driver import SnapshotInfo, Usage
    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--kind", choices=("committed", "active", "view"), help="only those of this kind")
    parser.add_argument("--parent", metavar="KEY", help="only those that stand directly on this one")
    parser.add_argument("--base", action="store_true", help="only those that stand on nothing")
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help="only those with this label")
    parser.add_argument("--prefix", metavar="TEXT", help="only those whose key begins with this")
    parser.add_argument("--tree", action="store_true", help="draw what stands on what")
    parser.add_argument("--no-usage", action="store_true", help="do not look up what each takes")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the snapshots that pass all filters."""
    from ...driver import SnapshotKind

    filters: dict[str, Any] = {"labels": parse_labels(arguments.label) or None, "prefix": arguments.prefix}
    if arguments.kind is not None:
        filters["kind"] = SnapshotKind(arguments.kind)
    if arguments.parent is not None or arguments.base:
        filters["parent"] = arguments.parent
    with context.open_store() as store:
        found = list(store.walk(**filters))
        usage = {} if arguments.no_usage else {info.key: store.usage(info.key) for info in found}
    output = context.output
    if output.json:
        output.document({"snapshots": [as_json(info, usage.get(info.key)) for info in found]})
    elif arguments.tree:
        _draw(output, found, usage)
    else:
        _table(output, found, usage)
    return 0


def _table(output: Output, found: list[SnapshotInfo], usage: dict[str, Usage]) -> None:
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        (
            info.key,
            str(info.kind),
            info.parent if info.parent is not None else "-",
            size(usage[info.key].bytes) if usage else "-",
            age(info.created, now),
            labels_text(info.labels),
        )
        for info in found
    ]
    output.table(("KEY", "KIND", "PARENT", "SIZE", "CREATED", "LABELS"), rows, frozenset({3}))


def _draw(output: Output, found: list[SnapshotInfo], usage: dict[str, Usage]) -> None:
    known = {info.key for info in found}
    children: dict[str | None, list[SnapshotInfo]] = {}
    for info in found:
        # What a filter leaves out cannot carry anything: its children stand at the margin.
        children.setdefault(info.parent if info.parent in known else None, []).append(info)
    for lead, info in draw_tree(children.get(None, []), lambda node: children.get(node.key, [])):
        facts = [str(info.kind), *([size(usage[info.key].bytes)] if usage else [])]
        output.line(f"{lead}{output.style(printable(info.key), 'bold')}  {', '.join(facts)}")
