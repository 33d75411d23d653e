"""Directories of snapshots, for drivers whose storage is a directory of this machine.

A driver that keeps a directory, a subvolume or the like for each snapshot says what is in it;
:class:`SnapshotDirectories` does the rest, once for all: a snapshot is there whole or not at all, whenever a process is
killed, and however many work at once; it is on the disk when the durability says so; what is removed goes later, and
with it what a dead process left.
"""

from __future__ import annotations

from ..lazy import lazy_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._make import make_directory
    from ._open import open_directory
    from ._probe import probe_directory
    from ._snapshots import SnapshotDirectories

__all__ = ["SnapshotDirectories", "make_directory", "open_directory", "probe_directory"]

_LATER = {
    "SnapshotDirectories": "_snapshots",
    "make_directory": "_make",
    "open_directory": "_open",
    "probe_directory": "_probe",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
