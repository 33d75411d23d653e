"""The driver."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.driver import Driver, DriverConfig, Durability, SnapshotId, Usage

from ._carry import carry, what_to_carry
from ._mounts import Mounter
from ._probe import probe
from ._tree import FuseTree
from ._upper import Upper

__all__ = ["FuseOverlayfsDriver"]

_MOST = 160
"""So many layers may lie below a snapshot."""


class FuseOverlayfsDriver(Driver):
    """Keeps each snapshot as an upper directory of fuse-overlayfs.

    ::

        snapshots/ID/fs       the upper directory: what the snapshot itself changed
        snapshots/ID/work     fuse-overlayfs's own
        snapshots/ID/committed    empty, of one that is
        snapshots/ID/chain    the ids of the layers below, uppermost first, one a line
        snapshots/ID/carry    of one that is committed: what those over it begin with, paths with a NUL behind each
        stage/ID              a snapshot in the making; its maker holds a lock on it
        trash/NAME            removed, to be deleted
        empty                 what a snapshot without a parent lies over
        point                 where mounts are made, in a namespace in which nobody looks

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
        root = config.root.absolute()
        self._snapshots, self._stage, self._trash, self._empty, self._point = (
            root / name for name in ("snapshots", "stage", "trash", "empty", "point")
        )
        for directory in (self._snapshots, self._stage, self._trash, self._empty, self._point):
            directory.mkdir(0o700, exist_ok=True)
        self._mounter = Mounter(self._snapshots, self._point)
        self._lock = threading.Lock()
        #: Held by trees while they copy something up.
        self.changing = threading.RLock()
        #: Of each snapshot that is shown: its mount, and how many trees are open.
        self._shown: dict[SnapshotId, tuple[int, int]] = {}

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        chain = [] if parent is None else [parent, *self._chain(parent)]
        if len(chain) > _MOST:
            raise errors.UnsupportedError(
                f"{len(chain)} layers are below the new snapshot, and fuse-overlayfs looks for every name in each: "
                f"at most {_MOST} are taken; copy the parent's tree into a new base layer, or use another driver"
            )
        staged = self._stage / id
        with contextlib.ExitStack() as stack:
            with _locked(self._stage, fcntl.LOCK_SH):
                staged.mkdir(0o700)
                stack.enter_context(_locked(staged, fcntl.LOCK_EX))
            try:
                (staged / "work").mkdir(0o700)
                (staged / "fs").mkdir(0o700)
                if parent is None:
                    (staged / "fs").chmod(0o755)
                else:
                    below = self._snapshots / parent
                    carry(below / "fs", staged / "fs", (below / "carry").read_bytes().split(b"\0")[:-1])
                (staged / "chain").write_text("".join(f"{below}\n" for below in chain))
                if self.config.durability is Durability.FULL:
                    self._sync()
                os.rename(staged, self._snapshots / id)
            except BaseException:
                with _opened(self._stage) as stage:
                    linux.remove_tree(stage, id)
                raise
        if self.config.durability is Durability.FULL:
            self._sync()

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        with self._lock:
            if id in self._shown:
                raise errors.LayerInUseError(f"a tree of snapshot {id} is open; close it first")
        directory = self._snapshots / id
        # A file that was deleted while it had further names is kept there until the program ends, which takes its time.
        with _opened(directory) as descriptor:
            linux.remove_tree(descriptor, "work")
        (directory / "work").mkdir(0o700)
        (directory / "carry").write_bytes(b"".join(path + b"\0" for path in what_to_carry(directory / "fs")))
        if self.config.durability is not Durability.NONE:
            self._sync()
        (directory / "committed").touch()
        os.rename(directory, self._snapshots / new)
        if self.config.durability is not Durability.NONE:
            self._sync()

    def remove(self, id: SnapshotId) -> None:
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
                linux.remove_tree(trash, name)

    def close(self) -> None:
        self._mounter.close()

    def _sync(self) -> None:
        with _opened(self._snapshots) as directory:
            linux.syncfs(directory)

    def _chain(self, id: SnapshotId) -> list[SnapshotId]:
        return [SnapshotId(line) for line in (self._snapshots / id / "chain").read_text().split()]

    # -- looking at one ------------------------------------------------------------------------------------------

    def tree(self, id: SnapshotId, *, readonly: bool) -> FuseTree:
        with self._lock:
            mount, users = self._shown.get(id, (-1, 0))
            if not users:
                mount = self._mount(id)
            self._shown[id] = mount, users + 1
        directory = self._snapshots / id
        try:
            with contextlib.ExitStack() as undo:
                upper = Upper(directory / "fs", directory / "work" / "work")
                undo.callback(upper.close)
                tree = FuseTree(os.dup(mount), self, id, upper, readonly=readonly)
                undo.pop_all()
                return tree
        except BaseException:
            self.let_go(id)
            raise

    def let_go(self, id: SnapshotId) -> None:
        """Count a tree closed, and end the mount with the last one; open files keep it."""
        with self._lock:
            mount, users = self._shown[id]
            if users > 1:
                self._shown[id] = mount, users - 1
            else:
                del self._shown[id]
                os.close(mount)

    def _mount(self, id: SnapshotId) -> int:
        lower = ":".join(f"{below}/fs" for below in self._chain(id)) or "../empty"
        # Without what the kernel would remember of attributes, which are at odds with what is below; without putting
        # off what is written, of which the times are set anew when it gets there; and without a count of links for each
        # directory, for which the whole directory is read again whenever it is looked up.
        options = f"lowerdir={lower},upperdir={id}/fs,workdir={id}/work,timeout=0,writeback=0,static_nlink"
        mount = self._mounter.mount(options)
        if (self._snapshots / id / "committed").exists():
            linux.set_readonly(mount)
        return mount

    def usage(self, id: SnapshotId) -> Usage:
        with _opened(self._snapshots / id / "fs", os.O_PATH) as upper:
            used = linux.tree_usage(upper)
        return Usage(used.bytes, used.inodes)


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
