"""``overlaykit logs``: what a detached container wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from ...runtime import LogEntry
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a container")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what it writes, until it ends")
    parser.add_argument("-t", "--timestamps", action="store_true", help="begin each line with when it was written")
    parser.add_argument("-n", "--tail", metavar="N", default="all", help="only so many lines before the end, or all")
    parser.add_argument("--since", metavar="TIME", help="not before: 2026-01-02T15:04:05, seconds, or 10m for ago")
    parser.add_argument("--until", metavar="TIME", help="only before then")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write it: standard output there, standard error there."""
    from ...runtime import DetachedContainer

    output = context.output
    if output.json and arguments.follow:
        raise UsageError("--json writes one document at the end, and --follow has none: give one of the two")
    options = {
        "tail": _tail(arguments.tail),
        "since": _moment(arguments.since, "--since"),
        "until": _moment(arguments.until, "--until"),
    }
    with context.open_store() as store:
        entries = DetachedContainer(store, arguments.name).logs(follow=arguments.follow, **options)
        if output.json:
            output.document({"entries": [_entry(one) for one in entries]})
            return 0
        for entry in entries:
            stream = sys.stdout if entry.stream == "stdout" else sys.stderr
            stream.buffer.write(_stamp(entry) + entry.data if arguments.timestamps and entry.begins else entry.data)
            if arguments.follow:
                stream.buffer.flush()
    return 0


def _stamp(entry: LogEntry) -> bytes:
    from ...runtime import format_time

    return f"{format_time(entry.time)} ".encode("ascii")


def _entry(entry: LogEntry) -> dict[str, str]:
    from ...runtime import format_time

    text = entry.data.decode("utf-8", "surrogateescape")
    return {"time": format_time(entry.time), "stream": entry.stream, "text": text}


def _tail(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"--tail {text!r} is no number of lines")
    return int(text)


def _moment(text: str | None, option: str) -> int | None:
    from ...runtime import parse_moment

    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
