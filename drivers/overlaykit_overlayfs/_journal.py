"""What takes several steps in a merged view, and how it ends after a crash.

A record says what was begun; whoever next opens the snapshot for writing finishes it or undoes it. One operation at a
time is recorded for a snapshot: the caller holds the snapshot's lock.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ._copying import remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from overlaykit.tree import HostTree

    from ._layout import Layout

__all__ = ["Journal"]


class Journal:
    """The record of one snapshot.

    :param layout: the driver's directories.
    :param id: the snapshot.
    :ivar token: what the names of passing objects begin with.
    :ivar active: whether something is recorded now.
    """

    def __init__(self, layout: Layout, id: str) -> None:
        self._layout = layout
        self._id = id
        self._path = layout.file(id, "journal")
        self.token = f".{layout.format.token}-"
        self.active = False

    def write(self, phase: str, *paths: str) -> None:
        """Record that a phase begins, before it does.

        :param phase: ``passing``: the paths are passing objects, to be removed. ``move``: the first is renamed to
            something, and when it is gone the second is to be removed. ``replace``: the first has all that the second
            has, which it is to replace.
        """
        self.active = True
        text = json.dumps([phase, *paths])
        self._layout.replace(self._id, "journal", text.encode(), durable=False)

    def clear(self) -> None:
        """Record that all is done."""
        os.unlink(self._path)
        self.active = False

    @contextmanager
    def passing(self, paths: Sequence[str]) -> Iterator[None]:
        """Have passing objects while the block runs, which removes them itself."""
        self.write("passing", *paths)
        try:
            yield
        finally:
            self.clear()

    def exists(self) -> bool:
        """Tell whether a dead process left something."""
        return os.path.lexists(self._path)

    def recover(self, raw: HostTree) -> None:
        """Finish or undo what a dead process left, through the merged view."""
        with open(self._path, encoding="utf-8") as file:
            phase, *paths = json.load(file)
        if phase == "passing":
            for path in paths:
                self._restoring_parent(raw, path)
        elif phase == "move":
            passing, source = paths
            if raw.exists(passing, follow_symlinks=False):
                self._restoring_parent(raw, passing)
            elif raw.exists(source, follow_symlinks=False):
                remove(raw, source)
        elif phase == "replace":
            passing, place = paths
            if raw.exists(passing, follow_symlinks=False):
                if raw.exists(place, follow_symlinks=False):
                    remove(raw, place)
                raw.rename(passing, place)
        self.clear()

    @staticmethod
    def _restoring_parent(raw: HostTree, path: str) -> None:
        with suppress(FileNotFoundError):
            parent = os.path.dirname(path)
            before = raw.stat(parent)
            remove(raw, path)
            raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
