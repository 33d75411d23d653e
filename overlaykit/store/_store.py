"""The store: snapshots with names, kinds, parents and labels over one driver."""

from __future__ import annotations

import contextlib
import os
import warnings

from .. import errors
from ..driver import SnapshotKind, Usage
from ..plugin import StoreInfo
from . import _rows
from ._names import check_labels, check_name, new_id, plain_labels, show
from ._working import Working

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import EllipsisType, TracebackType
    from typing import BinaryIO, Self

    from ..changeset import Limits, Output, Tee
    from ..driver import Capability, Mount, SnapshotInfo
    from ..plugin import Choice, PluginManager
    from ..tree import Change, Tree
    from ._content import ContentStore
    from ._diff import LayerDescriptor
    from ._engine import Engine
    from ._layers import LayerInfo
    from ._rows import Row

__all__ = ["Store"]


class Store:
    """Snapshots over one driver; :func:`open_store` opens one.

    **Keys.** Active snapshots and views have keys, committed ones have names; both are any text and share one
    namespace, so "key" below means either.

    **Atomic.** Every operation is done as a whole or not at all, also where its process is killed: what it left is
    undone or finished when the store is opened next. How much survives a power cut says the store's durability.

    **At once.** A store may be used by many threads, and a store directory by several processes; a store object may
    not be used in a process forked after it was opened. Whoever writes to an active snapshot, commits or removes one
    has it alone; what another one has is a :class:`~overlaykit.errors.LayerInUseError` at once, never a wait.

    Every method raises :class:`~overlaykit.errors.StoreClosedError` on a closed store,
    :class:`~overlaykit.errors.StoreBusyError` where another process blocks it for half a minute,
    :class:`~overlaykit.errors.StoreCorruptError` where the metadata turn out to be damaged,
    :class:`~overlaykit.errors.StoreFullError` and :class:`~overlaykit.errors.ReadOnlyError` where the file system
    takes no more, and :class:`~overlaykit.errors.DriverError` where the driver breaks its contract.
    """

    def __init__(self, engine: Engine, choice: Choice, plugins: PluginManager) -> None:
        self._engine = engine
        self._path = engine.path
        self._driver = engine.driver
        self._metadata = engine.metadata
        self._choice = choice
        self._plugins = plugins
        self._hook_info = StoreInfo(None if engine.path is None else str(engine.path), engine.driver.name)
        self._pid = os.getpid()
        self._closed = False

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """The directory, ``None`` for a store without one."""
        return self._path

    @property
    def driver_name(self) -> str:
        """The name of its driver."""
        return self._driver.name

    @property
    def choice(self) -> Choice:
        """Its driver, what that one's probe said, and why this driver."""
        return self._choice

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What its driver offers here beyond the core."""
        return self._driver.capabilities

    @property
    def content(self) -> ContentStore:
        """Blobs by digest, which images are made of besides snapshots."""
        return self._engine.content

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    @property
    def damaged(self) -> Sequence[str]:
        """The keys of the snapshots whose content was missing when the store was opened.

        Using one is a :class:`~overlaykit.errors.SnapshotDamagedError`; removing it works.
        """
        return sorted(self._engine.lost.values())

    # -- making ----------------------------------------------------------------------------------------------------

    def prepare(self, key: str, parent: str | None = None, *, labels: Mapping[str, str] | None = None) -> SnapshotInfo:
        """Make an active snapshot that starts as its parent, or empty.

        :param key: what to call it.
        :param parent: a committed snapshot; ``None`` for an empty root directory.
        :param labels: its labels, text to text.
        :raises ExistsError: the key is taken.
        :raises NotFoundError: there is no such parent.
        :raises SnapshotKindError: the parent is not committed.
        :raises SnapshotDamagedError: the parent's content is lost.
        :raises InvalidNameError: the key or a label cannot be one.
        """
        check_name(key)
        if parent is not None:
            check_name(parent, "parent")
        return self._engine.prepare(new_id(), key, parent, plain_labels(labels))

    def view(self, key: str, parent: str, *, labels: Mapping[str, str] | None = None) -> SnapshotInfo:
        """Make a view: a read-only snapshot that shows a committed one, and keeps it from being removed.

        :raises ExistsError: the key is taken.
        :raises NotFoundError: there is no such parent.
        :raises SnapshotKindError: the parent is not committed.
        :raises InvalidNameError: the key or a label cannot be one.
        """
        check_name(key)
        check_name(parent, "parent")
        return self._engine.view(new_id(), key, parent, plain_labels(labels))

    def snapshot(
        self, parent: str | None = None, *, key: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Working:
        """Make an active snapshot for the length of a ``with``: leaving that without a commit discards it.

        :param parent: a committed snapshot; ``None`` for an empty root directory.
        :param key: what to call it meanwhile; ``None`` for a generated key.
        :raises OSError: as :meth:`prepare`.
        """
        own = new_id()
        key = f"working-{own}" if key is None else check_name(key)
        if parent is not None:
            check_name(parent, "parent")
        texts = plain_labels(labels)
        self._metadata.check_open()
        with self._engine.operation(), contextlib.ExitStack() as stack:
            # Inside the operation: to recovery, a lock whose snapshot is not recorded yet is a leftover.
            stack.enter_context(self._engine.trees.hold(own, key))
            info = self._engine.prepare(own, key, parent, texts, transient=True)
            return Working(self, self._engine, info, stack.pop_all())

    def import_tree(
        self,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SnapshotInfo:
        """Make a committed snapshot without a parent from a directory or a tar archive.

        A tar archive may be plain or compressed (gzip, bzip2, xz). Names that begin with ``.wh.`` are names like any
        other. Whatever names, links and ``..`` an archive has, nothing outside the snapshot is read or written.

        Where the caller may not set an owner, make a device node or set an extended attribute, it is left out, and
        the labels ``overlaykit.import.owners``, ``.devices`` and ``.xattrs`` have the number of those, if any.

        :param source: the directory or the archive.
        :param name: what to call it; ``None`` for a generated name.
        :param labels: further labels.
        :param progress: called now and then with the entries and the bytes written so far.
        :raises NotFoundError: there is no such source.
        :raises ImportSourceError: it is neither, or a damaged archive; nothing is left of it.
        :raises ExistsError: the name is taken.
        :raises StoreFullError: it does not fit.
        """
        from ._import import import_tree

        return import_tree(self, source, name, plain_labels(labels), progress)

    def apply(
        self,
        source: str | os.PathLike[str] | BinaryIO | Callable[[], BinaryIO],
        parent: str | Callable[[], str] | None = None,
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        digest: str | None = None,
        diff_id: str | None = None,
        size: int | None = None,
        limits: Limits | None = None,
        tee: Tee | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> LayerInfo:
        """Make a committed snapshot by applying an OCI layer to another one; docs/semantics.md has the rules.

        :param source: the layer: a path, a file open for reading, or what opens one; plain, gzip or zstd, as its
            content tells.
        :param parent: the snapshot below; ``None`` for a base. Or what waits for it and returns its name: with a driver
            that has ``Capability.REBASE`` the layer is read and written meanwhile, up to where it asks what is below.
        :param name: what to call it; ``None`` for a generated name.
        :param labels: further labels, besides the layer's digests.
        :param digest: what the digest of the bytes should be.
        :param diff_id: what the digest of the uncompressed archive should be.
        :param size: how many bytes there should be.
        :param limits: what is refused; the defaults are those of :class:`overlaykit.changeset.Limits`.
        :param tee: gets the bytes as they are read, before they are known to be right.
        :param progress: called with the number of bytes read so far.
        :raises LayerFormatError: it is damaged, cut short, or has what no layer may have; nothing of it is kept.
        :raises DigestMismatchError: it is another layer than the digests say.
        :raises LimitError: it exceeds a limit.
        :raises MediaTypeError: it is compressed in another way.
        :raises PermissionError: it has an owner or a device node that the caller may not make.
        :raises ExistsError: the name is taken.
        :raises NotFoundError: there is no such parent or file.
        """
        from ..changeset import Limits
        from ._layers import Wanted, apply

        wanted = Wanted(digest, diff_id, size, Limits() if limits is None else limits, tee, progress)
        return apply(self, source, parent, name, plain_labels(labels), wanted)

    def commit(self, key: str, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> SnapshotInfo:
        """Turn an active snapshot into a committed one: ``key`` disappears, ``name`` appears.

        All its trees that are open in this process are closed.

        :param name: what to call it; ``None`` for a generated name.
        :param labels: added to the labels of the active one, replacing those of the same name.
        :raises NotFoundError: there is no such snapshot.
        :raises SnapshotKindError: it is not active.
        :raises ExistsError: the name is taken.
        :raises LayerInUseError: a file in it is open for writing, or another process uses it; nothing has changed
            then, and its trees stay usable.
        :raises InvalidNameError: the name or a label cannot be one.
        """
        check_name(key)
        new = new_id()
        name = new if name is None else check_name(name, "name")
        info = self._engine.commit(key, new, name, plain_labels(labels))
        self._plugins.after_commit(self._hook_info, info)
        return info

    # -- asking ----------------------------------------------------------------------------------------------------

    def stat(self, key: str) -> SnapshotInfo:
        """Return what the store knows of a snapshot.

        :raises NotFoundError: there is no such snapshot.
        """
        check_name(key)
        with self._metadata.read() as connection:
            row = _rows.find(connection, key)
            if row is not None:
                return row.info(_rows.labels_of(connection, row.n))
        raise self._engine.not_found(key)

    def walk(
        self,
        *,
        kind: SnapshotKind | str | None = None,
        parent: str | EllipsisType | None = ...,
        labels: Mapping[str, str | None] | None = None,
        prefix: str | None = None,
    ) -> Iterator[SnapshotInfo]:
        """Yield snapshots in the order in which they were made or committed: a parent before its children.

        The store may be used and changed meanwhile, also by the loop itself. A snapshot that is there all the time is
        yielded once; one that is made, changed or removed meanwhile may be shown as it was, as it is, or not at all.

        :param kind: only those of this kind.
        :param parent: only those over this one; ``None``: only those without a parent; not given: any.
        :param labels: only those with all these labels; a value of ``None`` stands for any value.
        :param prefix: only those whose key begins so.
        :raises ValueError: there is no such kind.
        """
        checked = check_labels(labels, deleting=True)
        wanted = _rows.Filter(None if kind is None else SnapshotKind(kind), parent, checked, prefix)
        self._metadata.check_open()
        return self._walk(wanted)

    def _walk(self, wanted: _rows.Filter) -> Iterator[SnapshotInfo]:
        after = 0
        while True:
            with self._metadata.read() as connection:
                page = _rows.page(connection, wanted, after)
            for _, info in page:
                yield info
            if len(page) < _rows.PAGE:
                return
            after = page[-1][0]

    def children(self, key: str) -> list[str]:
        """Return the keys of the snapshots over this one, oldest first.

        :raises NotFoundError: there is no such snapshot.
        """
        check_name(key)
        with self._metadata.read() as connection:
            row = _rows.find(connection, key)
            if row is not None:
                return _rows.children(connection, row.n)
        raise self._engine.not_found(key)

    def usage(self, key: str) -> Usage:
        """Return what a snapshot takes by itself, without its parents: a view nothing.

        That of a committed snapshot is measured once and recorded.

        :raises NotFoundError: there is no such snapshot.
        :raises SnapshotDamagedError: its content is lost.
        """
        row = self._engine.find(check_name(key))
        if row.kind is SnapshotKind.VIEW:
            return Usage(0, 0)
        if row.usage is not None:
            return row.usage
        with self._engine.using(row):
            usage = self._driver.usage(row.id)
        if row.kind is SnapshotKind.COMMITTED:
            with self._metadata.write() as connection:
                _rows.set_usage(connection, row.id, usage)
        return usage

    def changes(self, key: str) -> Iterator[Change]:
        """Yield how a snapshot differs from its parent, in tree order; without a parent, from an empty one.

        :raises NotFoundError: there is no such snapshot.
        :raises SnapshotDamagedError: its content is lost.
        """
        row = self._engine.find(check_name(key))
        self._engine.check_damage(row)
        return iter(()) if row.kind is SnapshotKind.VIEW else self._changes(row)

    def _changes(self, row: Row) -> Iterator[Change]:
        with self._engine.using(row):
            yield from self._engine.owners.changes(row.id, row.parent_id, self._engine.labels(row))

    def diff(
        self,
        key: str,
        out: Output,
        *,
        compression: str = "gzip",
        level: int | None = None,
        epoch: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> LayerDescriptor:
        """Write how a snapshot differs from its parent as an OCI layer; without a parent, all of it.

        The same change gives the same bytes on every driver. Sockets, which no layer can hold, are left out.

        :param out: takes the layer, and is left open.
        :param compression: ``"gzip"``, ``"zstd"`` or ``"none"``.
        :param level: of the compression; ``None`` for a fast one.
        :param epoch: seconds since the epoch; later times are written as this one (SOURCE_DATE_EPOCH).
        :param progress: called now and then with the entries and the uncompressed bytes so far.
        :raises NotFoundError: there is no such snapshot.
        :raises ChangesetError: a name begins with ``.wh.``, or a file changed meanwhile.
        :raises MediaTypeError: there is no such compression.
        """
        from ._diff import diff

        return diff(self, key, out, compression, level, epoch, progress)

    def mounts(self, key: str) -> Sequence[Mount]:
        """Return what a host would mount, in order, to see a snapshot; the same on every call.

        :raises NotFoundError: there is no such snapshot.
        :raises CapabilityError: the driver lacks ``Capability.HOST_MOUNT``.
        """
        row = self._engine.find(check_name(key))
        with self._engine.using(row):
            return self._driver.mounts(row.storage, readonly=row.kind is not SnapshotKind.ACTIVE)

    def verify(self, key: str) -> None:
        """Check that a committed snapshot, or the one below a view, still is what was committed.

        :raises SnapshotDamagedError: it is not; the message names a path.
        :raises CapabilityError: the driver lacks ``Capability.VERIFY``.
        :raises SnapshotKindError: it is active.
        :raises NotFoundError: there is no such snapshot.
        """
        row = self._engine.find(check_name(key))
        if row.kind is SnapshotKind.ACTIVE:
            raise errors.SnapshotKindError(f"{show(key)} is active, and only what is committed can be verified")
        with self._engine.using(row):
            self._driver.verify(row.storage)

    # -- using -----------------------------------------------------------------------------------------------------

    def tree(self, key: str, *, readonly: bool | None = None) -> Tree:
        """Open a snapshot's merged tree, to be closed by the caller; closing the store closes it too.

        A writable tree keeps other processes from writing, committing and removing the snapshot; in this process it
        may be opened several times, and all trees show the same.

        :param readonly: ``None``: writable for an active snapshot, read-only for others.
        :raises NotFoundError: there is no such snapshot.
        :raises ReadOnlyError: a writable tree of a committed snapshot or a view.
        :raises LayerInUseError: another process has a writable tree of it, or it is being committed or removed.
        :raises SnapshotDamagedError: its content is lost.
        """
        return self._engine.open_tree(check_name(key), readonly, owner=None)

    def update_labels(self, key: str, labels: Mapping[str, str | None], *, replace: bool = False) -> SnapshotInfo:
        """Set labels, all at once.

        :param labels: those to set; a value of ``None`` deletes one, which need not be there.
        :param replace: delete all others.
        :returns: the snapshot with its new labels.
        :raises NotFoundError: there is no such snapshot.
        :raises InvalidNameError: a label cannot be one.
        """
        check_name(key)
        checked = check_labels(labels, deleting=True)
        with self._metadata.write() as connection:
            row = _rows.find(connection, key)
            if row is None:
                raise self._engine.not_found(key)
            moment = _rows.change_labels(connection, row.n, checked, replace)
            texts = _rows.labels_of(connection, row.n)
        return _rows.make_info(row.key, row.kind, row.parent_key, texts, row.created, moment)

    def remove(self, key: str) -> None:
        """Remove a snapshot.

        :raises NotFoundError: there is no such snapshot.
        :raises LayerInUseError: others are over it, whose keys are the error's ``users``; or a tree of it is open.
        :raises RemovalVetoedError: a plugin refuses.
        """
        row = self._engine.find(check_name(key))
        with self._metadata.read() as connection:
            info = row.info(_rows.labels_of(connection, row.n))
        reason = self._plugins.before_remove(self._hook_info, info)
        if reason is not None:
            raise errors.RemovalVetoedError(f"{show(key)} may not be removed: {reason}")
        self._engine.remove(row)

    def cleanup(self) -> None:
        """Delete what removals and killed processes left behind.

        What killed processes left is repaired unless another process is inside an operation right now.
        """
        self._metadata.check_open()
        self._engine.recover()
        self._driver.cleanup()
        self.content.cleanup()

    # -- ending ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for operations of other threads to end, close all trees and let go of everything; twice is allowed.

        A store without a path is gone with all its snapshots.
        """
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._metadata.close)
            stack.callback(self.content.close)
            if self._path is None or os.getpid() == self._pid:
                stack.callback(self._driver.close)
                stack.callback(self._engine.trees.close)
            self._engine.operations.close()

    def __enter__(self) -> Self:
        self._metadata.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            if self._path is not None and os.getpid() == self._pid:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        where = "in memory" if self._path is None else str(self._path)
        return f"<{type(self).__name__} {where} driver={self._driver.name}{' closed' if self._closed else ''}>"
