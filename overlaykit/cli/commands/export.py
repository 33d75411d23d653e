"""``overlaykit export``: the tree of a container or a snapshot as a tar archive."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a container, or any snapshot")
    parser.add_argument("--output", metavar="FILE", help="where to; standard output by default")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write one flat, reproducible archive."""
    import os
    import sys

    output = context.output
    if arguments.output is None and output.json:
        raise UsageError("the archive goes to standard output, where --json writes its document: give --output FILE")
    if arguments.output is None and output.terminal:
        raise UsageError("standard output is a terminal, and an archive is no text: give --output FILE")
    with context.open_store() as store:
        store.stat(arguments.name)
        if arguments.output is None:
            store.export(arguments.name, sys.stdout.buffer)
        else:
            partial = f"{arguments.output}.part-{os.getpid()}"
            try:
                with open(partial, "xb") as out:
                    store.export(arguments.name, out)
                os.replace(partial, arguments.output)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(partial)
                raise
    if output.json:
        output.document({"name": arguments.name, "output": arguments.output})
    return 0
