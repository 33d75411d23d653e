"""Trees that are plain copies, made anew each time: where there is no native module."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ..tree import Change, Tree

__all__ = ["PlainCopies", "PlainCopy"]


class PlainCopies:
    """Copies of one directory.

    :param source: the directory.
    :param place: an empty directory for the copies.
    """

    def __init__(self, source: Path, place: Path) -> None:
        self._source = source
        self._place = place
        self._made = 0

    def take(self) -> PlainCopy:
        """Return a new one.

        :raises OSError: the directory cannot be copied.
        """
        self._made += 1
        return PlainCopy(self._source, self._place / str(self._made))

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self._place, ignore_errors=True)


class PlainCopy:
    """One copy.

    :param source: what it is a copy of.
    :param holder: what is made to hold it.
    :raises OSError: the source cannot be copied.
    """

    def __init__(self, source: Path, holder: Path) -> None:
        self.path = holder / (source.name or "root")
        self._source = source
        self._make()

    def _make(self) -> None:
        try:
            shutil.copytree(self._source, self.path, symlinks=True)
        except shutil.Error as error:
            name, _, why = error.args[0][0]
            raise OSError(None, why, name) from error

    def changes(self) -> list[Change]:
        """Return how it differs from the source; both are read."""
        from ..store import open_store
        from ..tree import compare

        with open_store(driver="memory") as store:
            trees: list[Tree] = []
            for path in (self._source, self.path):
                store.import_tree(path, name=str(len(trees)))
                trees.append(store.tree(str(len(trees)), readonly=True))
            with trees[0] as before, trees[1] as after:
                return list(compare(before, after))

    def reset(self) -> None:
        """Copy it again."""
        shutil.rmtree(self.path)
        self._make()

    def release(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path.parent, ignore_errors=True)  # modes may forbid it; pytest tries again
