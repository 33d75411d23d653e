"""The operations that change snapshots, step by step in the order that makes each of them atomic."""

from __future__ import annotations

import contextlib
import sqlite3

from .. import errors
from ..driver import SnapshotKind
from ..values import value_class
from . import _rows
from ._content import ContentStore
from ._names import check_name, list_names, show
from ._owners import Owners
from ._recovery import recover
from ._reserve import Reserve

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..driver import LayerWriter, SnapshotId, SnapshotInfo, Usage
    from ..tree import Tree
    from ._drivers import GuardedDriver
    from ._locks import OperationLock
    from ._metadata import Metadata
    from ._rows import Row
    from ._trees import Claim, TreeRegistry

__all__ = ["Engine"]


@value_class
class _Reserved:
    n: int
    parent: Row | None
    info: SnapshotInfo


class Engine:
    """Metadata, storage and locks of one store, and the operations that need all three.

    Preparing reserves the key, then makes the storage, then says that it is whole. Committing reserves the name, then
    turns the storage over, then lets the committed row take the active one's place. Removing deletes the row, then
    the storage. Wherever one is cut off, :func:`~overlaykit.store._recovery.recover` can tell which way to go.
    """

    def __init__(
        self,
        path: Path | None,
        driver: GuardedDriver,
        metadata: Metadata,
        operations: OperationLock,
        trees: TreeRegistry,
    ) -> None:
        self.path = path
        self.driver = driver
        self.owners = Owners(driver)
        self.metadata = metadata
        self.trees = trees
        #: What the driver has lost: ids and keys.
        self.lost: dict[SnapshotId, str] = {}
        self.operations = operations
        self.content = ContentStore(None if path is None else path / "content", metadata.durability)
        self.reserve = Reserve(None if path is None else path / "reserve")
        self._unsettled = False

    def operation(self) -> OperationLock:
        """Return what to be inside of during an operation: recovery stays out."""
        self.metadata.check_open()
        if self._unsettled:
            self.recover()
        return self.operations

    def recover(self, *, wait: bool = False) -> None:
        """Repair what killed processes left, unless another one is inside an operation.

        :param wait: wait for those.
        """
        if self.path is not None:
            with self.operations.repair(wait=wait) as alone:
                if alone:
                    self.lost = recover(self.metadata, self.driver, self.path / "locks")
                    self._unsettled = False

    # -- finding ---------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Row:
        """Return a snapshot's row.

        :raises NotFoundError: there is none of this key.
        """
        with self.metadata.read() as connection:
            row = _rows.find(connection, key)
        if row is None:
            raise self.not_found(key)
        return row

    def labels(self, row: Row) -> dict[str, str]:
        """Return a snapshot's labels."""
        with self.metadata.read() as connection:
            return _rows.labels_of(connection, row.n)

    def not_found(self, key: str) -> errors.NotFoundError:
        """Return the error for a key that is not there."""
        where = "the store in memory" if self.path is None else f"the store {self.path}"
        return errors.NotFoundError(
            f"there is no snapshot {show(key)} in {where}: list those there are, and take one of them"
        )

    def check_damage(self, row: Row) -> None:
        """Check that the storage of a snapshot was there when the store was opened.

        :raises SnapshotDamagedError: it was not.
        """
        if row.storage in self.lost:
            raise self._damage(row)

    def _damage(self, row: Row) -> errors.SnapshotDamagedError:
        return errors.SnapshotDamagedError(
            f"the content of {show(row.key)} is missing from the driver {self.driver.name}'s storage: "
            "restore it from a backup, or remove the snapshot"
        )

    def check_free(self, key: str) -> None:
        """Refuse a name that is taken; the commit does too, this spares the work.

        :raises ExistsError: it is.
        """
        with self.metadata.read() as connection:
            if _rows.find(connection, key) is not None:
                raise self._exists(key)

    def _exists(self, key: str) -> errors.ExistsError:
        return errors.ExistsError(f"there is a snapshot {show(key)} already: take another name, or remove it first")

    @contextlib.contextmanager
    def using(self, row: Row, new: SnapshotId | None = None) -> Iterator[None]:
        """Say what is wrong where a driver fails because the storage of ``row`` is not there.

        Looking first would cost every call, and it could be gone a moment later.

        :param row: the snapshot.
        :param new: what its storage becomes: a driver may fail when it has become that already.
        :raises SnapshotDamagedError: the storage is gone, the snapshot is not.
        :raises NotFoundError: the snapshot was removed meanwhile.
        """
        self.check_damage(row)
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, errors.DriverError) as error:
            if isinstance(error, errors.OverlaykitError) and not isinstance(error, errors.DriverError):
                raise
            if not self._is_there(row):
                raise self.not_found(row.key) from error
            if not {row.storage, new} & self.driver.ids():
                raise self._damage(row) from error
            raise

    def _is_there(self, row: Row) -> bool:
        with self.metadata.read() as connection:
            return _rows.is_there(connection, row)

    # -- prepare and view ------------------------------------------------------------------------------------------

    def _reserve(
        self,
        id: SnapshotId,
        key: str,
        kind: SnapshotKind,
        parent: str | None,
        labels: dict[str, str],
        state: int,
        transient: bool,
    ) -> _Reserved:
        try:
            with self.metadata.write() as connection:
                below = None if parent is None else self._find_parent(connection, parent)
                n = None if below is None else below.n
                if n is not None:
                    inherited = self.owners.inherited(_rows.labels_of(connection, n))
                    labels = dict(sorted({**inherited, **labels}.items()))
                moment = _rows.now()
                n = _rows.insert(connection, id, key, kind, state, n, labels, moment, transient=transient)
        except sqlite3.IntegrityError as error:
            raise self._exists(key) from error
        return _Reserved(n, below, _rows.make_info(key, kind, parent, labels, moment, moment))

    def _find_parent(self, connection: sqlite3.Connection, key: str) -> Row:
        row = _rows.find(connection, key)
        if row is None:
            raise self.not_found(key)
        if row.kind is SnapshotKind.ACTIVE:
            raise errors.SnapshotKindError(f"{show(key)} is active and cannot be a parent: commit it first")
        if row.kind is SnapshotKind.VIEW:
            raise errors.SnapshotKindError(f"{show(key)} is a view and cannot be a parent: take the one below it")
        self.check_damage(row)
        return row

    def view(self, id: SnapshotId, key: str, parent: str, labels: dict[str, str]) -> SnapshotInfo:
        """See :meth:`Store.view`."""
        with self.operation():
            return self._reserve(id, key, SnapshotKind.VIEW, parent, labels, _rows.READY, False).info

    def prepare(
        self, id: SnapshotId, key: str, parent: str | None, labels: dict[str, str], *, transient: bool = False
    ) -> SnapshotInfo:
        """See :meth:`Store.prepare`.

        :param transient: it ends with the process that holds its lock.
        """
        with self.operation():
            reserved = self._reserve(id, key, SnapshotKind.ACTIVE, parent, labels, _rows.PREPARING, transient)
            try:
                if reserved.parent is None:
                    self.driver.prepare(id, None)
                else:
                    with self.using(reserved.parent):
                        self.driver.prepare(id, reserved.parent.id)
                if transient:
                    self.driver.transient(id)
                with self.metadata.write() as connection:
                    _rows.set_ready(connection, reserved.n)
            except BaseException:
                self._undo_prepare(reserved.n, id)
                raise
        return reserved.info

    def _undo_prepare(self, n: int, id: SnapshotId) -> None:
        # The error that led here is the one to tell of; what cannot be undone now is undone by the next operation or
        # at the next open.
        self._unsettled = True
        with contextlib.suppress(OSError):
            if id in self.driver.ids():
                self.driver.remove(id)
            self.driver.cleanup()
            with self.metadata.write() as connection:
                _rows.delete(connection, n, id)
            self._unsettled = False

    def rebase(self, key: str, parent: str) -> None:
        """Put a working snapshot without a parent over one; :meth:`Driver.rebase`."""
        with self.operation():
            row = self.find(key)
            # First what keeps the parent from being removed; the snapshot goes with its process, whatever is half done.
            with self.metadata.write() as connection:
                below = self._find_parent(connection, parent)
                _rows.set_parent(connection, row.n, below.n)
            with self.using(below):
                self.driver.rebase(row.id, below.id)

    def persist(self, key: str) -> None:
        """Let a transient snapshot stay, an active one like any other."""
        with self.operation():
            row = self.find(key)
            self.driver.persist(row.id)
            with self.metadata.write(durable=True) as connection:
                _rows.keep(connection, key)

    # -- commit ----------------------------------------------------------------------------------------------------

    def commit(self, key: str, new: SnapshotId, name: str, labels: dict[str, str]) -> SnapshotInfo:
        """See :meth:`Store.commit`."""
        with self.operation():
            row = self.find(key)
            if row.kind is not SnapshotKind.ACTIVE:
                what = "a view" if row.kind is SnapshotKind.VIEW else "committed"
                raise errors.SnapshotKindError(f"{show(key)} is {what}: only an active snapshot can be committed")
            self.check_damage(row)
            with self.trees.claim(row.id, key, "committed", idle=False) as claim:
                info = self._commit(row, new, name, labels, claim)
                self.trees.gone(row.id)
        return info

    def _commit(self, row: Row, new: SnapshotId, name: str, labels: dict[str, str], claim: Claim) -> SnapshotInfo:
        moment = _rows.now()
        kind, state = SnapshotKind.COMMITTED, _rows.COMMITTING
        try:
            with self.metadata.write(durable=True) as connection:
                if not _rows.is_there(connection, row):
                    raise self.not_found(row.key)
                texts = dict(sorted({**_rows.labels_of(connection, row.n), **labels}.items()))
                n = _rows.insert(connection, new, name, kind, state, row.parent, texts, moment, source=row.n)
        except sqlite3.IntegrityError as error:
            raise self._exists(name) from error
        try:
            _seal(claim.trees)
            for tree in claim.trees:
                tree.close()
            with self.using(row, new):
                self.driver.commit(row.id, new)
        except BaseException:
            self._settle(n, new, row)
            raise
        usage = None
        with contextlib.suppress(OSError):  # Store.usage() asks again, and raises
            usage = self.driver.usage(new)
        self._unsettled = True
        try:
            self._finish_commit(n, row, usage)
        except errors.StoreFullError:
            # It is done but for this: what would be told as failed would be there all the same.
            if not self.reserve.spend():
                raise
            self._finish_commit(n, row, usage)
        self._unsettled = False
        return _rows.make_info(name, kind, row.parent_key, texts, moment, moment)

    def _finish_commit(self, n: int, row: Row, usage: Usage | None) -> None:
        with self.metadata.write(durable=True) as connection:
            _rows.finish_commit(connection, n, row.n, usage)

    def _settle(self, n: int, new: SnapshotId, row: Row) -> None:
        # As recovery does: an interrupt may come when the driver has committed already.
        self._unsettled = True
        with contextlib.suppress(OSError):
            committed = new in self.driver.ids()
            with self.metadata.write(durable=True) as connection:
                if committed:
                    _rows.finish_commit(connection, n, row.n, None)
                else:
                    _rows.delete(connection, n, new)
            self._unsettled = False

    # -- trees -----------------------------------------------------------------------------------------------------

    def open_tree(self, key: str, readonly: bool | None, *, owner: object) -> Tree:
        """See :meth:`Store.tree`.

        :param owner: who may remove the snapshot in spite of this tree.
        """
        row = self.find(key)
        active = row.kind is SnapshotKind.ACTIVE
        writable = active and not readonly
        if readonly is False and not active:
            what = "a view" if row.kind is SnapshotKind.VIEW else "committed"
            raise errors.ReadOnlyError(f"{show(key)} is {what} and read-only: prepare a snapshot over it to write")

        def make() -> Tree:
            if not self._is_there(row):
                raise self.not_found(key)
            return self.owners.tree(row.storage, self.labels(row), readonly=not writable)

        with self.using(row):
            return self.trees.open(row.id, key, make, writable=writable, locked=not active, owner=owner)

    @contextlib.contextmanager
    def layer_writer(self, key: str) -> Iterator[LayerWriter]:
        """Write a layer into a working snapshot that nobody else has a tree of."""
        row = self.find(key)
        with (
            self.using(row),
            self.driver.storing(),
            self.owners.writer(row.id, row.parent_id, self.labels(row)) as writer,
        ):
            yield writer

    def rename(self, key: str, new: str) -> None:
        """Give an active snapshot another key.

        :raises NotFoundError: there is no such snapshot.
        :raises ExistsError: the new key is taken.
        :raises InvalidNameError: it cannot be one.
        """
        check_name(new)
        with self.operation(), self.metadata.write(durable=True) as connection:
            if _rows.find(connection, key) is None:
                raise self.not_found(key)
            if _rows.find(connection, new) is not None:
                raise self._exists(new)
            _rows.rename(connection, key, new)

    # -- remove ----------------------------------------------------------------------------------------------------

    def remove(self, row: Row, *, owner: object = None) -> None:
        """See :meth:`Store.remove`.

        :param owner: whose open trees are closed instead of being in the way.
        """
        with self.operation(), self.trees.claim(row.id, row.key, "removed", owner=owner) as claim:
            try:
                labels = self._delete(row)
            except errors.StoreFullError:
                if not self.reserve.spend():
                    raise
                labels = self._delete(row)
            try:
                for tree in claim.trees:
                    tree.close()
                if row.kind is not SnapshotKind.VIEW and row.id not in self.lost:
                    self._remove_storage(row)
            except BaseException:
                self._restore(row, labels)
                raise
            self.trees.gone(row.id)
            self.lost.pop(row.id, None)
        if row.kind is not SnapshotKind.VIEW:
            self.driver.cleanup()
        if self.reserve.spent:
            self.reserve.refill()

    def _delete(self, row: Row) -> dict[str, str]:
        users: list[str] = []
        try:
            with self.metadata.write(durable=row.kind is SnapshotKind.COMMITTED) as connection:
                labels = _rows.labels_of(connection, row.n)
                try:
                    there = _rows.delete(connection, row.n, row.id)
                except sqlite3.IntegrityError:
                    users = _rows.children(connection, row.n)
                    raise
        except sqlite3.IntegrityError as error:
            are, those = ("is", "that") if len(users) == 1 else ("are", "those")
            raise errors.LayerInUseError(
                f"{show(row.key)} cannot be removed: {list_names(users)} {are} over it; remove {those} first",
                users=users,
            ) from error
        if not there:
            raise self.not_found(row.key)
        return labels

    def _remove_storage(self, row: Row) -> None:
        try:
            self.driver.remove(row.id)
        except (FileNotFoundError, errors.DriverError):
            if row.id in self.driver.ids():
                raise
            # Lost since the store was opened: there is nothing to remove.

    def _restore(self, row: Row, labels: dict[str, str]) -> None:
        # A removal that the driver refused has not taken place, unless the key was taken in this very moment: then
        # the storage, which nobody knows any more, goes with the next operation or at the next open.
        self._unsettled = True
        with contextlib.suppress(OSError, sqlite3.IntegrityError):
            if row.id in self.driver.ids():
                with self.metadata.write() as connection:
                    _rows.restore(connection, row, labels)
            self._unsettled = False


def _seal(trees: Sequence[Tree]) -> None:
    with contextlib.ExitStack() as stack:
        for tree in trees:
            if not tree.readonly and not tree.closed:
                tree.seal()
                stack.callback(tree.unseal)
        stack.pop_all()
