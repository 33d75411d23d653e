"""What a container's mounts need in its tree: made before it starts, and gone without a trace when it has ended."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import threading

from ._config import MOUNT_POINTS
from ._values import BindMount, FileMount
from ._watched import Watched

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..tree import Tree
    from ._runner import RunningProcess
    from ._values import RunMount

__all__ = ["Stubs"]

_LINKS = 40
"""As many symbolic links as the kernel follows in one path."""


class Stubs:
    """Mount points that are missing in a tree, and directories that a container is to find.

    They go when the last one that runs in the tree has ended: to remove a directory takes away what others have mounted
    on it. The times of the directories that they were in are then what they were, unless somebody changed those.

    :param tree: where they are made; a read-only one is left alone.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._users = 0
        self._made: list[str] = []
        self._times: dict[str, tuple[os.stat_result, int]] = {}

    def enter(self, cwd: str, mounts: Sequence[RunMount], volumes: Iterable[str]) -> None:
        """Make what a container needs, which calls :meth:`leave` when it has ended.

        :param cwd: the working directory, which stays, as Docker has it.
        :param volumes: directories, which stay.
        """
        with self._lock:
            self._users += 1
            if self._tree.readonly:
                return
            try:
                self._enter(cwd, mounts, volumes)
            except BaseException:
                self._leave()
                raise

    def _enter(self, cwd: str, mounts: Sequence[RunMount], volumes: Iterable[str]) -> None:
        covered = [f"/{name}" for name in MOUNT_POINTS]
        for name in MOUNT_POINTS:
            self._make(f"/{name}", directory=True)
        for mount in mounts:
            target = posixpath.normpath("/" + mount.target.lstrip("/"))
            if not _below(target, covered):
                self._make(target, directory=_is_directory(mount))
            covered.append(target)
        for path in (cwd, *volumes):
            if not _below(path, covered) and path not in covered:
                self._tree.makedirs(path, 0o755, exist_ok=True)

    def _make(self, target: str, *, directory: bool) -> None:
        path = self._follow(target)
        if path is None:
            return
        missing: list[str] = []
        above = posixpath.dirname(path)
        while above != "/" and not self._tree.exists(above):
            missing.append(above)
            above = posixpath.dirname(above)
        before = self._times[above][0] if above in self._times else self._tree.stat(above)
        for one in reversed(missing):
            self._tree.mkdir(one, 0o755)
            self._made.append(one)
        if directory:
            self._tree.mkdir(path, 0o755)
        else:
            self._tree.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644).close()
        self._made.append(path)
        self._times[above] = before, self._tree.stat(above).st_mtime_ns

    def _follow(self, path: str) -> str | None:
        """Return the path that is missing: the last symbolic link of a chain that leads nowhere may say it."""
        for _ in range(_LINKS):
            try:
                status = self._tree.lstat(path)
            except FileNotFoundError:
                return path
            except NotADirectoryError:
                return None
            if not stat.S_ISLNK(status.st_mode):
                return None
            path = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), self._tree.readlink(path)))
        return None

    def leave(self) -> None:
        """Take away what was made and is still empty, when nobody else needs it."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        now = {}
        for path in self._times:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                now[path] = self._tree.stat(path)
        for path in reversed(self._made):
            # Whatever the container put into it, or in its place, is the container's.
            with contextlib.suppress(OSError):
                status = self._tree.lstat(path)
                if stat.S_ISDIR(status.st_mode):
                    self._tree.rmdir(path)
                elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
                    self._tree.unlink(path)
        for path, status in now.items():
            before, then = self._times[path]
            modified = before.st_mtime_ns if status.st_mtime_ns == then else status.st_mtime_ns
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._tree.utime(path, ns=(before.st_atime_ns, modified))
        self._made.clear()
        self._times.clear()

    @property
    def made(self) -> dict[str, Any]:
        """What is there for containers alone, for a JSON document: the paths, and the directories that these are in,
        with the modification times before and then.
        """
        with self._lock:
            return {
                "made": list(self._made),
                "times": {path: [before.st_mtime_ns, then] for path, (before, then) in self._times.items()},
            }

    def watch(self, running: RunningProcess) -> RunningProcess:
        """Return the process, at whose closing the mount points go."""
        return _Stubbed(running, self)


def _below(path: str, covered: Iterable[str]) -> bool:
    return any(path.startswith(f"{one.rstrip('/')}/") for one in covered)


def _is_directory(mount: RunMount) -> bool:
    if isinstance(mount, FileMount):
        return False
    if isinstance(mount, BindMount):
        status = os.fstat(mount.source) if isinstance(mount.source, int) else os.stat(mount.source)
        return stat.S_ISDIR(status.st_mode)
    return True


class _Stubbed(Watched):
    """A process of a container whose mount points go when it is closed."""

    def __init__(self, running: RunningProcess, stubs: Stubs) -> None:
        super().__init__(running)
        self._stubs = stubs
        self._closed = False

    def close(self) -> None:
        super().close()
        if not self._closed:
            self._closed = True
            self._stubs.leave()
