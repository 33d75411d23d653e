"""Trees that are copies, kept from test to test: what a test changed is found by change times, and undone.

That takes no privileges and works on every file system, and costs a look at every name instead of a copy of every file.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

from .. import linux
from ..tree import Aspect, ChangeKind, compare_copy, difference
from ._files import copy_attributes, opened, remove

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..tree import Change

__all__ = ["KeptCopies", "KeptCopy"]


class KeptCopies:
    """Copies of one directory.

    :param source: the directory.
    :param place: an empty directory for the copies.
    """

    def __init__(self, source: Path, place: Path) -> None:
        self._source = source
        self._place = place
        self._idle: list[KeptCopy] = []
        self._made = 0

    def take(self) -> KeptCopy:
        """Return one that is equal to the directory: one that was used before, or a new one.

        :raises OSError: the directory cannot be copied.
        """
        if self._idle:
            # Now and not when it was released: what a test left running may have written since.
            copy = self._idle.pop()
            copy.reset()
            return copy
        self._made += 1
        return KeptCopy(self._source, self._place / str(self._made), self._idle)

    def close(self) -> None:
        """Remove all."""
        self._idle.clear()
        remove(self._place)


class KeptCopy:
    """One copy.

    :param source: what it is a copy of.
    :param holder: what is made to hold it.
    :param idle: where it waits to be used again.
    :raises OSError: the source cannot be copied.
    """

    def __init__(self, source: Path, holder: Path, idle: list[KeptCopy]) -> None:
        self.path = holder / (source.name or "root")
        self._source = source
        self._holder = holder
        self._idle = idle
        self._begun = self._done = 0
        self._inodes = b""
        self._make()

    def _make(self) -> None:
        self._holder.mkdir(0o700)
        self._begun = self._holder.stat().st_ctime_ns
        self.path.mkdir(0o700)
        log = self._holder.with_suffix(".inodes")
        with opened(self._source) as source, opened(self.path) as target, log.open("w+b") as inodes:
            linux.copy_tree(source.fileno(), target.fileno(), inodes=inodes.fileno())
            inodes.seek(0)
            self._inodes = inodes.read()
        log.unlink()
        # A file that is made now has the time of now, as the file system counts it.
        log.touch()
        self._done = log.stat().st_ctime_ns
        log.unlink()

    def changes(self) -> list[Change]:
        """Return how it differs from the source; it looks at every name, but only into what was written."""
        with opened(self._source) as before, opened(self.path) as after:
            return list(compare_copy(before, after, begun=self._begun, done=self._done, inodes=self._inodes))

    def reset(self) -> None:
        """Undo what was changed; where it is not certain that this is all, make the copy anew."""
        try:
            found = self.changes()
            if not found or (self._restore(found) and self._restored(found)):
                return
        except OSError:
            pass  # directories that were closed, say: a new copy does not mind
        remove(self._holder)
        self._make()

    def release(self) -> None:
        """Keep it for whoever takes one next."""
        self._idle.append(self)

    def _restore(self, found: Iterable[Change]) -> bool:
        """Undo changes; return whether there was none that takes more than one name at a time."""
        touched = {}
        gone = None
        for change in found:
            path = self.path / change.path
            touched[path] = self._source / change.path
            if path != self.path:
                touched[path.parent] = touched[path].parent
            if change.aspects & Aspect.LINKS:
                return False
            if change.kind is ChangeKind.ADDED:
                if gone is None or not path.is_relative_to(gone):
                    remove(path)
                    gone = path
            elif change.kind is ChangeKind.DELETED or change.aspects & _ANEW:
                remove(path)
                gone = path  # what was added below it is gone too
                if not _copy(touched[path], path):
                    return False
        for path in sorted(touched, key=lambda one: len(one.parts), reverse=True):
            if os.path.lexists(touched[path]):
                copy_attributes(touched[path], path)
        return True

    def _restored(self, found: Iterable[Change]) -> bool:
        """Tell whether what was undone is as in the source, and so the directories that it is in."""
        names = {change.path for change in found}
        names |= {os.path.dirname(name) or "." for name in names}
        with opened(self._source) as before, opened(self.path) as after:
            for name in names:
                source, path = self._source / name, self.path / name
                if not os.path.lexists(source):
                    if os.path.lexists(path):
                        return False
                elif difference(before, after, name) or _names(source) != _names(path):
                    return False
        return True


def _names(path: Path) -> set[str]:
    return set(os.listdir(path)) if stat.S_ISDIR(path.lstat().st_mode) else set()


_ANEW = Aspect.TYPE | Aspect.CONTENT | Aspect.TARGET | Aspect.DEVICE


def _copy(source: Path, target: Path) -> bool:
    """Copy what is at a path; return whether it is of a kind that this can copy."""
    status = source.lstat()
    if stat.S_ISDIR(status.st_mode):
        target.mkdir(0o700)
        with opened(source) as old, opened(target) as new:
            linux.copy_tree(old.fileno(), new.fileno())
    elif status.st_nlink > 1:
        return False
    elif stat.S_ISREG(status.st_mode):
        shutil.copyfile(source, target)
    elif stat.S_ISLNK(status.st_mode):
        target.symlink_to(os.readlink(source))
    else:
        return False
    copy_attributes(source, target)
    return True
