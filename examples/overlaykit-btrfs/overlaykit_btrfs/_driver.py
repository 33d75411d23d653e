"""The driver."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.directories import SnapshotDirectories, open_directory
from overlaykit.driver import (
    Capability,
    Change,
    Driver,
    DriverConfig,
    HostWriter,
    KeptWriter,
    LayerWriter,
    Mount,
    NamespaceWriter,
    SnapshotId,
    Usage,
)
from overlaykit.linux import DifferenceFlag
from overlaykit.tree import HostTree, compare, compare_copy

from . import _ioctl
from ._probe import probe

__all__ = ["BtrfsDriver"]


class BtrfsDriver(Driver):
    """Keeps every snapshot as a subvolume; preparing one takes the file system the same moment whatever its size.

    In each, which is read-only once it is committed::

        tree         the root of what it shows
        prepared     the parent's id; its change time is when the snapshot was in place
        committed    empty; its change time is when it was committed

    The tree is not the subvolume's own root: to make a snapshot of a subvolume the kernel wants it opened for reading,
    and a tree's root may be closed to its own owner.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        assert config.root is not None  # the spec says needs_path
        found = config.probe or probe(config.root)
        if not found.usable:
            raise errors.DriverUnavailableError(
                f"the btrfs driver does not work in {config.root}: {found.reason}; {found.fix}",
                reason=found.reason,
                fix=found.fix,
            )
        self.capabilities = found.capabilities
        self._directories = SnapshotDirectories(config, delete=_delete)

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        with contextlib.ExitStack() as stack:
            make = _ioctl.create
            if parent is not None:
                make = functools.partial(_ioctl.snapshot, stack.enter_context(open_directory(self._path(parent))))
            path = stack.enter_context(self._directories.prepare(id, make=make))
            if parent is None:
                path.chmod(0o700)
                (path / "tree").mkdir()
                (path / "tree").chmod(0o755)
            else:
                (path / "committed").unlink()
                (path / "prepared").unlink()
            (path / "prepared").write_text(parent or "")

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        with open_directory(self._path(id)) as subvolume:
            if _ioctl.has_subvolumes(subvolume):
                raise errors.UnsupportedError(
                    f"there are Btrfs subvolumes in the snapshot {id}, which a snapshot of it would leave out: "
                    "make them plain directories (btrfs subvolume list -o, cp --reflink, btrfs subvolume delete)"
                )
            marker = self._path(id) / "committed"
            marker.unlink(missing_ok=True)  # of a commit that was cut off
            marker.touch()
            _ioctl.set_readonly(subvolume, True)
        self._directories.commit(id, new)

    def remove(self, id: SnapshotId) -> None:
        with open_directory(self._path(id)) as subvolume:
            # A read-only one cannot be moved to another directory, nor emptied.
            _ioctl.set_readonly(subvolume, False)
        self._directories.remove(id)

    def cleanup(self) -> None:
        self._directories.cleanup()

    def ids(self) -> Iterator[SnapshotId]:
        return self._directories.ids()

    def _path(self, id: SnapshotId) -> Path:
        return self._directories.path(id)

    # -- looking at one ------------------------------------------------------------------------------------------

    def tree(self, id: SnapshotId, *, readonly: bool) -> HostTree:
        if not readonly:
            with open_directory(self._path(id)) as subvolume:
                if _ioctl.is_readonly(subvolume):  # a commit was cut off
                    _ioctl.set_readonly(subvolume, False)
        return HostTree(linux.clone_directory(self._path(id) / "tree", readonly=readonly), readonly=readonly)

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        return [Mount("bind", str(self._path(id) / "tree"), ("rbind", "ro" if readonly else "rw"))]

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        if Capability.OWNERSHIP not in self.capabilities:
            return super().writer(id, parent)
        return HostWriter(os.open(self._path(id) / "tree", os.O_PATH | os.O_DIRECTORY))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        writer = NamespaceWriter if partial else KeptWriter
        return writer(os.open(self._path(id) / "tree", os.O_PATH | os.O_DIRECTORY))

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        with contextlib.ExitStack() as stack:
            after = stack.enter_context(self.tree(id, readonly=True))
            if parent is None:
                yield from compare(None, after)
                return
            before = stack.enter_context(self.tree(parent, readonly=True))
            # A snapshot has its parent's inode numbers, and its change times from before.
            yield from compare_copy(before, after, begun=0, done=self._prepared(id), inodes=None)

    def _prepared(self, id: SnapshotId) -> int:
        return (self._path(id) / "prepared").stat().st_ctime_ns

    def usage(self, id: SnapshotId) -> Usage:
        parent = (self._path(id) / "prepared").read_text()
        with self.tree(id, readonly=True) as after:
            if parent:
                # Where directories are closed to their own owner, what is in them cannot be told apart.
                with contextlib.suppress(PermissionError):
                    return self._changed(id, SnapshotId(parent), after)
            used = linux.tree_usage(after.fileno())
        return Usage(used.bytes, used.inodes)

    def _changed(self, id: SnapshotId, parent: SnapshotId, after: HostTree) -> Usage:
        # Whole files, also where only a part of one is no longer shared: which blocks are, only root can ask.
        seen = {}
        with self.tree(parent, readonly=True) as before:
            differences = linux.differ(before.fileno(), after.fileno(), begun=0, done=self._prepared(id), inodes=None)
            for flags, path in differences:
                if not flags & DifferenceFlag.DELETED:
                    status = after.lstat(path)
                    seen[status.st_ino] = status.st_blocks * 512
        return Usage(sum(seen.values()), 1 + len(seen))

    def verify(self, id: SnapshotId) -> None:
        try:
            committed = (self._path(id) / "committed").stat().st_ctime_ns
            with open_directory(self._path(id) / "tree", os.O_PATH) as tree:
                # Nobody can set a change time, and a read-only subvolume has none that is later.
                survey = linux.survey_tree(tree, since=committed + 1)
        except FileNotFoundError as error:
            raise errors.SnapshotDamagedError(
                f"the snapshot {id} is damaged: {error.filename} is gone; remove it and make it again"
            ) from error
        if survey.newest > committed:
            raise errors.SnapshotDamagedError(
                f"the snapshot {id} was changed after it was committed: {survey.newest_path}; "
                "restore it from a backup, or remove it and make it again"
            )


def _delete(directory: int, name: str) -> None:
    try:
        _ioctl.delete(directory, name)
    except FileNotFoundError:
        pass  # another process was faster
    except OSError:
        # Not ours to delete as a whole, or with subvolumes inside: an empty subvolume is removed as a directory is.
        linux.remove_tree(directory, name)
