"""Applies layers where the caller may set owners but not everything: in a user namespace, or without CAP_MKNOD."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ._host_writer import HostWriter
from ._kept_writer import KeptWriter
from ._writer import LayerWriter, NodeKind

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._writer import FileRun, NodeAttributes

__all__ = ["NamespaceWriter"]

_NOT_MINE = frozenset({errno.EPERM, errno.EINVAL, errno.EOVERFLOW, errno.EOPNOTSUPP})
"""What the kernel says to an owner that is not mapped (user_namespaces(7)), and to an attribute that is not for all."""


class NamespaceWriter(KeptWriter):
    """A writer that sets what the caller may set, and keeps only the rest in extended attributes.

    The rest is device nodes, owners that have no id in the namespace, attributes in ``trusted.*``.

    :param root: a descriptor of the directory; closed with the writer.
    """

    def files(self, directory: bytes, run: FileRun) -> None:
        try:
            HostWriter.files(self, directory, run)
        except OSError as error:
            if error.errno not in _NOT_MINE:
                raise
            LayerWriter.files(self, directory, run)

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        super().symlink(path, target, attributes)
        parent, name = self._at(path)
        with contextlib.suppress(OSError):
            os.chown(name, attributes.uid, attributes.gid, dir_fd=parent, follow_symlinks=False)
            if not attributes.xattrs:
                directory, _, name = path.rpartition(b"/")
                self._owners[directory][name] = None

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        if kind is NodeKind.FIFO:
            HostWriter.node(self, path, kind, attributes, device)
        else:
            super().node(path, kind, attributes, device)

    def attribute(self, name: bytes) -> bytes:
        return os.fsencode(self._form.stored_xattr(os.fsdecode(name), partial=True))

    def finish(self, fd: int, attributes: NodeAttributes, *, clear: bool) -> None:
        try:
            HostWriter.finish(self, fd, attributes, clear=clear)
        except OSError as error:
            if error.errno not in _NOT_MINE:
                raise
            super().finish(fd, attributes, clear=clear)

    def _give(self, parent: int, name: bytes, attributes: NodeAttributes, *, clear: bool) -> None:
        path = b"/proc/self/fd/%d/%s" % (parent, name)
        links = None
        if clear:
            with contextlib.suppress(OSError):
                links = os.getxattr(path, self._form.STAT_XATTRS[1])
        try:
            HostWriter._give(self, parent, name, attributes, clear=clear)
        except OSError as error:
            if error.errno not in _NOT_MINE:
                raise
            kind = stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
            # Its namespace's root, who may use all of it.
            self._dress(path, attributes, kind, 0, clear=clear)
        if links is not None:
            os.setxattr(path, self._form.STAT_XATTRS[1], links)
