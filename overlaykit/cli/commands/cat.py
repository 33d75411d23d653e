"""``overlaykit cat``: the bytes of files inside a snapshot."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ...errors import UnsupportedError

if TYPE_CHECKING:
    import argparse

    from ...tree import Tree
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


_CHUNK = 1 << 18


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the snapshot")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a file in it")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the files one after the other, as they are, also with --json."""
    buffer = bytearray(_CHUNK)
    with context.open_store() as store, store.tree(arguments.key, readonly=True) as tree:
        for path in arguments.paths:
            _refuse_special(tree, path)
            with tree.open_raw(path, os.O_RDONLY) as file:
                while count := file.readinto(buffer):
                    context.output.raw(memoryview(buffer)[:count])
    return 0


def _refuse_special(tree: Tree, path: str) -> None:
    # Opening a FIFO would wait for a writer that never comes. A directory's own error is as good as ours.
    mode = tree.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsupportedError(f"{path} is no regular file but a {stat.filemode(mode)}; ls -l shows it", filename=path)
