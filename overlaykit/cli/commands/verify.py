"""``overlaykit verify``: whether layers still are what was committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import SnapshotDamagedError
from .._exit import ExitCode

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("keys", metavar="KEY", nargs="*", help="a layer; without one, all of them")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Check every layer, also after one is found damaged.

    :returns: 0, or 8 where one is damaged.
    """
    from ...driver import SnapshotKind

    output = context.output
    results: list[dict[str, str | bool]] = []
    with context.open_store() as store:
        for key in arguments.keys or [info.key for info in store.walk(kind=SnapshotKind.COMMITTED)]:
            try:
                store.verify(key)
                message = ""
            except SnapshotDamagedError as error:
                message = str(error)
            results.append({"key": key, "ok": not message, "message": message})
            if not output.json:
                state = output.style("damaged", "red") if message else output.style("ok", "green")
                output.line(f"{state}  {output.name(key)}" + (f": {output.name(message)}" if message else ""))
    if output.json:
        output.document({"snapshots": results})
    return ExitCode.OK if all(result["ok"] for result in results) else ExitCode.DAMAGED
