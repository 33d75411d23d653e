"""A small persistent driver: every snapshot is a copy in a directory, made with the standard library alone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit.driver import Capability, Driver, DriverSpec, Probe, SnapshotId, Usage
from overlaykit.plugin import hookimpl
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.driver import DriverConfig
    from overlaykit.tree import Tree

__all__ = ["SPEC", "PlainDriver", "PlainPlugin", "probe"]


class PlainDriver(Driver):
    """``snapshots/ID`` is a snapshot; ``new`` and ``trash`` hold what is not there yet or no more.

    Each object has a directory in ``new`` that it keeps locked, so that the next one can tell whose is left over.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = frozenset({Capability.PERSISTENT})
        assert config.root is not None
        self.root: Path = config.root
        for name in ("new", "snapshots", "trash"):
            (self.root / name).mkdir(exist_ok=True)
        self.lock = -1
        while self.lock < 0:
            self.own = Path(tempfile.mkdtemp(dir=self.root / "new"))
            self.lock = _lock(self.own)

    def _at(self, id: SnapshotId) -> Path:
        return self.root / "snapshots" / id

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        new = self.own / id
        if parent is None:
            new.mkdir(0o755)
            new.chmod(0o755)
        else:
            shutil.copytree(self._at(parent), new, symlinks=True)
        new.rename(self._at(id))

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        self._at(id).rename(self._at(new))

    def remove(self, id: SnapshotId) -> None:
        self._at(id).rename(self.root / "trash" / id)

    def tree(self, id: SnapshotId, *, readonly: bool) -> Tree:
        return HostTree(os.open(self._at(id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), readonly=readonly)

    def usage(self, id: SnapshotId) -> Usage:
        sizes = {}
        for place, directories, files in os.walk(self._at(id)):
            for name in (".", *directories, *files):
                found = os.lstat(os.path.join(place, name))
                sizes[found.st_ino] = found.st_blocks * 512
        return Usage(sum(sizes.values()), len(sizes))

    def ids(self) -> Iterator[SnapshotId]:
        for name in os.listdir(self.root / "snapshots"):
            yield SnapshotId(name)

    def cleanup(self) -> None:
        for trash in (self.root / "trash").iterdir():
            shutil.rmtree(trash, ignore_errors=True)
        for left in (self.root / "new").iterdir():
            lock = _lock(left)
            if lock >= 0:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)

    def close(self) -> None:
        if self.lock >= 0:
            shutil.rmtree(self.own, ignore_errors=True)
            os.close(self.lock)
            self.lock = -1


def _lock(path: Path) -> int:
    """Lock a directory; return -1 where another one has it, or where it is gone."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(path)
    except (BlockingIOError, FileNotFoundError):
        os.close(lock)
        return -1
    return lock


def probe(root: Path | None) -> Probe:
    """Works everywhere."""
    return Probe(True, "copies with the standard library", capabilities=frozenset({Capability.PERSISTENT}))


SPEC = DriverSpec(
    "plain",
    "testkit.plain:PlainDriver",
    "testkit.plain:probe",
    priority=-1,
    capabilities=frozenset({Capability.PERSISTENT}),
    options={"mood": "does nothing"},
    summary="for tests",
)


class PlainPlugin:
    """Registers it."""

    @hookimpl
    def overlaykit_register_drivers(self) -> list[DriverSpec]:
        """Return it."""
        return [SPEC]
