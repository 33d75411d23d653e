"""What fixtures give: trees, and who makes them."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .. import linux
from . import OverlaySourceWarning
from ._directory import KeptCopies
from ._plain import PlainCopies

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from ..tree import Change
    from ._choose import Choice

    class Copy(Protocol):
        """One writable copy of a directory."""

        path: Path

        def changes(self) -> list[Change]:
            """Return how it differs from the directory."""

        def reset(self) -> None:
            """Make it equal to the directory again, at the same path."""

        def release(self) -> None:
            """Say that it is no longer used."""

    class Copies(Protocol):
        """All copies of one directory."""

        def take(self) -> Copy:
            """Return one that is equal to the directory."""

        def close(self) -> None:
            """Remove all."""


__all__ = ["OverlayTree", "OverlayTreeFactory"]


class OverlayTree:
    """A copy-on-write copy of a directory; a path to :func:`os.fspath`, and a context manager that ends it.

    :meth:`OverlayTreeFactory.__call__` makes one.

    :ivar source: the directory that it is a copy of.
    :ivar driver: how it is made: ``"overlayfs"`` or ``"directory"``.
    """

    def __init__(self, source: Path, driver: str, copies: Copies) -> None:
        self.source = source
        self.driver = driver
        self._copy: Copy | None = copies.take()

    def _open(self) -> Copy:
        if self._copy is None:
            raise ValueError(f"the tree of {self.source} is closed: ask the factory for a new one")
        return self._copy

    @property
    def path(self) -> Path:
        """The directory: real to every program that this process starts.

        :raises ValueError: the tree is closed.
        """
        return self._open().path

    def changes(self) -> list[Change]:
        """Return how it differs from its source, in tree order.

        :raises OSError: something in it cannot be looked at.
        :raises ValueError: the tree is closed.
        """
        return self._open().changes()

    def reset(self) -> None:
        """Undo all that was changed; the path stays the same.

        :raises ValueError: the tree is closed.
        """
        self._open().reset()

    def close(self) -> None:
        """End it; a second time does nothing."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.release()

    def __fspath__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.path / name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.source}{' closed' if self._copy is None else f' at {self.path}'}>"

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Source:
    """A directory, the copies of it, and what it looked like at first."""

    def __init__(self, path: Path, driver: str, copies: Copies) -> None:
        self.path = path
        self.driver = driver
        self.copies = copies
        self._seen = self._look(None) if linux.available() else None

    def _look(self, since: int | None) -> linux.TreeSurvey:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return linux.survey_tree(descriptor, since=since)
        finally:
            os.close(descriptor)

    def changed(self) -> str | None:
        """Say what in it was changed since, ``None`` where nothing was, or nobody can tell."""
        if self._seen is None:
            return None
        try:
            now = self._look(self._seen.newest + 1)
        except OSError as error:
            return f"it cannot be read any more: {error.strerror}"
        return None if now.exact == self._seen.exact else now.newest_path or "something in it is gone"


class OverlayTreeFactory:
    """Makes trees; a call is a tree of a directory.

    :param place: an empty directory for what it makes.
    :param root: what relative paths are relative to.
    :param choice: how trees are made.
    """

    def __init__(self, place: Path, root: Path, choice: Choice) -> None:
        self._place = place
        self._root = root
        self._choice = choice
        self._sources: dict[Path, _Source] = {}
        self._trees: list[OverlayTree] = []
        self._opened = 0

    def __call__(self, directory: str | os.PathLike[str]) -> OverlayTree:
        """Return a new tree; it ends with its ``with``, or with the session.

        :param directory: what it is a copy of; relative to pytest's root directory. It must stay as it is as long
            as the session runs.
        :raises pytest.fail.Exception: there is no such directory, or no copy of it can be made.
        """
        path = Path(os.path.normpath(self._root / directory))
        source = self._sources.get(path)
        try:
            if source is None:
                self._check(path)
                source = self._sources[path] = self._open(path)
            tree = OverlayTree(path, source.driver, source.copies)
        except OSError as error:
            # In a user namespace an owner that has no number there is EINVAL.
            if error.errno in (errno.EPERM, errno.EINVAL) and not (
                self._choice.driver == "overlayfs" and self._choice.asked
            ):
                self._refuse(path, f"only root can copy what is another user's, or a device: {error.filename}")
            self._refuse(path, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        self._trees.append(tree)
        return tree

    def _check(self, path: Path) -> None:
        if not path.exists():
            self._refuse(path, f"there is no such directory (relative paths begin at {self._root})")
        if not path.is_dir():
            self._refuse(path, "it is no directory: name the directory that it is in")
        if not os.access(path, os.R_OK | os.X_OK):
            self._refuse(path, "this user may not read it")
        if self._place.resolve().is_relative_to(path.resolve()):
            self._refuse(
                path, f"pytest's temporary directory {self._place.parent} is inside: give --basetemp another place"
            )

    def _refuse(self, path: Path, why: str) -> None:
        raise pytest.fail.Exception(f"no overlay tree of {path}: {why}", pytrace=False) from None

    def _open(self, path: Path) -> _Source:
        self._opened += 1
        path = path.resolve()
        place = self._place / str(self._opened)
        place.mkdir(0o700)
        if self._choice.driver == "overlayfs":
            from ._overlayfs import Overlays

            overlays = Overlays(path, place)
            try:
                overlays.take().release()
            except OSError:
                overlays.close()
                if self._choice.asked:
                    raise
                place.mkdir(0o700)
            else:
                return _Source(path, "overlayfs", overlays)
        copies: Copies = KeptCopies(path, place) if linux.available() else PlainCopies(path, place)
        return _Source(path, "directory", copies)

    def close(self) -> None:
        """End all trees, remove what was made for them, and warn of directories that did not stay as they were."""
        for tree in self._trees:
            tree.close()
        for source in self._sources.values():
            source.copies.close()
            changed = source.changed()
            if changed:
                warnings.warn(
                    OverlaySourceWarning(
                        f"{source.path} was changed while there were overlay trees of it ({changed}): tests may have "
                        "seen the one or the other"
                    ),
                    stacklevel=2,
                )
        self._sources.clear()
