"""Applies layers straight to an upper directory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from overlaykit.driver import HostWriter, join_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from overlaykit.driver import FileRun, FileSink, NodeAttributes, NodeKind
    from overlaykit.tree import Tree

__all__ = ["UpperWriter"]


class UpperWriter(HostWriter):
    """A writer below an upper directory, where hiding is a whiteout or an opaque directory.

    (The kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".)

    A hard link to a file that only a layer below has waits for the end, or until something takes the file's place, and
    is made in the merged view, which copies the file up with all its names.

    :param root: a descriptor of the upper directory; closed with the writer.
    :param attributes: what overlayfs's own attributes begin with.
    :param merged: opens the merged view, writable.
    """

    def __init__(self, root: int, attributes: str, merged: Callable[[], Tree]) -> None:
        super().__init__(root)
        self._prefix = attributes.encode()
        self._merged = merged
        self._late: dict[bytes, bytes] = {}
        self._watched: set[bytes] = set()
        """The paths of links that wait and of what they lead to, with all above them."""

    def attribute(self, name: bytes) -> bytes:
        # What a layer has under overlayfs's names is data: the kernel takes the escaped form for that.
        if name.startswith(self._prefix):
            return self._prefix + b"overlay." + name[len(self._prefix) :]
        return name

    def link(self, path: bytes, target: bytes) -> None:
        target = self._late.get(target, target)
        parent, name = self.locate(target)
        try:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            self._drop(path)
            super().remove(path)
            self._wait(path, target)
            return
        self._drop(path)
        super().link(path, target)

    def hide(self, path: bytes) -> None:
        parent, name = self.locate(path)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)

    def hide_children(self, path: bytes, keep: Iterable[bytes]) -> None:
        if path:
            self._make_opaque(path)
            return
        # The kernel merges the roots of layers whatever they say: each name has to be hidden.
        self.forget()
        kept = set(keep)
        with self._merged() as tree:
            found = [os.fsencode(entry.name) for entry in tree.scandir()]
        for name in found:
            if name not in kept:
                self.hide(name)
            elif stat.S_ISDIR(os.stat(name, dir_fd=self.locate(name)[0], follow_symlinks=False).st_mode):
                self._make_opaque(name)

    def _make_opaque(self, path: bytes) -> None:
        parent, name = self.locate(path)
        os.setxattr(b"/proc/self/fd/%d/%s" % (parent, name), self._prefix + b"opaque", b"y")

    def directory(self, path: bytes, attributes: NodeAttributes) -> None:
        self._drop(path, directory=True)
        super().directory(path, attributes)

    def file(self, path: bytes, attributes: NodeAttributes, size: int) -> FileSink:
        self._drop(path)
        return super().file(path, attributes, size)

    def files(self, directory: bytes, run: FileRun) -> None:
        if self._late:
            for name in run.names:
                self._drop(join_path(directory, name))
        super().files(directory, run)

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        self._drop(path)
        super().symlink(path, target, attributes)

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        self._drop(path)
        super().node(path, kind, attributes, device)

    def remove(self, path: bytes) -> None:
        self._drop(path)
        super().remove(path)

    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        if self._late:
            self._link_late()
        super().settle(directories)

    def _link_late(self) -> None:
        self.forget()
        with self._merged() as tree:
            for path, target in self._late.items():
                if tree.exists(path, follow_symlinks=False):
                    if tree.is_dir(path, follow_symlinks=False):
                        tree.rmtree(path)
                    else:
                        tree.unlink(path)
                tree.link(target, path)
        self._late.clear()
        self._watched.clear()

    def _wait(self, path: bytes, target: bytes) -> None:
        self._late[path] = target
        for one in (path, target):
            while one and one not in self._watched:
                self._watched.add(one)
                one = one.rpartition(b"/")[0]

    def _drop(self, path: bytes, *, directory: bool = False) -> None:
        """Something takes the place of a link that waits, of a directory that holds some, or of what one leads to.

        :param directory: it is a directory, which takes nothing from one that is there.
        """
        if path not in self._watched:
            return
        self._late.pop(path, None)
        if not directory:
            for late in [late for late in self._late if _is_below(late, path)]:
                del self._late[late]
        if any(target == path or (not directory and _is_below(target, path)) for target in self._late.values()):
            self._link_late()


def _is_below(path: bytes, directory: bytes) -> bool:
    return path.startswith(directory + b"/")
