"""What changed since a snapshot was prepared: the answer of :func:`~overlaykit.tree.compare`, without reading all.

Whatever is done to a file or directory sets its change time, which nobody can set otherwise. So what still is the inode
that was made of the parent's, and has a change time from before the end of preparing, is a faithful copy. In the tick
of the clock in which preparing ended, and for all that came later, it takes a look. (Change times alone are not enough:
a directory that is renamed takes its files along, and XFS exchanges two files without touching either.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit import linux
from overlaykit.driver import Aspect, Change, ChangeKind
from overlaykit.linux import DifferenceFlag
from overlaykit.tree import difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.tree import HostTree

    from ._layout import Prepared

__all__ = ["changes"]


def changes(before: HostTree, after: HostTree, prepared: Prepared, inodes: bytes | None) -> Iterator[Change]:
    """Yield how a snapshot differs from the parent that it was prepared from.

    :param prepared: how ``after`` was made from ``before``.
    :param inodes: which inode was made of which; ``None`` where they are the same.
    """
    aspects = difference(before, after, ".")
    if aspects:
        yield Change(ChangeKind.MODIFIED, ".", aspects)
    found = linux.differ(before.fileno(), after.fileno(), begun=prepared.begun, done=prepared.done, inodes=inodes)
    for flags, path in found:
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
