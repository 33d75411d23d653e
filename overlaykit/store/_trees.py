"""Which trees are open, and who may write, commit or remove: in this process and, by file locks, among several."""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
import types
import weakref

from .. import errors
from ..values import value_class
from ._drivers import storing
from ._locks import FileLock
from ._names import show

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..driver import SnapshotId
    from ..tree import Tree

__all__ = ["Claim", "TreeRegistry"]

_CLOSED = "_overlaykit_closed"


class _Handle:
    """One open tree, or one being opened: what the registry knows of it without keeping it alive."""

    __slots__ = ("holds", "id", "owner", "reference", "writable")

    def __init__(self, id: SnapshotId, owner: object, *, writable: bool, holds: bool) -> None:
        self.id = id
        self.owner = owner
        self.writable = writable
        self.holds = holds
        self.reference: weakref.ref[Tree] | None = None


class _Use:
    """What goes on with one snapshot in this process."""

    __slots__ = ("claimed", "handles", "holders", "lock")

    def __init__(self) -> None:
        self.handles: set[_Handle] = set()
        self.lock: FileLock | None = None
        self.holders = 0
        self.claimed = ""


@value_class
class Claim:
    """A snapshot that nobody else may use.

    :param trees: its trees that are open in this process, in no particular order.
    """

    trees: tuple[Tree, ...]


class TreeRegistry:
    """The trees of one store object.

    A tree tells the registry of its closing by becoming an instance of a subclass that overrides ``close`` alone: a
    wrapper would cost every operation of every tree. A tree that is dropped without being closed is
    noticed by its weak reference, whose callback may run anywhere, also inside the registry: it only leaves a note.

    :param directory: where the lock files are; ``None`` for a store without a path, which no other process sees.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._mutex = threading.Lock()
        self._uses: dict[SnapshotId, _Use] = {}
        self._dropped: collections.deque[_Handle] = collections.deque()

    def open(
        self,
        id: SnapshotId,
        key: str,
        make: Callable[[], Tree],
        *,
        writable: bool,
        locked: bool,
        owner: object = None,
    ) -> Tree:
        """Open a tree and watch over it until it is closed.

        :param make: opens it; called with the lock held.
        :param writable: take the snapshot's lock for this store object alone.
        :param locked: without ``writable``, share the lock with other readers; else take none.
        :param owner: who opens it; :meth:`claim` by the same one does not count it as a use.
        :raises LayerInUseError: somebody else writes, commits or removes it.
        """
        handle = _Handle(id, owner, writable=writable, holds=writable or locked)
        with self._mutex:
            self._collect()
            use = self._uses.setdefault(id, _Use())
            try:
                if use.claimed:
                    raise errors.LayerInUseError(
                        f"{show(key)} is being {use.claimed}: wait for that to end", users=[use.claimed]
                    )
                if handle.holds:
                    self._hold(use, id, key, exclusive=writable)
                use.handles.add(handle)
            except BaseException:
                self._tidy(id, use)
                raise
        try:
            tree = make()
            try:
                handle.reference = weakref.ref(tree, lambda _, handle=handle: self._drop(handle))  # type: ignore[misc]
                _watch(tree, lambda: self._forget(handle))
            except BaseException:
                tree.close()
                raise
        except BaseException:
            self._forget(handle)
            raise
        return tree

    @contextlib.contextmanager
    def hold(self, id: SnapshotId, key: str) -> Iterator[None]:
        """Keep other processes from writing, committing or removing a snapshot, whether a tree is open or not.

        :raises LayerInUseError: somebody else uses it.
        """
        with self._mutex:
            self._collect()
            use = self._uses.setdefault(id, _Use())
            try:
                self._hold(use, id, key, exclusive=True)
            except BaseException:
                self._tidy(id, use)
                raise
        try:
            yield
        finally:
            with self._mutex:
                self._collect()
                self._let_go(id)

    @contextlib.contextmanager
    def claim(
        self, id: SnapshotId, key: str, action: str, *, owner: object = None, idle: bool = True
    ) -> Iterator[Claim]:
        """Keep everybody else from a snapshot while it is committed or removed.

        :param action: what is being done to it, as a participle.
        :param owner: whose open trees are no hindrance; ``None`` is nobody.
        :param idle: open trees are a hindrance.
        :raises LayerInUseError: somebody uses it.
        """
        with self._mutex:
            self._collect()
            use = self._uses.setdefault(id, _Use())
            try:
                if use.claimed:
                    raise errors.LayerInUseError(
                        f"{show(key)} is being {use.claimed} already: wait for that to end", users=[use.claimed]
                    )
                opening = [handle for handle in use.handles if handle.reference is None]
                others = [handle for handle in use.handles if owner is None or handle.owner is not owner]
                count = len(others if idle else opening)
                if count:
                    users = ["an open tree in this process"] * count
                    raise errors.LayerInUseError(
                        f"{show(key)} cannot be {action}: {count} of its trees {'is' if count == 1 else 'are'} open in "
                        "this process; close them first",
                        users=users,
                    )
                self._hold(use, id, key, exclusive=True)
                use.claimed = action
                found = [handle.reference() for handle in use.handles if handle.reference is not None]
            except BaseException:
                self._tidy(id, use)
                raise
        try:
            yield Claim(tuple(tree for tree in found if tree is not None))
        finally:
            with self._mutex:
                self._collect()
                use.claimed = ""
                self._let_go(id)

    def gone(self, id: SnapshotId) -> None:
        """Remove the lock file of a snapshot that was removed, while it is claimed."""
        with self._mutex:
            self._collect()
            use = self._uses.get(id)
            if use is not None and use.lock is not None:
                use.lock.release(remove=True)
                use.lock = None

    def close(self) -> None:
        """Close every tree and let go of every lock."""
        with self._mutex:
            self._collect()
            references = [handle.reference for use in self._uses.values() for handle in use.handles]
        trees = [reference() for reference in references if reference is not None]
        with contextlib.ExitStack() as stack:
            stack.callback(self._release)
            for tree in trees:
                if tree is not None:
                    stack.callback(tree.close)

    def _release(self) -> None:
        with self._mutex:
            for use in self._uses.values():
                if use.lock is not None:
                    use.lock.release()
                    use.lock = None

    def _hold(self, use: _Use, id: SnapshotId, key: str, *, exclusive: bool) -> None:
        if self._directory is not None and use.lock is None:
            try:
                with storing(self._directory.parent, "remove snapshots or other files"):
                    use.lock = FileLock.take(self._directory / id, exclusive=exclusive)
            except FileNotFoundError as error:
                raise errors.StoreCorruptError(
                    f"{self._directory} is gone: the store was moved or removed while it was open",
                    filename=self._directory,
                ) from error
            if use.lock is None:
                raise errors.LayerInUseError(
                    f"{show(key)} is in use by another process or another store object: close it there",
                    users=["another process"],
                )
        use.holders += 1

    def _let_go(self, id: SnapshotId) -> None:
        use = self._uses[id]
        use.holders -= 1
        if use.holders == 0 and use.lock is not None:
            use.lock.release()
            use.lock = None
        self._tidy(id, use)

    def _tidy(self, id: SnapshotId, use: _Use) -> None:
        if not use.handles and not use.holders:
            self._uses.pop(id, None)

    def _forget(self, handle: _Handle) -> None:
        with self._mutex:
            self._collect()
            self._remove(handle)

    def _remove(self, handle: _Handle) -> None:
        use = self._uses.get(handle.id)
        if use is None or handle not in use.handles:
            return
        use.handles.remove(handle)
        if handle.holds:
            self._let_go(handle.id)
        else:
            self._tidy(handle.id, use)

    def _drop(self, handle: _Handle) -> None:
        self._dropped.append(handle)
        if self._mutex.acquire(blocking=False):
            try:
                self._collect()
            finally:
                self._mutex.release()

    def _collect(self) -> None:
        while self._dropped:
            self._remove(self._dropped.popleft())


@functools.cache
def _watched(kind: type[Tree]) -> type[Tree]:
    def close(self: Tree) -> None:
        try:
            kind.close(self)
        finally:
            closed = self.__dict__.pop(_CLOSED, None)
            if closed is not None:
                closed()

    names = {"__slots__": (), "__module__": kind.__module__, "__doc__": kind.__doc__, "close": close}
    made: type[Tree] = types.new_class(kind.__name__, (kind,), exec_body=lambda namespace: namespace.update(names))
    return made


def _watch(tree: Tree, closed: Callable[[], None]) -> None:
    tree.__dict__[_CLOSED] = closed
    tree.__class__ = _watched(type(tree))
