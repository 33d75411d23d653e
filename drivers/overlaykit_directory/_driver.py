"""The driver."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from overlaykit import errors, linux
from overlaykit.driver import Capability, Driver, Durability, HostWriter, KeptWriter, Mount, NamespaceWriter, Usage
from overlaykit.tree import HostTree, compare, compare_copy

from ._layout import Committed, Layout, Prepared, Record
from ._probe import can_clone, offered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from overlaykit.driver import Change, DriverConfig, LayerWriter, SnapshotId

__all__ = ["DirectoryDriver"]


class DirectoryDriver(Driver):
    """Keeps every snapshot as a whole directory tree.

    Preparing copies the parent, file by file, sharing blocks where the file system can; on Btrfs the parent is a
    subvolume and its copy a snapshot of it, whatever the size. Everything else is a rename. What a snapshot takes by
    itself is all of it: blocks that it shares with its parent count.

    Trees are shown through mounts of their own, attached nowhere, so that the kernel refuses writes to read-only
    ones and tells of files left open for writing. Where the kernel, or a sandbox, forbids such mounts, a tree is the
    plain directory, and read-only by its own manners.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        if config.root is None:
            raise errors.DriverUnavailableError(
                "the directory driver keeps its snapshots in a directory: give the store a path",
                reason="no directory was given",
                fix="give the store a path",
            )
        root = config.root.absolute()
        self._layout = Layout(root)
        self._clones = can_clone(self._layout.snapshots)
        with _opened(self._layout.staging) as fd:
            self.capabilities = offered(fd) if config.probe is None else config.probe.capabilities
            self._subvolumes = linux.is_btrfs(fd)

    # -- life of a snapshot ----------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        durable = self.config.durability is Durability.FULL
        with self._layout.stage(id) as stage:
            begun = stage.stat().st_ctime_ns
            method = self._make_empty(stage) if parent is None else self._copy(parent, stage)
            with Record(stage / "prepared") as record:
                record.write(Prepared(parent, method, begun, record.clock), durable=durable)
            if durable:
                self._layout.sync(stage, system=True)
        if durable:
            self._layout.sync(self._layout.snapshots)

    def _make_empty(self, stage: Path) -> str:
        self._make_root(stage)
        (stage / "tree").chmod(0o755)
        return "empty"

    def _make_root(self, stage: Path) -> None:
        if self._subvolumes:
            with _opened(stage, os.O_RDONLY) as fd:
                linux.create_subvolume(fd, "tree")
        else:
            (stage / "tree").mkdir(0o700)

    def _copy(self, parent: SnapshotId, stage: Path) -> str:
        with _opened(self._layout.tree(parent)) as source, _opened(stage, os.O_RDONLY) as directory:
            if self._subvolumes and linux.is_subvolume(source):
                record = self._layout.committed(parent)
                # A snapshot leaves out the subvolumes inside. And another owner's cannot be taken: copy then.
                if record is not None and record.one_device:
                    with contextlib.suppress(PermissionError):
                        linux.snapshot_subvolume(source, directory, "tree")
                        return "subvolume"
            self._make_root(stage)
            with _opened(stage / "tree") as target, (stage / "inodes").open("wb") as inodes:
                linux.copy_tree(source, target, inodes=inodes.fileno())
        return "copy"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        durable = self.config.durability is not Durability.NONE
        directory, tree = self._layout.directory(id), self._layout.tree(id)
        if durable:
            # Before the survey, so that the blocks it counts are allocated.
            self._layout.sync(directory, system=True)
        with _opened(tree) as fd:
            survey = linux.survey_tree(fd)
        with Record(directory / "committed") as record:
            committed = Committed(
                id=new,
                clock=record.clock,
                bytes=survey.bytes,
                inodes=survey.inodes,
                exact=survey.exact,
                portable=survey.portable,
                root=survey.root,
                one_device=survey.one_device,
            )
            record.write(committed, durable=durable)
        if durable:
            self._layout.sync(directory)
        self._layout.rename(id, new)
        if durable:
            self._layout.sync(self._layout.snapshots)

    def remove(self, id: SnapshotId) -> None:
        self._layout.discard(id)
        if self.config.durability is Durability.FULL:
            self._layout.sync(self._layout.snapshots)

    def cleanup(self) -> None:
        self._layout.empty_trash()

    # -- looking at one --------------------------------------------------------------------------------------------

    def tree(self, id: SnapshotId, *, readonly: bool) -> HostTree:
        if not readonly and self._layout.committed(id) is not None:
            raise errors.ReadOnlyError(f"the snapshot {id} is committed: prepare an active one on top of it")
        path = self._layout.tree(id)
        if self._clones:
            fd = linux.clone_directory(path, readonly=readonly)
        else:
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return HostTree(fd, readonly=readonly)
        except BaseException:
            os.close(fd)
            raise

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        if Capability.OWNERSHIP not in self.capabilities:
            return super().writer(id, parent)
        return HostWriter(os.open(self._layout.tree(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        writer = NamespaceWriter if partial else KeptWriter
        return writer(os.open(self._layout.tree(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))

    def usage(self, id: SnapshotId) -> Usage:
        record = self._layout.committed(id)
        if record is not None:
            return Usage(record.bytes, record.inodes)
        with _opened(self._layout.tree(id)) as fd:
            survey = linux.survey_tree(fd)
        return Usage(survey.bytes, survey.inodes)

    def ids(self) -> Iterator[SnapshotId]:
        return self._layout.ids()

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        with contextlib.ExitStack() as stack:
            after = stack.enter_context(self.tree(id, readonly=True))
            before = None if parent is None else stack.enter_context(self.tree(parent, readonly=True))
            prepared = self._layout.prepared(id)
            if before is None or prepared.parent != parent:
                yield from compare(before, after)
            else:
                inodes = self._layout.inodes(id, prepared)
                yield from compare_copy(before, after, begun=prepared.begun, done=prepared.done, inodes=inodes)

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        return [Mount("bind", str(self._layout.tree(id)), ("rbind", "ro" if readonly else "rw"))]

    def verify(self, id: SnapshotId) -> None:
        record = self._layout.committed(id)
        if record is None:
            raise errors.SnapshotKindError(f"the snapshot {id} is active: only a committed one can be verified")
        with _opened(self._layout.tree(id)) as fd:
            survey = linux.survey_tree(fd, since=record.clock)
        if survey.exact == record.exact:
            return
        # Another inode number of the root: the store was copied or restored, and has new inodes and change times.
        if survey.root != record.root and survey.portable == record.portable:
            return
        where = survey.newest_path or "something that was there is not"
        raise errors.SnapshotDamagedError(
            f"the snapshot {id} was changed after it was committed: {where}; "
            "restore it from a backup, or remove it and make it again"
        )


@contextlib.contextmanager
def _opened(directory: Path, access: int = os.O_PATH) -> Iterator[int]:
    # O_PATH: the root of a tree may be closed to its own owner.
    fd = os.open(directory, access | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
