"""How a copy differs from what it was made of: the answer of :func:`~overlaykit.tree.compare`, without reading all.

Whatever is done to a file or directory sets its change time, which nobody can set otherwise. So what still is the inode
that was made of the original's, and has a change time from before the end of copying, is a faithful copy. In the tick
of the clock in which copying ended, and for all that came later, it takes a look. (Change times alone are not enough:
a directory that is renamed takes its files along, and XFS exchanges two files without touching either.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..linux import DifferenceFlag, differ
from ._change import Aspect, Change, ChangeKind
from ._compare import difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._host import HostTree

__all__ = ["compare_copy"]


def compare_copy(before: HostTree, after: HostTree, *, begun: int, done: int, inodes: bytes | None) -> Iterator[Change]:
    """Yield how a tree differs from the one it was copied from, in tree order.

    :param before: what was copied, which has not changed since.
    :param after: the copy.
    :param begun: the file system's clock when the copying began, in nanoseconds since the epoch.
    :param done: the same when it was over.
    :param inodes: which inode was made of which, as :func:`overlaykit.linux.copy_tree` writes it. ``None`` where what
        is unchanged has the original's inode number and change time: in a snapshot by the file system, and in an
        overlay over ``before``.
    :raises OSError: something cannot be looked at; ``filename`` is its path.
    """
    aspects = difference(before, after, ".")
    if aspects:
        yield Change(ChangeKind.MODIFIED, ".", aspects)
    for flags, path in differ(before.fileno(), after.fileno(), begun=begun, done=done, inodes=inodes):
        if flags & DifferenceFlag.ADDED:
            yield Change(ChangeKind.ADDED, path)
        elif flags & DifferenceFlag.DELETED:
            yield Change(ChangeKind.DELETED, path)
        elif flags & DifferenceFlag.TYPE:
            yield Change(ChangeKind.MODIFIED, path, Aspect.TYPE)
        else:
            aspects = difference(before, after, path)
            if flags & DifferenceFlag.LINKS:
                aspects |= Aspect.LINKS
            if aspects:
                yield Change(ChangeKind.MODIFIED, path, aspects)
