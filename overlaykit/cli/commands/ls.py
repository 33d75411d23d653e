"""``overlaykit ls``: a directory inside a snapshot."""

from __future__ import annotations

import datetime
import os
import stat
from typing import TYPE_CHECKING, Any

from .._text import aligned, mode_text

if TYPE_CHECKING:
    import argparse

    from ...tree import Tree
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot")
    parser.add_argument("path", metavar="PATH", nargs="?", default="/", help="a directory or file in it (default: /)")
    parser.add_argument("-l", "--long", action="store_true", help="mode, links, owner, size, time and link target too")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the directory in the order of the names' bytes; a file lists itself."""
    output = context.output
    with context.open_store() as store, store.tree(arguments.key, readonly=True) as tree:
        path = arguments.path
        # Asked before the form of the path is: a missing one is an error that names it.
        if stat.S_ISDIR(tree.stat(path).st_mode):
            names = sorted(tree.listdir(path), key=os.fsencode)
            found = [(name, os.path.join(path, name)) for name in names]
        else:
            found = [(path, path)]
        if output.json:
            output.document({"entries": [{"name": name, **_facts(tree, at)} for name, at in found]})
        elif arguments.long:
            rows = [_row(output.name(name), _facts(tree, at), output.name) for name, at in found]
            for line in aligned(rows, frozenset({1, 2, 3, 4})):
                output.line(line)
        else:
            for name, _ in found:
                output.line(output.name(name))
    return 0


def _facts(tree: Tree, path: str) -> dict[str, Any]:
    status = tree.lstat(path)
    facts: dict[str, Any] = {
        "mode": mode_text(status.st_mode),
        "links": status.st_nlink,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }
    if stat.S_ISLNK(status.st_mode):
        facts["target"] = tree.readlink(path)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        facts["device"] = f"{os.major(status.st_rdev)},{os.minor(status.st_rdev)}"
    return facts


def _row(name: str, facts: dict[str, Any], safe: Any) -> tuple[str, ...]:
    time = datetime.datetime.fromtimestamp(facts["mtime_ns"] // 10**9, datetime.UTC)
    target = f" -> {safe(facts['target'])}" if "target" in facts else ""
    return (
        facts["mode"],
        str(facts["links"]),
        str(facts["uid"]),
        str(facts["gid"]),
        facts.get("device", str(facts["size"])),
        f"{time:%Y-%m-%d %H:%M}",
        name + target,
    )
