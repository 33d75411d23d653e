"""Owners that a store without root keeps: which snapshots have them, and how they are shown."""

from __future__ import annotations

import contextlib
from functools import cached_property

from ..driver import Capability

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..driver import LayerWriter, SnapshotId
    from ..tree import Change, MappedTree, Tree
    from ._drivers import GuardedDriver

__all__ = ["OWNERS", "Owners"]

OWNERS = "overlaykit.owners"
"""The label of a snapshot whose owners are kept in extended attributes, and of all over it."""

_OVERRIDE = "override"
"""All that differs is kept; the storage belongs to one user."""

_PARTIAL = "partial"
"""Owners are real, and only what the caller may not set is kept: device nodes above all."""


class Owners:
    """Shows the snapshots of one driver with the owners that they would have with root.

    Snapshots that come from a layer have the label :data:`OWNERS`, where the driver may not set owners; what is over
    one inherits it. All others are shown as they are.

    :param driver: the driver.
    """

    def __init__(self, driver: GuardedDriver) -> None:
        self._driver = driver

    @cached_property
    def needed(self) -> str | None:
        """How layers need this here, if at all."""
        capabilities = self._driver.capabilities
        if Capability.OWNERSHIP not in capabilities:
            return _OVERRIDE
        return _PARTIAL if Capability.DEVICE_NODES not in capabilities else None

    def labels(self) -> dict[str, str]:
        """Return the labels that a snapshot gets which a layer is about to be applied to."""
        return {OWNERS: self.needed} if self.needed else {}

    def inherited(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels that a snapshot gets from its parent's."""
        return {name: value for name, value in labels.items() if name == OWNERS}

    def kept(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a snapshot of these labels keeps owners."""
        return labels.get(OWNERS) in (_OVERRIDE, _PARTIAL)

    def _mapped(self, tree: Tree, labels: Mapping[str, str]) -> MappedTree:
        from ..tree import MappedTree, PartialTree

        return PartialTree(tree) if labels.get(OWNERS) == _PARTIAL else MappedTree(tree)

    def tree(self, id: SnapshotId, labels: Mapping[str, str], *, readonly: bool) -> Tree:
        """Show a snapshot's merged tree."""
        return self.shown(self._driver.tree(id, readonly=readonly), labels)

    def shown(self, tree: Tree, labels: Mapping[str, str]) -> Tree:
        """Return a tree as a snapshot of these labels shows it, whose own it is or over which it is."""
        if not self.kept(labels):
            return tree
        from ..tree import MappedTree

        return tree if isinstance(tree, MappedTree) else self._mapped(tree, labels)

    def writer(self, id: SnapshotId, parent: SnapshotId | None, labels: Mapping[str, str]) -> LayerWriter:
        """Return what applies one layer to an active snapshot; :meth:`Driver.writer`."""
        if self.kept(labels):
            return self._driver.kept_writer(id, parent, partial=labels[OWNERS] == _PARTIAL)
        return self._driver.writer(id, parent)

    def changes(self, id: SnapshotId, parent: SnapshotId | None, labels: Mapping[str, str]) -> Iterator[Change]:
        """Yield how a snapshot differs from its parent; :meth:`Driver.changes`."""
        found = self._driver.changes(id, parent)
        if not self.kept(labels):
            yield from found
            return
        from ..tree import mapped_changes

        with contextlib.ExitStack() as stack:
            before = None
            if parent is not None:
                before = stack.enter_context(self._mapped(self._driver.tree(parent, readonly=True), labels))
            after = stack.enter_context(self._mapped(self._driver.tree(id, readonly=True), labels))
            yield from mapped_changes(found, before, after)
