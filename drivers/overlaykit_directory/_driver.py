"""The driver."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from overlaykit import errors, linux
from overlaykit.directories import SnapshotDirectories, open_directory, probe_directory
from overlaykit.driver import Capability, Driver, HostWriter, KeptWriter, Mount, NamespaceWriter, Usage
from overlaykit.tree import HostTree, compare, compare_copy

from ._probe import ALWAYS, can_clone
from ._records import Committed, Prepared, Record, read_committed, read_inodes, read_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
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
        self._directories = SnapshotDirectories(config, delete=_delete)
        self._clones = can_clone(self._directories.snapshots)
        found = config.probe or probe_directory(self._directories.stage)
        self.capabilities = found.capabilities | ALWAYS
        with open_directory(self._directories.stage) as fd:
            self._subvolumes = linux.is_btrfs(fd)

    # -- life of a snapshot ----------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        with self._directories.prepare(id) as path:
            begun = path.stat().st_ctime_ns
            method = self._make_empty(path) if parent is None else self._copy(parent, path)
            with Record(path / "prepared") as record:
                record.write(Prepared(parent, method, begun, record.clock))

    def _make_empty(self, path: Path) -> str:
        self._make_root(path)
        (path / "tree").chmod(0o755)
        return "empty"

    def _make_root(self, path: Path) -> None:
        if self._subvolumes:
            with open_directory(path) as fd:
                linux.create_subvolume(fd, "tree")
        else:
            (path / "tree").mkdir(0o700)

    def _copy(self, parent: SnapshotId, path: Path) -> str:
        with self._opened(parent) as source, open_directory(path) as directory:
            if self._subvolumes and linux.is_subvolume(source):
                record = self._committed(parent)
                # A snapshot leaves out the subvolumes inside. And another owner's cannot be taken: copy then.
                if record is not None and record.one_device:
                    with contextlib.suppress(PermissionError):
                        linux.snapshot_subvolume(source, directory, "tree")
                        return "subvolume"
            self._make_root(path)
            with open_directory(path / "tree", os.O_PATH) as target, (path / "inodes").open("wb") as inodes:
                linux.copy_tree(source, target, inodes=inodes.fileno())
        return "copy"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        self._directories.sync()  # so that the blocks that the survey counts are allocated
        with self._opened(id) as fd:
            survey = linux.survey_tree(fd)
        with Record(self._directories.path(id) / "committed") as record:
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
            record.write(committed)
        self._directories.commit(id, new)

    def remove(self, id: SnapshotId) -> None:
        self._directories.remove(id)

    def cleanup(self) -> None:
        self._directories.cleanup()

    # -- looking at one --------------------------------------------------------------------------------------------

    def _tree(self, id: SnapshotId) -> Path:
        return self._directories.path(id) / "tree"

    def _opened(self, id: SnapshotId) -> AbstractContextManager[int]:
        return open_directory(self._tree(id), os.O_PATH)

    def _committed(self, id: SnapshotId) -> Committed | None:
        return read_committed(self._directories.path(id), id)

    def tree(self, id: SnapshotId, *, readonly: bool) -> HostTree:
        if not readonly and self._committed(id) is not None:
            raise errors.ReadOnlyError(f"the snapshot {id} is committed: prepare an active one on top of it")
        path = self._tree(id)
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
        return HostWriter(os.open(self._tree(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        writer = NamespaceWriter if partial else KeptWriter
        return writer(os.open(self._tree(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))

    def usage(self, id: SnapshotId) -> Usage:
        record = self._committed(id)
        if record is not None:
            return Usage(record.bytes, record.inodes)
        with self._opened(id) as fd:
            survey = linux.survey_tree(fd)
        return Usage(survey.bytes, survey.inodes)

    def ids(self) -> Iterator[SnapshotId]:
        return self._directories.ids()

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        with contextlib.ExitStack() as stack:
            after = stack.enter_context(self.tree(id, readonly=True))
            before = None if parent is None else stack.enter_context(self.tree(parent, readonly=True))
            directory = self._directories.path(id)
            prepared = read_prepared(directory)
            if before is None or prepared.parent != parent:
                yield from compare(before, after)
            else:
                inodes = read_inodes(directory, prepared)
                yield from compare_copy(before, after, begun=prepared.begun, done=prepared.done, inodes=inodes)

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        return [Mount("bind", str(self._tree(id)), ("rbind", "ro" if readonly else "rw"))]

    def verify(self, id: SnapshotId) -> None:
        record = self._committed(id)
        if record is None:
            raise errors.SnapshotKindError(f"the snapshot {id} is active: only a committed one can be verified")
        with self._opened(id) as fd:
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


def _delete(directory: int, name: str) -> None:
    if linux.is_btrfs(directory):
        # Where this is no subvolume, not ours to delete as a whole, has others inside, or is gone: entry by entry.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
            stack.callback(os.close, inside)
            linux.delete_subvolume(inside, "tree")
    linux.remove_tree(directory, name)
