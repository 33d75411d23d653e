"""``overlaykit top``: what runs in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a running container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List its processes with the numbers that they have on this machine."""
    import datetime

    from ...runtime import DetachedContainer

    with context.open_store() as store:
        found = DetachedContainer(store, arguments.name).processes()
    output = context.output
    if output.json:
        names = ("user", "pid", "parent", "started", "terminal", "processor", "command")
        output.document({"processes": [{name: getattr(one, name) for name in names} for one in found]})
        return 0
    rows = [
        (
            one.user,
            str(one.pid),
            str(one.parent),
            datetime.datetime.fromtimestamp(one.started).strftime("%H:%M"),
            one.terminal or "?",
            str(datetime.timedelta(seconds=int(one.processor))),
            output.name(one.command),
        )
        for one in found
    ]
    output.table(("UID", "PID", "PPID", "STIME", "TTY", "TIME", "CMD"), rows, frozenset({1, 2}))
    return 0
