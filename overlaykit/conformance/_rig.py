"""Short words for tests of a driver: layers, containers, and what holds around every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..driver import Change, ChangeKind, Driver, Durability, SnapshotId
from ..tree import Aspect, Tree
from ._coming import new_id
from ._describe import Layer, Portrait, apply, portrait, see
from ._observer import Storage, differences, observe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from ._describe import Seen
    from ._subject import Subject

__all__ = ["Box", "Rig", "added", "deleted", "modified", "new_id"]

_SAMPLE = 12
"""So many committed snapshots are read through the driver before and after; the storage is observed whole."""


def added(*paths: str) -> dict[str, tuple[ChangeKind, Aspect]]:
    """Return the changes of paths that are new."""
    return dict.fromkeys(paths, (ChangeKind.ADDED, Aspect.NONE))


def deleted(*paths: str) -> dict[str, tuple[ChangeKind, Aspect]]:
    """Return the changes of paths that are gone."""
    return dict.fromkeys(paths, (ChangeKind.DELETED, Aspect.NONE))


def modified(aspects: Aspect, *paths: str) -> dict[str, tuple[ChangeKind, Aspect]]:
    """Return the changes of paths that differ in the same aspects."""
    return dict.fromkeys(paths, (ChangeKind.MODIFIED, aspects))


class Box:
    """An active snapshot with its writable tree open: a container."""

    def __init__(self, rig: Rig, id: SnapshotId, parent: SnapshotId | None) -> None:
        self.rig = rig
        self.id = id
        self.parent = parent
        self.tree = rig.track(rig.show(id, readonly=False))

    def reopen(self) -> Tree:
        """Close the tree and open it again: what only its memory held is lost."""
        self.tree.close()
        self.tree = self.rig.track(self.rig.show(self.id, readonly=False))
        return self.tree

    def changes(self) -> dict[str, tuple[ChangeKind, Aspect]]:
        """Return how it differs from its parent, path to kind and aspects."""
        return self.rig.changes(self.id, self.parent)

    def commit(self) -> SnapshotId:
        """Commit it; the tree is closed."""
        self.tree.seal()
        self.tree.close()
        return self.rig.commit(self.id)

    def remove(self) -> None:
        """Close the tree and remove the snapshot."""
        self.tree.close()
        self.rig.remove(self.id)

    def shows(self, expected: Mapping[str, Seen | str]) -> Box:
        """Assert that it shows exactly this, here and in all it can become.

        In the open tree, after it was opened again, committed and read, and in a container over that, which is
        returned.
        """
        wanted = {path: what.encode() if isinstance(what, str) else what for path, what in expected.items()}
        assert see(self.tree) == wanted
        assert see(self.reopen()) == wanted, "not the same after the tree was closed and opened again"
        id = self.commit()
        assert see(self.rig.view(id)) == wanted, "not the same after the commit"
        child = self.rig.box(id)
        assert see(child.tree) == wanted, "not the same in a container over the committed layer"
        return child


class Rig:
    """A driver over an empty directory; leaving removes every snapshot and checks what is left."""

    def __init__(self, subject: Subject, space: Path, durability: Durability = Durability.NONE) -> None:
        self.subject = subject
        self.root = space / "driver"
        self.root.mkdir()
        self.storage = self.root if subject.spec.needs_path else None
        self.driver: Driver = subject.create(self.root, durability)
        self._trees: list[Tree] = []
        self._parents: dict[SnapshotId, SnapshotId | None] = {}
        self._active: set[SnapshotId] = set()
        self._seen: dict[SnapshotId, Portrait] = {}
        self._lower: Storage = {}
        try:
            # What is there before any layer is the driver's bookkeeping.
            self._own = subject.empty | observe(self.storage).keys()
        except BaseException:
            self.driver.close()
            raise

    # -- building ------------------------------------------------------------------------------------------------

    def prepare(self, parent: SnapshotId | None = None) -> SnapshotId:
        """Make an active snapshot."""
        id = new_id()
        self.driver.prepare(id, parent)
        self._parents[id] = parent
        self._active.add(id)
        return id

    def rebase(self, id: SnapshotId, parent: SnapshotId) -> None:
        """Put an active snapshot without a parent over one."""
        self.driver.rebase(id, parent)
        self._parents[id] = parent

    def commit(self, id: SnapshotId) -> SnapshotId:
        """Commit an active snapshot whose trees are closed."""
        new = new_id()
        self.driver.commit(id, new)
        self._parents[new] = self._parents.pop(id)
        self._active.discard(id)
        self._observe()
        return new

    def remove(self, id: SnapshotId) -> None:
        """Remove a snapshot of either kind."""
        if id not in self._active:
            self.check_lower()
        self.driver.remove(id)
        self._parents.pop(id)
        self._active.discard(id)
        if self._seen.pop(id, None) is not None:
            self._lower = {}
            self._observe()

    def layer(self, layer: Layer, parent: SnapshotId | None = None) -> SnapshotId:
        """Commit one layer over ``parent``."""
        id = self.prepare(parent)
        with self.show(id, readonly=False) as tree:
            apply(tree, layer)
            tree.seal()
        return self.commit(id)

    def stack(self, *layers: Layer, parent: SnapshotId | None = None) -> SnapshotId:
        """Commit layers, each over the one before; return the topmost."""
        assert layers, "a stack has at least one layer"
        seen, self._observing = self._observing, False
        top = parent
        for layer in layers:
            top = self.layer(layer, top)
        assert top is not None
        self._observing = seen
        self._observe()
        return top

    def box(self, parent: SnapshotId | None = None) -> Box:
        """Make a container."""
        return Box(self, self.prepare(parent), parent)

    def over(self, *layers: Layer) -> Box:
        """Make a container over new layers."""
        return self.box(self.stack(*layers))

    def show(self, id: SnapshotId, *, readonly: bool) -> Tree:
        """Open a tree, to be closed by the caller."""
        tree: object = self.driver.tree(id, readonly=readonly)
        assert isinstance(tree, Tree), f"tree() returned {tree!r:.80}, which is no Tree"
        return tree

    def view(self, id: SnapshotId) -> Tree:
        """Open a read-only tree, closed at the end of the test."""
        return self.track(self.show(id, readonly=True))

    def track(self, tree: Tree) -> Tree:
        """Close a tree at the end of the test."""
        self._trees.append(tree)
        return tree

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> dict[str, tuple[ChangeKind, Aspect]]:
        """Return the changes of a snapshot, path to kind and aspects; each path once."""
        found: dict[str, tuple[ChangeKind, Aspect]] = {}
        for change in self.changes_list(id, parent):
            assert change.path not in found, f"{change.path!r} is listed twice"
            found[change.path] = (change.kind, change.aspects)
        return found

    def changes_list(self, id: SnapshotId, parent: SnapshotId | None) -> list[Change]:
        """Return the changes of a snapshot as the driver gives them."""
        return list(self.driver.changes(id, parent))

    def restart(self) -> None:
        """Close the driver and construct it again over the same directory."""
        self.close_trees()
        self.check_lower()
        self.driver.close()
        self.driver = self.subject.create(self.root)
        now = observe(self.storage)
        self._lower = {path: what for path, what in self._lower.items() if path in now}

    def close_trees(self) -> None:
        """Close every tree that is tracked."""
        while self._trees:
            self._trees.pop().close()

    # -- what holds around every test ----------------------------------------------------------------------------

    _observing = True

    def _observe(self) -> None:
        # Only while no container lives: what a living one stores is allowed to change.
        if not self._observing or self._active:
            return
        committed = list(self._parents)
        step = max(1, len(committed) // _SAMPLE)
        for id in {*committed[::step], *committed[-1:]}:
            self._seen[id] = self._portrait(id)
        self.driver.cleanup()
        first = observe(self.storage)
        if not first:
            return
        self._lower = {path: what for path, what in first.items() if path not in self._own}
        if not self.subject.quiet:
            # So is what changes when an unrelated snapshot comes and goes.
            passing = new_id()
            self.driver.prepare(passing, committed[-1] if committed else None)
            self.driver.remove(passing)
            self.driver.cleanup()
            second = observe(self.storage)
            self._lower = {path: what for path, what in self._lower.items() if second.get(path) == what}

    def _portrait(self, id: SnapshotId) -> Portrait:
        with self.show(id, readonly=True) as tree:
            try:
                return portrait(tree)
            except PermissionError:
                # Permission bits keep an unprivileged caller from its own files.
                return portrait(tree, locked=True)

    def check_lower(self) -> None:
        """Assert that the layers are what they were when they were committed, asked and not asked."""
        lines = differences(self._lower, observe(self.storage))
        assert not lines, "the storage of committed layers changed:\n" + "\n".join(lines)
        for id, before in self._seen.items():
            assert self._portrait(id) == before, "a committed layer shows other things than before"

    def finish(self) -> None:
        """Check the layers, remove every snapshot, and look at what is left."""
        self.close_trees()
        self.check_lower()
        for id in reversed(_parents_first(self._parents)):
            self.driver.remove(id)
        self._parents.clear()
        self._active.clear()
        self._seen.clear()
        self._lower.clear()
        self.driver.cleanup()
        left = sorted(self.driver.ids())
        assert not left, f"snapshots are listed after all were removed: {left}"

    def close(self) -> None:
        """Close the driver, and assert that nothing of the snapshots is left in its directory."""
        self.driver.close()
        residue = sorted(observe(self.storage).keys() - self.subject.empty)
        assert not residue, f"files are left after all snapshots were removed and cleaned up: {residue}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.finish()
            self.close()
        finally:
            self.close_trees()
            self.driver.close()


def _parents_first(parents: Mapping[SnapshotId, SnapshotId | None]) -> list[SnapshotId]:
    depth: dict[SnapshotId, int] = {}

    def measure(id: SnapshotId) -> int:
        chain: list[SnapshotId] = []
        at: SnapshotId | None = id
        while at is not None and at not in depth:
            chain.append(at)
            at = parents.get(at)
        base = depth[at] + 1 if at is not None else 0
        for number, one in enumerate(reversed(chain)):
            depth[one] = base + number
        return depth[id]

    return sorted(parents, key=measure)
