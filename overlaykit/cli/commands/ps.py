"""``overlaykit ps``: what containers there are, and which of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._containers import command_text, state_json, status_text
from .._image import container_json, short
from .._text import age, size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-a", "--all", action="store_true", help="all of them, as without it")
    which.add_argument("-r", "--running", action="store_true", help="only those that run")
    parser.add_argument("--no-usage", action="store_true", help="do not look up what each takes")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the containers in the order in which they were made."""
    import datetime

    from ...runtime import container_states

    with context.open_store() as store:
        found = [one for one in container_states(store) if one[1].running or not arguments.running]
        usage = {} if arguments.no_usage else {info.name: store.usage(info.name).bytes for info, _ in found}
    output = context.output
    if output.quiet and not output.json:
        for info, _ in found:
            output.line(output.name(info.name))
        return 0
    if output.json:
        output.document(
            {
                "containers": [
                    {**container_json(info), "bytes": usage.get(info.name), "state": state_json(state)}
                    for info, state in found
                ]
            }
        )
        return 0
    from ...image import Reference

    now = datetime.datetime.now(datetime.UTC)
    rows = [
        (
            info.name,
            Reference.parse(info.reference).familiar if info.reference else short(info.image),
            status_text(state, now),
            command_text(state) or "-",
            size(usage[info.name]) if usage else "-",
            age(info.created, now),
        )
        for info, state in found
    ]
    output.table(("NAME", "IMAGE", "STATUS", "COMMAND", "SIZE", "CREATED"), rows, frozenset({4}))
    return 0
