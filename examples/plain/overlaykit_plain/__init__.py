"""A driver in a page: every snapshot is a directory, and a new one is a copy of its parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from overlaykit import linux
from overlaykit.driver import Capability, Driver, DriverConfig, Durability, Probe, SnapshotId, Usage
from overlaykit.tree import HostTree, copy_tree

from .plugin import CAPABILITIES


def probe(place: Path | None) -> Probe:
    """Say whether the driver works at ``place``, and what it can do there."""
    if not linux.available():
        return Probe(False, "overlaykit has no native module here", "reinstall it on Linux with a C compiler")
    return Probe(True, "directories work everywhere", capabilities=_capabilities())


def _capabilities() -> frozenset[Capability]:
    for_root = {Capability.OWNERSHIP, Capability.DEVICE_NODES, Capability.TRUSTED_XATTRS}
    return CAPABILITIES if os.geteuid() == 0 else CAPABILITIES - for_root


class PlainDriver(Driver):
    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        assert config.root is not None  # the spec says needs_path
        self.capabilities = _capabilities()
        self._snapshots, self._staging, self._trash = (config.root / name for name in ("snapshots", "staging", "trash"))
        for directory in (self._snapshots, self._staging, self._trash):
            directory.mkdir(exist_ok=True)

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        staged = self._staging / id
        staged.mkdir()
        staged.chmod(0o755)
        descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # cleanup() leaves it alone while this process lives
        with HostTree(descriptor) as target:
            if parent is not None:
                with self.tree(parent, readonly=True) as source:
                    copy_tree(source, target)
            os.rename(staged, self._snapshots / id)

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        if self.config.durability is not Durability.NONE:
            with _opened(self._snapshots) as descriptor:
                linux.syncfs(descriptor)
        os.rename(self._snapshots / id, self._snapshots / new)

    def remove(self, id: SnapshotId) -> None:
        os.rename(self._snapshots / id, self._trash / id)

    def tree(self, id: SnapshotId, *, readonly: bool) -> HostTree:
        return HostTree(linux.clone_directory(self._snapshots / id, readonly=readonly), readonly=readonly)

    def usage(self, id: SnapshotId) -> Usage:
        with self.tree(id, readonly=True) as tree:
            used = linux.tree_usage(tree.fileno())
        return Usage(used.bytes, used.inodes)

    def ids(self) -> Iterator[SnapshotId]:
        return (SnapshotId(name) for name in os.listdir(self._snapshots))

    def cleanup(self) -> None:
        for directory in (self._trash, self._staging):
            with _opened(directory) as descriptor:
                for name in os.listdir(descriptor):
                    if directory == self._trash or _abandoned(directory / name):
                        linux.remove_tree(descriptor, name)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _abandoned(directory: Path) -> bool:
    try:
        with _opened(directory) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True
