"""What takes several steps in a merged view, and how it ends after a crash.

A record says what was begun; whoever next opens the snapshot for writing finishes it or undoes it. One operation at a
time is recorded for a snapshot: the caller holds the snapshot's lock.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from overlaykit.tree import remove_path

from ._copying import finish_join

TYPE_CHECKING = False

if TYPE_CHECKING:
    from overlaykit.tree import HostTree

    from ._layout import Layout

__all__ = ["Journal", "Record"]

Record = list[str]
"""A phase and its paths."""


class Journal:
    """The records of one snapshot: several, for one operation may need another.

    :param layout: the driver's directories.
    :param id: the snapshot.
    :ivar token: what the names of passing objects begin with.
    :ivar stuck: records of operations that could not be finished and must be before anything else is changed.
    """

    def __init__(self, layout: Layout, id: str) -> None:
        self._layout = layout
        self._id = id
        self._path = layout.file(id, "journal")
        self._records: list[Record] = []
        self.token = f".{layout.format.token}-"
        self.stuck: list[Record] = []

    @property
    def active(self) -> bool:
        """Whether something is recorded now."""
        return bool(self._records)

    def begin(self, phase: str, *paths: str) -> Record:
        """Record that an operation begins, before it does.

        :param phase: ``passing``: the paths are passing objects, to be removed. ``move``: the first is renamed to
            something, and when it is gone the second is to be removed. ``replace``: the first has all that the second
            has, which it is to replace. ``join``: see :func:`join_names`.
        :returns: the record, for :meth:`turn` and :meth:`end`.
        """
        record = [phase, *paths]
        self._records.append(record)
        self._save()
        return record

    def turn(self, record: Record, phase: str, *paths: str) -> None:
        """Record that the operation enters another phase."""
        record[:] = [phase, *paths]
        self._save()

    def end(self, record: Record) -> None:
        """Record that the operation is over."""
        self._records = [other for other in self._records if other is not record]
        self._save()

    def _save(self) -> None:
        if self._records:
            self._layout.replace(self._id, "journal", json.dumps(self._records).encode(), durable=False)
        else:
            os.unlink(self._path)

    def exists(self) -> bool:
        """Tell whether a dead process left something."""
        return os.access(self._path, os.F_OK)  # far cheaper than an exception, and asked at every mount

    def recover(self, raw: HostTree) -> None:
        """Finish or undo what a dead process left, through the merged view."""
        with open(self._path, encoding="utf-8") as file:
            records = json.load(file)
        for phase, *paths in reversed(records):
            if phase == "passing":
                for path in paths:
                    self._remove_passing(raw, path)
            elif phase == "move":
                self._recover_move(raw, *paths)
            elif phase == "replace":
                self._recover_replace(raw, *paths)
            elif phase == "join":
                finish_join(raw, paths)
        os.unlink(self._path)

    def _recover_move(self, raw: HostTree, passing: str, source: str) -> None:
        if raw.exists(passing, follow_symlinks=False):
            self._remove_passing(raw, passing)
        elif raw.exists(source, follow_symlinks=False):
            remove_path(raw, source)

    @staticmethod
    def _recover_replace(raw: HostTree, passing: str, place: str) -> None:
        if raw.exists(passing, follow_symlinks=False):
            if raw.exists(place, follow_symlinks=False):
                remove_path(raw, place)
            raw.rename(passing, place)

    @staticmethod
    def _remove_passing(raw: HostTree, path: str) -> None:
        with suppress(FileNotFoundError):
            parent = os.path.dirname(path)
            before = raw.stat(parent)
            remove_path(raw, path)
            raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
