"""What the program cannot copy up, carried from layer to layer instead.

A FIFO, a socket or a device node of a layer below it would replace by an empty file, and of a file with several names
it would copy up one and leave the others behind; and without root it cannot copy up a directory that its owner may not
write to. So none of these ever is of a layer below: every new snapshot begins with copies of what its parent has of
them, in its own upper directory. They share blocks where the file system can do that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from overlaykit import linux
from overlaykit.tree import HostTree, StrOrBytesPath, TreeEntry, copy_tree

__all__ = ["carry", "what_to_carry"]

_PRIVATE = ("user.fuseoverlayfs.", "trusted.overlay.")
"""Extended attributes that the program keeps for itself begin so."""


def what_to_carry(upper: Path) -> list[bytes]:
    """Return the paths in an upper directory of what the snapshots over it must begin with."""
    directory = os.open(upper, os.O_RDONLY | os.O_DIRECTORY)
    try:
        scan = linux.scan_layer(directory, _PRIVATE[1])
    finally:
        os.close(directory)
    root = os.geteuid() == 0
    linked = {path for names in scan.linked().values() for path in names}
    return [
        entry.path
        for entry in scan
        if entry.path
        and not entry.flags & linux.ScanFlag.WHITEOUT
        and _is_carried(entry.mode, linked=entry.path in linked, root=root)
    ]


def _is_carried(mode: int, *, linked: bool, root: bool) -> bool:
    if stat.S_ISDIR(mode):
        return not root and mode & 0o700 != 0o700
    if stat.S_ISREG(mode):
        return linked and (root or bool(mode & 0o400))
    return linked or not stat.S_ISLNK(mode)


def carry(parent: Path, upper: Path, paths: Iterable[bytes]) -> None:
    """Fill a new upper directory with what its parent's has at some paths, and give it the attributes of its root.

    :raises OSError: something could not be copied.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY
    with _Carried(os.open(parent, flags), paths) as source, HostTree(os.open(upper, flags)) as target:
        copy_tree(source, target)
        for path in source.sockets:
            status = source.lstat(path)
            above = target.stat(os.path.dirname(path))
            target.mknod(path, status.st_mode)
            target.chown(path, status.st_uid, status.st_gid)
            target.chmod(path, stat.S_IMODE(status.st_mode))
            target.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            target.utime(os.path.dirname(path), ns=(above.st_atime_ns, above.st_mtime_ns))


class _Carried(HostTree):
    """Of an upper directory some paths, and the directories above them, without what the program added to them.

    :ivar sockets: the sockets that were listed, which copy_tree() leaves out.
    """

    def __init__(self, fd: int, paths: Iterable[bytes]) -> None:
        super().__init__(fd, readonly=True)
        self.sockets: list[str] = []
        self._names: dict[str, set[str]] = {}
        for path in paths:
            below = os.fsdecode(path)
            while below:
                above, name = os.path.split(below)
                self._names.setdefault(above, set()).add(name)
                below = above

    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        names = self._names.get(os.fsdecode(path), set())
        # One that is carried for its own sake need not be one that can be listed.
        entries = [entry for entry in super().scandir(path) if entry.name in names] if names else []
        self.sockets += [entry.path for entry in entries if entry.format == stat.S_IFSOCK]
        return iter(entries)

    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        names = super().listxattr(path, follow_symlinks=follow_symlinks)
        return [name for name in names if not name.startswith(_PRIVATE)]
