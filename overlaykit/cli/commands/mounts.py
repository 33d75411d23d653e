"""``overlaykit mounts``: what a host would mount to see a snapshot."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the mounts in their order, as the commands that would make them at TARGET."""
    output = context.output
    with context.open_store() as store:
        mounts = store.mounts(arguments.key)
    if output.json:
        output.document({"mounts": [{"type": m.type, "source": m.source, "options": list(m.options)} for m in mounts]})
        return 0
    for mount in mounts:
        options = ["-o", ",".join(mount.options)] if mount.options else []
        output.line(output.name(shlex.join(["mount", "-t", mount.type, *options, mount.source])) + " TARGET")
    return 0
