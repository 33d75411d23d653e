"""What was committed, to find what was changed since."""

from __future__ import annotations

import itertools
import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from overlaykit.linux import Scan, ScanEntry

__all__ = ["compare_manifest"]


def _portable(entry: ScanEntry) -> ScanEntry:
    """Return what of an entry survives copying the store to another place."""
    size = 0 if stat.S_ISDIR(entry.mode) else entry.size
    return entry._replace(ino=0, dev=0, nlink=0, size=size, ctime=0, ctime_nanoseconds=0)


def compare_manifest(expected: Scan, found: Scan) -> tuple[str, str] | None:
    """Compare a layer with what it was when it was committed.

    :returns: what happened and to which path; ``None`` where nothing did.
    """
    if expected == found:
        return None
    here = (iter(expected), iter(found))
    copied = False
    for old, new in itertools.zip_longest(*here):
        if not copied and old is not None and new is not None and not old.path and old.ino != new.ino:
            copied = True
        if old is None or new is None or old.path != new.path:
            return _missing(old, new)
        if copied:
            old, new = _portable(old), _portable(new)
        else:
            # The number of a device may change when the machine starts.
            old = old._replace(dev=new.dev)
        if old != new:
            return "was modified", os.fsdecode(new.path)
    return None


def _missing(old: ScanEntry | None, new: ScanEntry | None) -> tuple[str, str]:
    if old is None or (new is not None and new.path.split(b"/") < old.path.split(b"/")):
        assert new is not None
        return "was added", os.fsdecode(new.path)
    return "is gone", os.fsdecode(old.path)
