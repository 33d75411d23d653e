"""One entry of a directory listing."""

from __future__ import annotations

import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os

    from ._tree import Tree

__all__ = ["TreeEntry"]


class TreeEntry:
    """What :meth:`Tree.scandir` yields; :class:`os.DirEntry`'s habits, without a descriptor behind it.

    :param tree: the tree listed.
    :param name: the name in its directory.
    :param path: the path from the root of the tree.
    :param format: the file type bits, as :func:`stat.S_IFMT` gives them.
    :param ino: the inode number.

    Not a frozen dataclass, whose construction would take most of the time of listing a directory; treat it as one.
    """

    __slots__ = ("format", "ino", "name", "path", "tree")

    def __init__(self, tree: Tree, name: str, path: str, format: int, ino: int) -> None:
        self.tree = tree
        self.name = name
        self.path = path
        self.format = format
        self.ino = ino

    def __repr__(self) -> str:
        return f"<TreeEntry {self.path!r}>"

    def inode(self) -> int:
        """Return the inode number."""
        return self.ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether this is a directory, or with ``follow_symlinks`` a symbolic link to one."""
        if follow_symlinks and self.format == stat.S_IFLNK:
            return self.tree.is_dir(self.path)
        return self.format == stat.S_IFDIR

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether this is a regular file, or with ``follow_symlinks`` a symbolic link to one."""
        if follow_symlinks and self.format == stat.S_IFLNK:
            return self.tree.is_file(self.path)
        return self.format == stat.S_IFREG

    def is_symlink(self) -> bool:
        """Tell whether this is a symbolic link."""
        return self.format == stat.S_IFLNK

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Stat the entry; see :meth:`Tree.stat`."""
        return self.tree.stat(self.path, follow_symlinks=follow_symlinks)
