"""``overlaykit cp``: files go into a container, or out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import UsageError

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", metavar="SOURCE", help="PATH, NAME:PATH, or - for a tar archive at standard input")
    parser.add_argument("target", metavar="TARGET", help="NAME:PATH, PATH, or - for a tar archive to standard output")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Copy a file or a tree with its attributes."""
    import sys

    source, target = _split(arguments.source), _split(arguments.target)
    if (source is None) == (target is None):
        raise UsageError("one of SOURCE and TARGET is in a container, and is written NAME:PATH")
    output = context.output
    if arguments.target == "-" and (output.terminal or output.json):
        raise UsageError("the archive goes to standard output: send that to a file or a program, without --json")
    with context.open_store() as store:
        if target is not None:
            with store.open_container(target[0]) as box:
                box.copy_in(sys.stdin.buffer if arguments.source == "-" else arguments.source, target[1])
        elif source is not None:
            with store.open_container(source[0]) as box:
                box.copy_out(source[1], sys.stdout.buffer if arguments.target == "-" else arguments.target)
    if output.json:
        output.document({"source": arguments.source, "target": arguments.target})
    return 0


def _split(word: str) -> tuple[str, str] | None:
    """Return a container's name and a path; a path of this machine with a colon in it begins with . or /."""
    if word.startswith((".", "/")) or ":" not in word:
        return None
    name, _, path = word.partition(":")
    return name, path
