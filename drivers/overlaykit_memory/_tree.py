"""The tree, with the short ways that memory has."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from overlaykit.inodes import InodeTree, drop_privileges, failure, status, text
from overlaykit.tree import TreeEntry

from ._file import MemoryFile
from ._memory import memory_figures
from ._node import Directory, File, Node, Symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.tree import StrOrBytesPath

    from ._snapshot import Snapshot

__all__ = ["MemoryTree"]

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_O_TRUNC: int = os.O_TRUNC
_CREATE: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
#: What asks for a write, and so is refused by a read-only tree.
_WRITES: int = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
# Flags that some platform lacks have there the value 0: nobody can ask for them.
_O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
_O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_O_TMPFILE: int = getattr(os, "O_TMPFILE", 0)
#: What a file that exists does not answer by being opened.
_RARE: int = os.O_EXCL | _O_NOFOLLOW | _O_DIRECTORY | _O_TMPFILE


class MemoryTree(InodeTree):
    """The tree of a snapshot in memory.

    No lock is taken to look at something, unless a path is out of the ordinary.
    """

    def __init__(self, snapshot: Snapshot, *, readonly: bool) -> None:
        super().__init__(snapshot, readonly=readonly)
        self._snapshot = snapshot
        self._own = snapshot.own
        self._base = snapshot.base
        self._dev = snapshot.dev

    def statvfs(self) -> os.statvfs_result:
        """Return the figures of the machine's memory; inodes are as many as blocks, names as long as on ext4."""
        self._check_open()
        return memory_figures(self.readonly)

    # -- looking -------------------------------------------------------------------------------------------------

    def _plain(self, path: StrOrBytesPath) -> Node | None:
        """Return what a plain path names: without symbolic links, dots or doubled slashes; ``None`` for others."""
        if type(path) is str and path:
            own, base = self._own, self._base
            root = self._snapshot.root
            node: Any = own.get(root) or base[root]
            try:
                for name in (path[1:] if path[0] == "/" else path).split("/"):
                    ino = node.entries[name]
                    node = own.get(ino) or base[ino]
            except (KeyError, AttributeError):
                return None
            if type(node) is not Symlink:
                return node  # type: ignore[no-any-return]
        return None

    def _find(self, path: StrOrBytesPath, follow: bool) -> Node:
        """Return what a path names: a plain path by a plain walk, whatever else there is in paths the long way."""
        if not self._closed:
            node = self._plain(path)
            if node is not None:
                return node
        return super()._find(path, follow)

    def _find_or_none(self, path: StrOrBytesPath, follow: bool) -> Node | None:
        if not self._closed:
            node = self._plain(path)
            if node is not None:
                return node
        return super()._find_or_none(path, follow)

    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        return status(self._find(path, follow_symlinks), self._dev)

    def lstat(self, path: StrOrBytesPath) -> os.stat_result:
        return status(self._find(path, False), self._dev)

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        entries = list(self._directory(path).entries.items())
        above = text(path).strip("/")
        return self._entries(entries, "" if above in ("", ".") else above + "/")

    def _entries(self, entries: list[tuple[str, int]], prefix: str) -> Iterator[TreeEntry]:
        own, base = self._own, self._base
        for name, ino in entries:
            node = own.get(ino)
            if node is None:
                try:
                    node = base[ino]
                except KeyError:
                    continue  # removed since the directory was read
            yield TreeEntry(self, name, prefix + name, stat.S_IFMT(node.mode), ino)

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        return list(self._directory(path).entries)

    def read_bytes(self, path: StrOrBytesPath) -> bytes:
        node = (None if self._closed else self._plain(path)) or super()._find(path, True)
        if type(node) is File:
            data = node.data
            if type(data) is bytes:
                return data
            with self._snapshot.lock:
                return node.content()
        raise failure(errno.EISDIR if isinstance(node, Directory) else errno.ENXIO, path)

    # -- files ---------------------------------------------------------------------------------------------------

    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> MemoryFile:
        """Open a file; see :meth:`Tree.open_raw`.

        :raises OSError: ENXIO for a FIFO, a socket or a device: there is no kernel behind it that could serve it.
        """
        snapshot = self._snapshot
        with snapshot.lock:
            if flags & _WRITES:
                self._check_write(path)
            elif self._closed:
                self._check_open()
            node = None if flags & _RARE or flags & _ACCESS == _ACCESS else self._plain(path)
            if type(node) is not File:
                node = self._open(path, flags, mode)
            if flags & _O_TRUNC:
                node = snapshot.file(node.ino)
                if node.xattrs or node.mode & 0o6000:
                    drop_privileges(node, snapshot.world)
                node.data = b""
                node.private = False
                node.mtime = node.ctime = time.time_ns()
            return MemoryFile(snapshot, node.ino, flags, path if type(path) is str else os.fspath(path))

    def open(self, path: StrOrBytesPath, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not args and not options:
            # The usual modes, short of the general way's choices.
            if mode == "rb":
                return io.BufferedReader(self.open_raw(path, os.O_RDONLY))
            if mode == "wb":
                return io.BufferedWriter(self.open_raw(path, _CREATE))
        return super().open(path, mode, *args, **options)

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        content = data if type(data) is bytes else memoryview(data).cast("B")
        with self._snapshot.lock:
            self._check_write(path)
            snapshot = self._snapshot
            found = self._plain(path)
            if type(found) is not File:
                found = self._open(path, os.O_WRONLY | os.O_CREAT, 0o666)
            node = snapshot.file(found.ino)
            if node.xattrs or node.mode & 0o6000:
                drop_privileges(node, snapshot.world)
            try:
                node.replace(content)
            except MemoryError:
                raise failure(errno.ENOSPC, path) from None
            node.mtime = node.ctime = time.time_ns()
        return len(content)
