"""``overlaykit ps``: what containers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._image import container_json, short
from .._text import age, size

if TYPE_CHECKING:
    import argparse

    from .._context import Context

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--no-usage", action="store_true", help="do not look up what each takes")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the containers in the order in which they were made."""
    import datetime

    with context.open_store() as store:
        found = store.containers()
        usage = {} if arguments.no_usage else {info.name: store.usage(info.name).bytes for info in found}
    output = context.output
    if output.json:
        output.document({"containers": [{**container_json(one), "bytes": usage.get(one.name)} for one in found]})
        return 0
    from ...image import Reference

    now = datetime.datetime.now(datetime.UTC)
    rows = [
        (
            info.name,
            Reference.parse(info.reference).familiar if info.reference else short(info.image),
            size(usage[info.name]) if usage else "-",
            age(info.created, now),
        )
        for info in found
    ]
    output.table(("NAME", "IMAGE", "SIZE", "CREATED"), rows, frozenset({2}))
    return 0
