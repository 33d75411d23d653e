"""A working snapshot: active for the length of a ``with``."""

from __future__ import annotations

import contextlib
import threading

from .. import errors
from ._names import show

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack
    from types import TracebackType
    from typing import Self

    from ..driver import SnapshotInfo
    from ..tree import Change, Tree
    from ._engine import Engine
    from ._store import Store

__all__ = ["Working"]


class Working:
    """An active snapshot that ends with its ``with``: committed by :meth:`commit`, or else discarded.

    It also ends with its process and its store object: one whose process was killed, or whose store was closed before
    it, is removed when the store is opened next.
    :meth:`Store.snapshot` makes one.
    """

    def __init__(self, store: Store, engine: Engine, info: SnapshotInfo, held: ExitStack) -> None:
        self._store = store
        self._engine = engine
        self._info = info
        self._held = held
        self._tree: Tree | None = None
        self._lock = threading.Lock()
        self._done = ""

    @property
    def key(self) -> str:
        """The key that it has in the store as long as it is active."""
        return self._info.key

    @property
    def info(self) -> SnapshotInfo:
        """What the store knows of it: as it was made, after :meth:`commit` the committed snapshot."""
        return self._info

    @property
    def tree(self) -> Tree:
        """Its writable tree, the same at every access; opened at the first, closed by commit and discard.

        :raises StoreClosedError: it was committed or discarded.
        """
        self._check()
        with self._lock:
            if self._tree is None or self._tree.closed:
                self._tree = self._engine.open_tree(self.key, None, owner=self)
            return self._tree

    def changes(self) -> Iterator[Change]:
        """Yield how it differs from its parent; see :meth:`Store.changes`."""
        self._check()
        return self._store.changes(self.key)

    def commit(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> SnapshotInfo:
        """Commit it; see :meth:`Store.commit`. Its tree is closed. Where this fails it stays what it was."""
        self._check()
        self._info = self._store.commit(self.key, name, labels=labels)
        self._done = "committed"
        self._held.close()
        return self._info

    def discard(self) -> None:
        """Close its tree and remove it; a second time, or after :meth:`commit`, does nothing.

        Plugins are not asked.

        :raises LayerInUseError: a tree of it that was opened by :meth:`Store.tree` is still open.
        """
        if self._done:
            return
        with contextlib.suppress(errors.NotFoundError):  # removed or committed by its key meanwhile
            self._engine.remove(self._engine.find(self.key), owner=self)
        self._done = "discarded"
        self._held.close()

    def keep(self) -> SnapshotInfo:
        """Let it stay, an active snapshot like any other under its key. Its tree is closed."""
        self._check()
        if self._tree is not None:
            self._tree.close()
        self._engine.persist(self.key)
        self._done = "kept"
        self._held.close()
        return self._info

    def _check(self) -> None:
        if self._done:
            raise errors.StoreClosedError(f"the working snapshot {show(self.key)} was {self._done}: make a new one")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {show(self.key)}{f' {self._done}' if self._done else ''}>"

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.discard()
        except OSError as failed:
            # What went wrong first is what to tell of; the snapshot goes at the next open at the latest.
            if error is None:
                raise
            error.add_note(f"and the working snapshot {show(self.key)} could not be discarded: {failed}")
