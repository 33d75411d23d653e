"""The driver."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.driver import (
    Capability,
    Change,
    Driver,
    DriverConfig,
    Durability,
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

_DEFAULT_ACL = "system.posix_acl_default"


class BtrfsDriver(Driver):
    """Keeps every snapshot as a subvolume; preparing one takes the file system the same moment whatever its size.

    ::

        snapshots/ID             a subvolume, read-only once it is committed
        snapshots/ID/tree        the root of what it shows
        snapshots/ID/prepared    the parent's id; its change time is when the snapshot was in place
        snapshots/ID/committed   empty; its change time is when it was committed
        stage/ID                 a subvolume in the making; its maker holds a lock on it
        trash/NAME               removed, to be deleted

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
        self._snapshots, self._stage, self._trash = (config.root / name for name in ("snapshots", "stage", "trash"))
        for directory in (self._snapshots, self._stage, self._trash):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(0o700)
                _make_neutral(directory)

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        staged = self._stage / id
        with contextlib.ExitStack() as stack:
            try:
                with _locked(self._stage, fcntl.LOCK_SH) as stage:
                    if parent is None:
                        _ioctl.create(stage, id)
                    else:
                        with _opened(self._snapshots / parent) as source:
                            _ioctl.snapshot(source, stage, id)
                    stack.enter_context(_locked(staged, fcntl.LOCK_EX))
                if parent is None:
                    staged.chmod(0o700)
                    (staged / "tree").mkdir()
                    _make_neutral(staged / "tree")
                    (staged / "tree").chmod(0o755)
                else:
                    (staged / "committed").unlink()
                    (staged / "prepared").unlink()
                (staged / "prepared").write_text(parent or "")
                os.rename(staged, self._snapshots / id)
            except BaseException:
                with _opened(self._stage) as stage, contextlib.suppress(FileNotFoundError):
                    _delete(stage, id)
                raise
        if self.config.durability is Durability.FULL:
            self._sync()

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        durable = self.config.durability is not Durability.NONE
        if durable:
            self._sync()
        with _opened(self._snapshots / id) as subvolume:
            if _ioctl.has_subvolumes(subvolume):
                raise errors.UnsupportedError(
                    f"there are Btrfs subvolumes in the snapshot {id}, which a snapshot of it would leave out: "
                    "make them plain directories (btrfs subvolume list -o, cp --reflink, btrfs subvolume delete)"
                )
            marker = self._snapshots / id / "committed"
            marker.unlink(missing_ok=True)  # of a commit that was cut off
            marker.touch()
            _ioctl.set_readonly(subvolume, True)
        os.rename(self._snapshots / id, self._snapshots / new)
        if durable:
            self._sync()

    def remove(self, id: SnapshotId) -> None:
        with _opened(self._snapshots / id) as subvolume:
            # A read-only one cannot be moved to another directory, nor emptied.
            _ioctl.set_readonly(subvolume, False)
        os.rename(self._snapshots / id, self._trash / f"{id}-{os.urandom(4).hex()}")
        if self.config.durability is Durability.FULL:
            self._sync()

    def ids(self) -> Iterator[SnapshotId]:
        return (SnapshotId(name) for name in os.listdir(self._snapshots))

    def cleanup(self) -> None:
        with _locked(self._stage, fcntl.LOCK_EX):
            for name in os.listdir(self._stage):
                # Its maker is at work, or has just finished.
                with (
                    contextlib.suppress(BlockingIOError, FileNotFoundError),
                    _locked(self._stage / name, fcntl.LOCK_EX | fcntl.LOCK_NB),
                ):
                    os.rename(self._stage / name, self._trash / f"{name}-{os.urandom(4).hex()}")
        with _opened(self._trash) as trash:
            for name in os.listdir(trash):
                _delete(trash, name)

    def _sync(self) -> None:
        with _opened(self._snapshots) as directory:
            linux.syncfs(directory)

    # -- looking at one ------------------------------------------------------------------------------------------

    def tree(self, id: SnapshotId, *, readonly: bool) -> HostTree:
        if not readonly:
            with _opened(self._snapshots / id) as subvolume:
                if _ioctl.is_readonly(subvolume):  # a commit was cut off
                    _ioctl.set_readonly(subvolume, False)
        return HostTree(linux.clone_directory(self._snapshots / id / "tree", readonly=readonly), readonly=readonly)

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        return [Mount("bind", str(self._snapshots / id / "tree"), ("rbind", "ro" if readonly else "rw"))]

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        if Capability.OWNERSHIP not in self.capabilities:
            return super().writer(id, parent)
        return HostWriter(os.open(self._snapshots / id / "tree", os.O_PATH | os.O_DIRECTORY))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        writer = NamespaceWriter if partial else KeptWriter
        return writer(os.open(self._snapshots / id / "tree", os.O_PATH | os.O_DIRECTORY))

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
        return (self._snapshots / id / "prepared").stat().st_ctime_ns

    def usage(self, id: SnapshotId) -> Usage:
        parent = (self._snapshots / id / "prepared").read_text()
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
            committed = (self._snapshots / id / "committed").stat().st_ctime_ns
            with _opened(self._snapshots / id / "tree", os.O_PATH) as tree:
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


@contextlib.contextmanager
def _opened(directory: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(directory, flags | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: Path, how: int) -> Iterator[int]:
    with _opened(directory) as descriptor:
        fcntl.flock(descriptor, how)
        yield descriptor


def _make_neutral(directory: Path) -> None:
    """Take from a directory what the trees made in it would inherit from above: its group, a default ACL."""
    os.chown(directory, -1, os.getegid())
    directory.chmod(0o700)
    if _DEFAULT_ACL in os.listxattr(directory):
        os.removexattr(directory, _DEFAULT_ACL)


def _delete(directory: int, name: str) -> None:
    try:
        _ioctl.delete(directory, name)
    except FileNotFoundError:
        pass  # another process was faster
    except OSError:
        # Not ours to delete as a whole, or with subvolumes inside: an empty subvolume is removed as a directory is.
        linux.remove_tree(directory, name)
