"""Applies layers straight to the inodes of a snapshot."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

from overlaykit.driver import TreeWriter, join_path
from overlaykit.inodes import text, walk

from ._node import Directory, File

if TYPE_CHECKING:
    from overlaykit.driver import FileRun

    from ._tree import MemoryTree

__all__ = ["MemoryWriter"]


class MemoryWriter(TreeWriter):
    """A writer that makes small files without a look-up for each.

    :param tree: writable; closed with the writer.
    """

    def __init__(self, tree: MemoryTree) -> None:
        super().__init__(tree)
        self._snapshot = tree._snapshot

    def files(self, directory: bytes, run: FileRun) -> None:
        snapshot = self._snapshot
        inodes, own = snapshot.world.inodes, snapshot.own
        with snapshot.lock:
            found = walk(snapshot, text(directory), (directory,), follow=False, slash_follows=False).node
            assert isinstance(found, Directory)
            above = snapshot.directory(found.ino)
            now = time.time_ns()
            for raw, attributes, data in run.files():
                name = text(raw)
                if name in above.entries:
                    self._clear(join_path(directory, raw))
                ino = next(inodes)
                node = File(ino, stat.S_IFREG | attributes.mode, attributes.uid, attributes.gid, now, (above.ino, name))
                node.atime = node.mtime = attributes.mtime
                node.replace(data)
                own[ino] = node
                above.entries[name] = ino
            above.mtime = above.ctime = now
