"""Applies layers to a directory of this machine without root: owners and the rest are kept in extended attributes."""

from __future__ import annotations

import os
import stat

from ._host_writer import HostWriter
from ._writer import FORMATS, NodeKind

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..tree import LinkOwner, MappedTree
    from ._writer import FileRun, NodeAttributes

__all__ = ["KeptWriter"]


class KeptWriter(HostWriter):
    """A writer that makes what :class:`~overlaykit.tree.MappedTree` shows.

    All that it makes belongs to the caller, who can read and write it; what it should be is kept in attributes.

    :param root: a descriptor of the directory; closed with the writer.
    """

    def __init__(self, root: int) -> None:
        # It needs modules that nothing else here does.
        from .. import tree

        super().__init__(root)
        self._form = tree
        self._owners: dict[bytes, dict[bytes, LinkOwner | None]] = {}
        """By directory and name: what symbolic links have that this layer put."""

    # -- making ------------------------------------------------------------------------------------------------------

    def files(self, directory: bytes, run: FileRun) -> None:
        # What a default ACL would have them inherit it does not: it is kept under a name that the system does not know.
        run.write_to(self._directory(directory), kept=True)

    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        parent, name = self._at(path)
        self._place(parent, name, lambda: os.symlink(target, name, dir_fd=parent))
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=parent, follow_symlinks=False)
        owner = self._form.LinkOwner(
            attributes.uid, attributes.gid, {os.fsdecode(key): value for key, value in attributes.xattrs}
        )
        directory, _, name = path.rpartition(b"/")
        self._owners.setdefault(directory, {})[name] = None if owner == self._form.LinkOwner() else owner

    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        parent, name = self._at(path)
        self._place(parent, name, lambda: os.mknod(name, stat.S_IFREG | 0o600, dir_fd=parent))
        self._dress(b"/proc/self/fd/%d/%s" % (parent, name), attributes, FORMATS[kind], device, clear=False)
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=parent, follow_symlinks=False)

    def link(self, path: bytes, target: bytes) -> None:
        super().link(path, target)
        self.note_link(path, target)

    # -- taking away -------------------------------------------------------------------------------------------------

    def remove(self, path: bytes) -> None:
        super().remove(path)
        directory, _, name = path.rpartition(b"/")
        self._owners.setdefault(directory, {})[name] = None

    # -- ending ------------------------------------------------------------------------------------------------------

    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        settled = list(directories)
        self._keep_links([path for path, _ in settled])
        super().settle(settled)

    def _keep_links(self, directories: Iterable[bytes]) -> None:
        """Write the tables of symbolic links.

        :param directories: all that the layer gave.
        """
        with self._mapped() as tree:
            for path in directories:
                put = self._owners.get(path, {})
                before = self.links_below(path)
                if not put and before is None:
                    continue
                # A name that is no link any more, or one of this layer, has nothing of what was there before.
                table = {
                    name: owner
                    for name, owner in (tree.links(path) if before is None else before).items()
                    if os.fsencode(name) not in put and self._may_be_old(path, os.fsencode(name))
                }
                for name, owner in put.items():
                    if owner is not None and self._is_link(path, name):
                        table[os.fsdecode(name)] = owner
                tree.set_links(path, table)

    def _may_be_old(self, directory: bytes, name: bytes) -> bool:
        is_link = self._is_link(directory, name)
        return self.shows_below if is_link is None else is_link

    def _is_link(self, directory: bytes, name: bytes) -> bool | None:
        try:
            status = os.stat(name, dir_fd=self._directory(directory), follow_symlinks=False)
        except FileNotFoundError:
            return None
        return stat.S_ISLNK(status.st_mode)

    # -- for those who store it in another way -----------------------------------------------------------------------

    #: Whether what is not in the directory may still be in the snapshot, from a layer below.
    shows_below = False

    def attribute(self, name: bytes) -> bytes:
        return os.fsencode(self._form.stored_xattr(os.fsdecode(name)))

    def links_below(self, path: bytes) -> Mapping[str, LinkOwner] | None:
        """Return what is kept of the links that a directory has from below, ``None`` where it says so itself."""
        return None

    def note_link(self, path: bytes, target: bytes) -> None:
        """Note that a path is another name of what is at a second one, or will be."""
        directory, _, name = target.rpartition(b"/")
        put = self._owners.get(directory, {})
        if name in put:
            owner = put[name]
        elif self._is_link(directory, name) is False:
            return
        else:
            owner = self._links(directory).get(os.fsdecode(name))
        directory, _, name = path.rpartition(b"/")
        self._owners.setdefault(directory, {})[name] = owner

    def finish(self, fd: int, attributes: NodeAttributes, *, clear: bool) -> None:
        self._dress(fd, attributes, stat.S_IFREG, 0, clear=False)
        os.utime(fd, ns=(attributes.mtime, attributes.mtime))

    # -- below -------------------------------------------------------------------------------------------------------

    def _give(self, parent: int, name: bytes, attributes: NodeAttributes, *, clear: bool) -> None:
        self._dress(b"/proc/self/fd/%d/%s" % (parent, name), attributes, stat.S_IFDIR, 0, clear=clear)

    def _dress(self, target: bytes | int, attributes: NodeAttributes, format: int, device: int, *, clear: bool) -> None:
        kept = self._form.Override(attributes.uid, attributes.gid, attributes.mode, format, device)
        os.chmod(target, kept.real_mode)
        given = [(self.attribute(name), value) for name, value in attributes.xattrs]
        if clear:
            stays = {name for name, _ in given} | {os.fsencode(one) for one in self._form.STAT_XATTRS}
            for old in os.listxattr(target):
                if old.startswith("user.") and os.fsencode(old) not in stays:
                    os.removexattr(target, old)
        os.setxattr(target, self._form.STAT_XATTRS[0], kept.encode())
        for name, value in given:
            os.setxattr(target, name, value)

    def _links(self, directory: bytes) -> Mapping[str, LinkOwner]:
        found = self.links_below(directory)
        if found is not None:
            return found
        with self._mapped() as tree:
            return tree.links(directory)

    def _mapped(self) -> MappedTree:
        fd = os.open(f"/proc/self/fd/{self._root}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        tree: MappedTree = self._form.MappedTree(self._form.HostTree(fd))
        return tree
