"""The driver."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.directories import SnapshotDirectories, make_directory, open_directory
from overlaykit.driver import Driver, DriverConfig, SnapshotId, Usage

from ._carry import carry, what_to_carry
from ._mounts import Mounter
from ._probe import probe
from ._tree import FuseTree, Shown
from ._upper import Upper

__all__ = ["FuseOverlayfsDriver"]

_MOST = 160
"""So many layers may lie below a snapshot."""


class FuseOverlayfsDriver(Driver):
    """Keeps each snapshot as an upper directory of fuse-overlayfs.

    ::

        snapshots/ID/fs           the upper directory: what the snapshot itself changed
        snapshots/ID/work         fuse-overlayfs's own
        snapshots/ID/chain        the ids of the layers below, uppermost first, one a line
        snapshots/ID/carry        of a committed one: what those over it begin with, paths with a NUL behind each
        snapshots/ID/committed    the id that it was committed as; empty in stores of before, which have no carry
        empty                     what a snapshot without a parent lies over
        point                     where mounts are made, in a namespace in which nobody looks

    All trees of an active snapshot in a process show one mount, since two over one upper directory would not see each
    other's changes.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        assert config.root is not None  # the spec says needs_path
        found = config.probe or probe(config.root)
        if not found.usable:
            raise errors.DriverUnavailableError(
                f"the fuse-overlayfs driver does not work in {config.root}: {found.reason}; {found.fix}",
                reason=found.reason,
                fix=found.fix,
            )
        self.capabilities = found.capabilities
        self._directories = SnapshotDirectories(config)
        point = self._directories.root / "point"
        for directory in (self._directories.root / "empty", point):
            make_directory(directory)
        self._mounter = Mounter(self._directories.snapshots, point)
        self._lock = threading.Lock()
        self._shown: dict[SnapshotId, Shown] = {}

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        chain = [] if parent is None else [parent, *self._chain(parent)]
        if len(chain) > _MOST:
            raise errors.UnsupportedError(
                f"{len(chain)} layers are below the new snapshot, and fuse-overlayfs looks for every name in each: "
                f"at most {_MOST} are taken; copy the parent's tree into a new base layer, or use another driver"
            )
        with self._directories.prepare(id) as path:
            (path / "work").mkdir(0o700)
            (path / "fs").mkdir(0o700)
            if parent is None:
                (path / "fs").chmod(0o755)
            else:
                carry(self._path(parent) / "fs", path / "fs", self._carried(parent))
            (path / "chain").write_text("".join(f"{below}\n" for below in chain))

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        with self._lock:
            if id in self._shown:
                raise errors.LayerInUseError(f"a tree of snapshot {id} is open; close it first")
        directory = self._path(id)
        # A file that was deleted while it had further names is kept there until the program ends, which takes its time.
        with open_directory(directory) as descriptor:
            linux.remove_tree(descriptor, "work/work")
        (directory / "carry").write_bytes(b"".join(path + b"\0" for path in what_to_carry(directory / "fs")))
        note = directory / "committed.partial"
        note.write_text(new)
        note.rename(directory / "committed")
        self._directories.commit(id, new)

    def remove(self, id: SnapshotId) -> None:
        self._directories.remove(id)

    def ids(self) -> Iterator[SnapshotId]:
        return self._directories.ids()

    def cleanup(self) -> None:
        self._directories.cleanup()

    def close(self) -> None:
        self._mounter.close()

    def _path(self, id: SnapshotId) -> Path:
        return self._directories.path(id)

    def _committed(self, id: SnapshotId) -> bool:
        try:
            # Of a commit that was cut off it names another.
            return (self._path(id) / "committed").read_text() in (id, "")
        except FileNotFoundError:
            return False

    def _carried(self, id: SnapshotId) -> list[bytes]:
        try:
            return (self._path(id) / "carry").read_bytes().split(b"\0")[:-1]
        except FileNotFoundError:
            return what_to_carry(self._path(id) / "fs")

    def _chain(self, id: SnapshotId) -> list[SnapshotId]:
        return [SnapshotId(line) for line in (self._path(id) / "chain").read_text().split()]

    # -- looking at one ------------------------------------------------------------------------------------------

    def tree(self, id: SnapshotId, *, readonly: bool) -> FuseTree:
        with self._lock:
            shown = self._shown.get(id)
            if shown is None:
                shown = self._shown[id] = Shown(self._mount(id))
            shown.trees += 1
        directory = self._path(id)
        try:
            with contextlib.ExitStack() as undo:
                upper = Upper(directory / "fs", directory / "work" / "work")
                undo.callback(upper.close)
                tree = FuseTree(shown, self, id, upper, readonly=readonly)
                undo.pop_all()
                return tree
        except BaseException:
            self.let_go(id)
            raise

    def let_go(self, id: SnapshotId) -> None:
        """Count a tree closed, and end the mount with the last one; open files keep it."""
        with self._lock:
            shown = self._shown[id]
            shown.trees -= 1
            if not shown.trees:
                del self._shown[id]
                os.close(shown.mount)

    def _mount(self, id: SnapshotId) -> int:
        lower = ":".join(f"{below}/fs" for below in self._chain(id)) or "../empty"
        # Without what the kernel would remember of attributes, which are at odds with what is below; without putting
        # off what is written, of which the times are set anew when it gets there; and without a count of links for each
        # directory, for which the whole directory is read again whenever it is looked up.
        options = f"lowerdir={lower},upperdir={id}/fs,workdir={id}/work,timeout=0,writeback=0,static_nlink"
        mount = self._mounter.mount(options)
        if self._committed(id):
            linux.set_readonly(mount)
        return mount

    def usage(self, id: SnapshotId) -> Usage:
        with open_directory(self._path(id) / "fs", os.O_PATH) as upper:
            used = linux.tree_usage(upper)
        return Usage(used.bytes, used.inodes)
