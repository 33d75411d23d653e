"""Calls of a driver: what comes back is checked, and what is raised is made plain."""

from __future__ import annotations

import contextlib
import errno

from .. import errors
from ..driver import Mount, Usage
from ..plugin import describe_error
from ..tree import Tree

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..driver import Capability, Driver, LayerWriter, SnapshotId
    from ..plugin import RegisteredDriver
    from ..tree import Change

__all__ = ["GuardedDriver", "storing"]


@contextlib.contextmanager
def storing(place: Path | str | None, room: str) -> Iterator[None]:
    """Say what is wrong where a file system takes no more.

    :param place: what is on it; ``None`` for a store in memory.
    :param room: how to make room.
    """
    try:
        yield
    except errors.OverlaykitError:
        raise
    except OSError as error:
        where = place or "the store in memory"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.StoreFullError(f"the file system of {where} is full: {room}", filename=place) from error
        if error.errno == errno.EROFS:
            raise errors.ReadOnlyError(f"{where} is on a read-only file system: remount it", filename=place) from error
        raise


class GuardedDriver:
    """A driver whose faults have its name.

    An :class:`OSError` passes as it is, but ENOSPC, EDQUOT and EROFS as the library's own kind; anything else is a
    :class:`~overlaykit.errors.DriverError`.

    :param driver: the driver.
    :param registered: where it comes from.
    :param place: the store's directory, for messages.
    """

    def __init__(self, driver: Driver, registered: RegisteredDriver, place: Path | None) -> None:
        self.driver = driver
        self.name = registered.spec.name
        self._origin = str(registered.origin)
        self._is_foreign = registered.distribution != "overlaykit"
        self._place = place
        self._declared = registered.spec.capabilities
        self._is_checked = False

    @contextlib.contextmanager
    def _guarded(self, method: str) -> Iterator[None]:
        try:
            with self.storing():
                yield
        except OSError as error:
            # The storage speaks in numbers; whoever raises one without speaks for itself.
            if error.errno is None and not isinstance(error, errors.OverlaykitError):
                raise self.fault(f"{method}() raised {describe_error(error)}, which has no errno") from error
            raise
        except Exception as error:
            raise self.fault(f"{method}() raised {describe_error(error)}") from error
        except BaseException as error:
            # Not a fault for certain: somebody may have pressed Ctrl-C, or a signal's handler ends the program.
            if self._is_foreign:
                error.add_note(f"in {method}() of the driver {self.name} ({self._origin})")
            raise

    def storing(self) -> contextlib.AbstractContextManager[None]:
        """Say what is wrong where the file system takes no more."""
        return storing(self._place, "remove snapshots or other files")

    def fault(self, what: str) -> errors.DriverError:
        """Return the error for a breach of the contract."""
        return errors.DriverError(f"the driver {self.name} is broken: {what:.300}; report it to {self._origin}")

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the driver offers here.

        :raises DriverUnavailableError: it was not asked before, and does not work here.
        """
        if not self._is_checked:
            with self._guarded("capabilities"):
                found: object = self.driver.capabilities
            if not isinstance(found, frozenset) or not found <= self._declared:
                raise self.fault("it offers capabilities that its DriverSpec.capabilities does not declare")
            self._is_checked = True
        return self.driver.capabilities

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        """See :meth:`Driver.prepare`."""
        with self._guarded("prepare"):
            self.driver.prepare(id, parent)

    def transient(self, id: SnapshotId) -> None:
        """See :meth:`Driver.transient`."""
        with self._guarded("transient"):
            self.driver.transient(id)

    def persist(self, id: SnapshotId) -> None:
        """See :meth:`Driver.persist`."""
        with self._guarded("persist"):
            self.driver.persist(id)

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        """See :meth:`Driver.commit`."""
        with self._guarded("commit"):
            self.driver.commit(id, new)

    def rebase(self, id: SnapshotId, parent: SnapshotId) -> None:
        """See :meth:`Driver.rebase`."""
        with self._guarded("rebase"):
            self.driver.rebase(id, parent)

    def remove(self, id: SnapshotId) -> None:
        """See :meth:`Driver.remove`."""
        with self._guarded("remove"):
            self.driver.remove(id)

    def tree(self, id: SnapshotId, *, readonly: bool) -> Tree:
        """See :meth:`Driver.tree`."""
        with self._guarded("tree"):
            tree: object = self.driver.tree(id, readonly=readonly)
        if not isinstance(tree, Tree):
            raise self.fault(f"tree() returned {type(tree).__name__}, not Tree")
        return tree

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        """See :meth:`Driver.writer`."""
        with self._guarded("writer"):
            return self._checked("writer", self.driver.writer(id, parent))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        """See :meth:`Driver.kept_writer`."""
        with self._guarded("kept_writer"):
            return self._checked("kept_writer", self.driver.kept_writer(id, parent, partial=partial))

    def _checked(self, method: str, writer: object) -> LayerWriter:
        from ..driver import LayerWriter

        if not isinstance(writer, LayerWriter):
            raise self.fault(f"{method}() returned {type(writer).__name__}, not LayerWriter")
        return writer

    def usage(self, id: SnapshotId) -> Usage:
        """See :meth:`Driver.usage`."""
        with self._guarded("usage"):
            usage: object = self.driver.usage(id)
        if not isinstance(usage, Usage):
            raise self.fault(f"usage() returned {type(usage).__name__}, not Usage")
        for field in ("bytes", "inodes"):
            value: object = getattr(usage, field)
            if not isinstance(value, int) or value < 0:
                raise self.fault(f"usage() returned {field}={value!r:.40}, not a number from 0 on")
        return usage

    def ids(self) -> set[SnapshotId]:
        """See :meth:`Driver.ids`."""
        with self._guarded("ids"):
            ids = set(self.driver.ids())
        for one in ids:
            if not isinstance(one, str):
                raise self.fault(f"ids() yielded {type(one).__name__}, not str")
        return ids

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        """See :meth:`Driver.changes`."""
        from ..tree import Change

        with self._guarded("changes"):
            for change in self.driver.changes(id, parent):
                if not isinstance(change, Change):
                    raise self.fault(f"changes() yielded {type(change).__name__}, not Change")
                yield change

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        """See :meth:`Driver.mounts`."""
        with self._guarded("mounts"):
            mounts = tuple(self.driver.mounts(id, readonly=readonly))
        for mount in mounts:
            if not isinstance(mount, Mount):
                raise self.fault(f"mounts() returned {type(mount).__name__} among its items, not Mount")
        return mounts

    def verify(self, id: SnapshotId) -> None:
        """See :meth:`Driver.verify`."""
        with self._guarded("verify"):
            self.driver.verify(id)

    def cleanup(self) -> None:
        """See :meth:`Driver.cleanup`."""
        with self._guarded("cleanup"):
            self.driver.cleanup()

    def close(self) -> None:
        """See :meth:`Driver.close`."""
        with self._guarded("close"):
            self.driver.close()
