"""Open files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from overlaykit.inodes import InodeFile

if TYPE_CHECKING:
    from ._node import File
    from ._snapshot import Snapshot

__all__ = ["MemoryFile"]

_WRONLY: int = os.O_WRONLY
_WRITES: int = os.O_WRONLY | os.O_RDWR


class MemoryFile(InodeFile):
    """A file in memory: what of :class:`InodeFile` is often called, without a call inside."""

    def __init__(self, snapshot: Snapshot, ino: int, flags: int, name: str | bytes) -> None:
        """In a bracket, so that the inode is still there."""
        self._snapshot = snapshot
        self._inodes = snapshot
        self._ino = ino
        self._flags = flags
        self.name = name
        self._open = True
        if snapshot.frozen:
            self._counted = False
        else:
            self._counted = True
            opened = snapshot.opened
            opened[ino] = opened.get(ino, 0) + 1
            if flags & _WRITES:
                snapshot.writers[id(self)] = name

    def _node(self) -> File:
        snapshot = self._snapshot
        return snapshot.own.get(self._ino) or snapshot.base[self._ino]  # type: ignore[return-value]

    def readall(self) -> bytes:
        if self._open and not self._flags & _WRONLY and not self._position:
            data = self._node().data
            if type(data) is bytes:
                self._position = len(data)
                return data
        return super().readall()
