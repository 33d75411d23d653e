"""A small persistent driver: every snapshot is a copy in a directory, made with the standard library alone."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from overlaykit.driver import Capability, Driver, DriverSpec, Probe, SnapshotId, Usage
from overlaykit.plugin import hookimpl
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.driver import DriverConfig
    from overlaykit.tree import Tree

__all__ = ["SPEC", "PlainDriver", "PlainPlugin", "probe"]


class PlainDriver(Driver):
    """``snapshots/ID`` is a snapshot; ``new`` and ``trash`` hold what is not there yet or no more."""

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = frozenset({Capability.PERSISTENT})
        assert config.root is not None
        self.root: Path = config.root
        for name in ("new", "snapshots", "trash"):
            (self.root / name).mkdir(exist_ok=True)

    def _at(self, id: SnapshotId) -> Path:
        return self.root / "snapshots" / id

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        new = self.root / "new" / id
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
        for name in ("new", "trash"):
            for entry in os.scandir(self.root / name):
                shutil.rmtree(entry.path, ignore_errors=True)


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
