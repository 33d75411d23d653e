"""The driver contract."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .. import errors
from ._capability import Capability

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from ..tree import Change, Tree
    from ._values import DriverConfig, Mount, SnapshotId, Usage
    from ._writer import LayerWriter

__all__ = ["Driver"]


class Driver(ABC):
    """Stores snapshots under one directory, or in memory, and shows each as a merged tree.

    **What a driver need not do.** Names, labels, kinds, locking between processes, hostile input and error kinds are
    the framework's business. A driver is called with ids that exist where they should and do not where they should
    not; it never sees a user's text; a parent is always committed and outlives its children.

    **Life of a snapshot.** :meth:`prepare` makes an active one that looks like its parent. :meth:`tree` shows it, any
    number of times. :meth:`commit` turns it into a committed one under a new id, after which it never changes and may
    be a parent. :meth:`remove` ends either kind. A view is no driver matter: it is a committed snapshot's read-only
    tree.

    **Crashes.** Each of prepare, commit and remove must be atomic to :meth:`ids`: whenever the process is killed, an
    id is either there, whole, or not there. What is left besides (temporary directories, trash) goes at the next
    :meth:`cleanup`. Make the new thing beside, then rename.

    **Threads.** All methods may be called from many threads, and by several processes over the same root, at once, but
    never two of prepare, commit and remove for one id.

    A subclass is constructed with a :class:`DriverConfig` alone. It raises :class:`OSError`; what the storage says
    (ENOSPC, EROFS, EIO) passes through as it is.
    """

    #: What this driver offers here: a subset of its spec's, settled when it is constructed, or, with ``late_probe`` in
    #: its spec, when it is first asked for.
    capabilities: frozenset[Capability]

    def __init__(self, config: DriverConfig) -> None:
        self.config = config
        self.capabilities = frozenset()

    @abstractmethod
    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        """Make the active snapshot ``id`` that starts as ``parent``, the root's attributes included.

        Without a parent it is empty: one root directory, mode 0755, owned by the caller.

        :param id: its id, which was never used before.
        :param parent: a committed snapshot; ``None`` for a base.
        :raises OSError: what the storage says, such as ENOSPC; there is no ``id`` then. Also where the stack would be
            deeper than the driver can show (at least 128 layers, 500 with ``Capability.DEEP_STACK``).
        """

    def transient(self, id: SnapshotId) -> None:
        """Hear that an active snapshot that was just prepared goes when this process ends, unless :meth:`persist` or
        :meth:`commit` is called for it: until then nothing of it needs to reach a disk.

        The default does nothing with that.

        :param id: the active snapshot; no tree of it was opened yet.
        """

    def persist(self, id: SnapshotId) -> None:
        """Hear that such a snapshot is to stay after all, as if :meth:`transient` had never been called for it.

        :param id: the active snapshot.
        :raises OSError: what the storage says; it is transient still.
        """

    @abstractmethod
    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        """Turn the active snapshot ``id`` into the committed one ``new``; ``id`` is gone afterwards.

        All trees of ``id`` are sealed and closed before. With any durability but ``NONE`` its content is on the disk
        when this returns.

        :param id: the active snapshot.
        :param new: the id of the committed one, which was never used before.
        :raises LayerInUseError: something still writes to it; nothing has changed then.
        :raises OSError: what the storage says; the active snapshot is there as it was, and can be written again.
        """

    @abstractmethod
    def remove(self, id: SnapshotId) -> None:
        """Remove a snapshot of either kind. Cheap: rename to a trash and leave the rest to :meth:`cleanup`.

        :param id: no tree of it is open, and no child is over it. What modes its directories have does not matter.
        :raises OSError: what the storage says; the snapshot is there as it was.
        """

    @abstractmethod
    def tree(self, id: SnapshotId, *, readonly: bool) -> Tree:
        """Show a snapshot's merged tree, to be closed by the caller.

        A committed one is only ever asked for with ``readonly``. An active one may be asked for several times, also
        while another tree of it is open in this process: all show the same.

        :param readonly: every write through the tree is EROFS, also by its ``host_path``.
        :returns: a tree of its own for each call, of which closing ends nothing but itself.
        :raises DriverUnavailableError: with ``late_probe`` in the spec: what the probe would have said, with its reason
            and fix.
        :raises OSError: what the storage says.
        """

    @abstractmethod
    def usage(self, id: SnapshotId) -> Usage:
        """Return what this snapshot takes by itself, without its parents; a commit does not change it.

        :returns: bytes of storage and number of inodes, a file with several names counted once.
        :raises OSError: what the storage says.
        """

    @abstractmethod
    def ids(self) -> Iterator[SnapshotId]:
        """Yield every snapshot there is, of either kind, in no particular order.

        The framework compares them with its metadata after a crash and removes what nobody knows. Never listed is what
        is not whole, and what :meth:`remove` has taken.

        :raises OSError: what the storage says: a list that is cut short would be taken for loss.
        """

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        """Return what applies one layer to an active snapshot that was just prepared over ``parent``.

        No tree of ``id`` is open meanwhile, and none is opened before the writer is closed. Where applying fails, the
        snapshot is removed. The default writes through :meth:`tree`; override it to write straight into the storage.

        :param parent: what it was prepared over, ``None`` for a base and for what :meth:`rebase` is to put over one.
        :raises OSError: what the storage says.
        """
        from ._tree_writer import TreeWriter

        return TreeWriter(self.tree(id, readonly=False))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        """Return what applies one layer as :meth:`writer` does, but keeps what the caller may not set.

        What it makes, :class:`~overlaykit.tree.MappedTree` over :meth:`tree` must show as the layer has it. Asked for
        where ``Capability.OWNERSHIP`` is not declared. The default writes through such a tree.

        :param partial: the caller may set owners, but ``Capability.DEVICE_NODES`` is not declared: only what it may not
            set is kept, and :class:`~overlaykit.tree.PartialTree` shows it.
        :raises OSError: what the storage says.
        """
        from ..tree import MappedTree, PartialTree
        from ._mapped_writer import MappedWriter
        from ._tree_writer import TreeWriter

        tree = self.tree(id, readonly=False)
        return TreeWriter(PartialTree(tree)) if partial else MappedWriter(MappedTree(tree))

    def rebase(self, id: SnapshotId, parent: SnapshotId) -> None:
        """Put an active snapshot that was prepared without a parent over one.

        What it holds stays what it is, the root's attributes included, and hides or joins what the parent has. Nothing
        but a writer was opened of it before; that may be open, and looks at what is below after this alone. Layers
        of one image are so written at the same time, though each stands on another.

        :param id: the active snapshot.
        :param parent: a committed snapshot, which :meth:`tree` shows below it from now on.
        :raises CapabilityError: ``Capability.REBASE`` is not declared.
        :raises OSError: what the storage says; the snapshot is removed then.
        """
        raise errors.CapabilityError(
            f"the driver {type(self).__name__} puts no snapshot over another one later; prepare it over that one",
            capability=Capability.REBASE,
        )

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        """Yield how a snapshot differs from its parent, in tree order (:func:`~overlaykit.tree.change_order`).

        The default compares the two trees entry by entry; override it where the storage knows what changed. Without a
        parent every entry is added, and the root is compared with that of an empty snapshot.

        :param id: a snapshot of either kind; a writable tree of it may be open.
        :param parent: what it was prepared over.
        :raises OSError: what the storage says, also between two changes.
        """
        from ..tree import compare

        with self.tree(id, readonly=True) as after:
            if parent is None:
                yield from compare(None, after)
            else:
                with self.tree(parent, readonly=True) as before:
                    yield from compare(before, after)

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        """Return what a host would mount, in order, to see the snapshot; the same on every call.

        :param readonly: so that it cannot be written through the mount; always for a committed one.
        :raises CapabilityError: ``Capability.HOST_MOUNT`` is not declared.
        """
        raise errors.CapabilityError(
            f"the driver {type(self).__name__} has nothing to mount; use Tree, or a driver with host-mount",
            capability=Capability.HOST_MOUNT,
        )

    def verify(self, id: SnapshotId) -> None:
        """Check that a committed snapshot still is what was committed.

        :param id: a committed snapshot; those below it are verified by themselves.
        :raises SnapshotDamagedError: it is not; the message names a path.
        :raises CapabilityError: ``Capability.VERIFY`` is not declared.
        """
        raise errors.CapabilityError(
            f"the driver {type(self).__name__} cannot verify its snapshots; use a driver with verify",
            capability=Capability.VERIFY,
        )

    def cleanup(self) -> None:
        """Delete what :meth:`remove` or a crash left behind. Called outside all locks, also by two callers at once.

        What another process is making at this moment stays.

        :raises OSError: something could not be deleted; it is tried again at the next call.
        """

    def close(self) -> None:
        """Let go of everything: descriptors, mounts, threads. Trees were closed before. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
