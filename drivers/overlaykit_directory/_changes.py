"""What changed since a snapshot was prepared: the answer of :func:`~overlaykit.tree.compare`, without reading all.

Whatever is done to a file or directory sets its change time, which nobody can set otherwise. So what has a change time
from before the end of preparing is as it was made: a faithful copy. In the tick of the clock in which preparing ended,
and for all that came later, it takes a look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit import linux
from overlaykit.driver import Aspect, Change, ChangeKind
from overlaykit.linux import DifferenceFlag
from overlaykit.tree import difference

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ._layout import Prepared
    from ._tree import DirectoryTree

__all__ = ["changes"]


def changes(before: DirectoryTree, after: DirectoryTree, prepared: Prepared) -> Iterator[Change]:
    """Yield how a snapshot differs from the parent that it was prepared from.

    :param prepared: how ``after`` was made from ``before``.
    """
    same_inodes = prepared.method == "subvolume"

    def unchanged(_: str, old: os.stat_result, new: os.stat_result) -> bool:
        if same_inodes:
            return old.st_ino == new.st_ino and old.st_ctime_ns == new.st_ctime_ns and new.st_ctime_ns < prepared.done
        # The lower bound is for a clock that was set back: it would have to hit the very moment of preparing.
        return prepared.begun <= new.st_ctime_ns < prepared.done and old.st_mtime_ns == new.st_mtime_ns

    aspects = difference(before, after, ".")
    if aspects:
        yield Change(ChangeKind.MODIFIED, ".", aspects)
    found = linux.differ(
        before.fileno(), after.fileno(), begun=prepared.begun, done=prepared.done, same_inodes=same_inodes
    )
    for flags, path in found:
        if flags & DifferenceFlag.ADDED:
            yield Change(ChangeKind.ADDED, path)
        elif flags & DifferenceFlag.DELETED:
            yield Change(ChangeKind.DELETED, path)
        elif flags & DifferenceFlag.TYPE:
            yield Change(ChangeKind.MODIFIED, path, Aspect.TYPE)
        else:
            aspects = difference(before, after, path, unchanged=unchanged)
            if flags & DifferenceFlag.LINKS:
                aspects |= Aspect.LINKS
            if aspects:
                yield Change(ChangeKind.MODIFIED, path, aspects)
