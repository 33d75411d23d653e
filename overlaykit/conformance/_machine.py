"""Random operations on a driver and on the reference model, side by side."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ..driver import Aspect, ChangeKind
from ..tree import RenameFlag
from ._describe import portrait
from ._model import FIFO, Model, Record, model_changes
from ._rig import Rig
from ._workspace import workspace

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from ..driver import SnapshotId
    from ..tree import Tree
    from ._rig import Box
    from ._subject import Subject

__all__ = ["DriverMachine"]

_NAMES = st.sampled_from(["a", "b", "c"])
_RANDOM = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
# Numbers choose among what is there: blind paths would mostly miss.
_PATHS = st.one_of(st.integers(0, 99), st.tuples(st.integers(0, 99), _NAMES), _RANDOM)
_FOUND = st.one_of(st.integers(0, 99), st.integers(100, 199), _RANDOM)
_Path = int | tuple[int, str] | str
_TARGETS = st.sampled_from(["a", "b/a", "/a", "/c/b", "../b", "nowhere", "c", "."])
_DATA = st.sampled_from([b"", b"x", b"yy", b"12345", b"54321", b"z" * 5000])
# Owners may do anything to each of these, so that an unprivileged user meets no EACCES that root would not.
_MODES = st.sampled_from([0o700, 0o755, 0o711, 0o777, 0o1777])
_XATTRS = st.sampled_from(["user.a", "user.b"])
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: FIFO}


def _records(tree: Tree) -> dict[str, Record]:
    return {
        path: Record(
            _KINDS[node.format],
            node.mode,
            node.what,
            node.xattrs,
            min(node.links, key=lambda name: [os.fsencode(part) for part in name.split("/")]) if node.links else path,
        )
        for path, node in portrait(tree).items()
    }


def _umask() -> int:
    # There is no other way to ask in every system; nothing is made meanwhile.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class DriverMachine(RuleBasedStateMachine):
    """Containers over layers: each step happens to both, and both must say and show the same."""

    def __init__(self, subject: Subject, space: Path) -> None:
        super().__init__()
        self._space: contextlib.AbstractContextManager[Path] = workspace(space)
        self._rig = Rig(subject, self._space.__enter__())
        self._layers: list[tuple[SnapshotId, Model]] = []
        self._parent = Model(_umask())
        self._model = self._parent.copy()
        self._box: Box = self._rig.box()
        self._fill()
        self.commit()

    def _fill(self) -> None:
        # Something of everything to begin with: from nothing, random steps take long to come to anything.
        for path in ("b", "b/b", "b/b/a", "c"):
            self.mkdir(path)
        for path, data in (("a", b"12345"), ("b/a", b"x"), ("b/b/c", b"z" * 5000), ("c/c", b"54321")):
            self.write(path, data)
        self.link("a", "b/c")
        self.symlink("b/a", "c/a")
        self.mkfifo("c/b")
        self.setxattr("b/a", "user.a", b"1")

    def teardown(self) -> None:
        """Look at every layer once more, remove all, and look at what is left."""
        try:
            for id, model in self._layers:
                assert _records(self._rig.view(id)) == model.records(), "a committed layer changed"
            self._rig.finish()
            self._rig.close()
        finally:
            self._rig.close_trees()
            self._rig.driver.close()
            self._space.__exit__(None, None, None)

    def _both(self, on_tree: Callable[[Tree], object], on_model: Callable[[Model], object]) -> None:
        outcomes: list[object] = []
        steps: list[Callable[[], object]] = [lambda: on_tree(self._box.tree), lambda: on_model(self._model)]
        for step in steps:
            try:
                outcomes.append(step())
            except OSError as error:
                outcomes.append(errno.errorcode.get(error.errno or 0))
        tree, model = outcomes
        assert tree == model, f"the driver gives {tree!r}, the model {model!r}"
        assert _records(self._box.tree) == self._model.records()

    def _path(self, choice: _Path) -> str:
        """Return the path that a choice stands for: one that exists, a name in a directory that does, or any."""
        if isinstance(choice, str):
            return choice
        records = self._model.records()
        if isinstance(choice, int):
            paths = sorted(records.keys() - {"."})
            return paths[choice % len(paths)] if paths else "a"
        directories = sorted(path for path, record in records.items() if record.kind == "directory")
        return f"{directories[choice[0] % len(directories)]}/{choice[1]}".removeprefix("./")

    # -- files ---------------------------------------------------------------------------------------------------

    @rule(path=_PATHS, data=_DATA)
    def write(self, path: _Path, data: bytes) -> None:
        """Write a file anew."""
        name = self._path(path)
        if self._model.kind(name) != FIFO:
            self._both(lambda t: _none(t.write_bytes(name, data)), lambda m: m.write(name, data))

    @rule(path=_FOUND, data=_DATA)
    def append(self, path: _Path, data: bytes) -> None:
        """Append to a file."""
        name = self._path(path)
        if self._model.kind(name) != FIFO:
            self._both(lambda t: _append(t, name, data), lambda m: m.write(name, data, append=True))

    @rule(path=_PATHS)
    def create(self, path: _Path) -> None:
        """Make a file that must not exist."""
        name = self._path(path)
        self._both(lambda t: t.open(name, "xb").close(), lambda m: m.write(name, b"", exclusive=True))

    @rule(path=_FOUND)
    def read(self, path: _Path) -> None:
        """Read a file."""
        name = self._path(path)
        if self._model.kind(name) != FIFO:
            self._both(lambda t: t.read_bytes(name), lambda m: m.read(name))

    @rule(path=_FOUND, length=st.sampled_from([0, 1, 3, 6000]))
    def truncate(self, path: _Path, length: int) -> None:
        """Cut or extend a file."""
        name = self._path(path)
        self._both(lambda t: t.truncate(name, length), lambda m: m.truncate(name, length))

    @rule(path=_FOUND)
    def unlink(self, path: _Path) -> None:
        """Delete a name."""
        name = self._path(path)
        self._both(lambda t: t.unlink(name), lambda m: m.unlink(name))

    @rule(source=_FOUND, path=_PATHS)
    def link(self, source: _Path, path: _Path) -> None:
        """Add a name."""
        old = self._path(source)
        name = self._path(path)
        self._both(lambda t: t.link(old, name), lambda m: m.link(old, name))

    @rule(to=_TARGETS, path=_PATHS)
    def symlink(self, to: str, path: _Path) -> None:
        """Make a symbolic link."""
        name = self._path(path)
        self._both(lambda t: t.symlink(to, name), lambda m: m.symlink(to, name))

    @rule(path=_PATHS)
    def mkfifo(self, path: _Path) -> None:
        """Make a FIFO."""
        name = self._path(path)
        self._both(lambda t: t.mknod(name, stat.S_IFIFO | 0o644), lambda m: m.mkfifo(name))

    # -- directories ---------------------------------------------------------------------------------------------

    @rule(path=_PATHS)
    def mkdir(self, path: _Path) -> None:
        """Make a directory."""
        name = self._path(path)
        self._both(lambda t: t.mkdir(name), lambda m: m.mkdir(name))

    @rule(path=_FOUND)
    def rmdir(self, path: _Path) -> None:
        """Remove an empty directory."""
        name = self._path(path)
        self._both(lambda t: t.rmdir(name), lambda m: m.rmdir(name))

    @rule(path=_FOUND)
    def rmtree(self, path: _Path) -> None:
        """Remove a directory with all below it."""
        name = self._path(path)
        self._both(lambda t: t.rmtree(name), lambda m: m.rmtree(name))

    @rule(source=_FOUND, to=_PATHS, flags=st.sampled_from([RenameFlag.NONE, RenameFlag.NONE, RenameFlag.NOREPLACE]))
    def rename(self, source: _Path, to: _Path, flags: RenameFlag) -> None:
        """Rename anything."""
        old = self._path(source)
        new = self._path(to)
        self._both(lambda t: t.rename(old, new, flags=flags), lambda m: m.rename(old, new, flags))

    # -- attributes ----------------------------------------------------------------------------------------------

    @rule(path=_FOUND, mode=_MODES)
    def chmod(self, path: _Path, mode: int) -> None:
        """Change a mode."""
        name = self._path(path)
        self._both(lambda t: t.chmod(name, mode), lambda m: m.chmod(name, mode))

    @rule(path=_FOUND, name=_XATTRS, value=st.sampled_from([b"", b"1", b"2"]))
    def setxattr(self, path: _Path, name: str, value: bytes) -> None:
        """Set an xattr."""
        file = self._path(path)
        self._both(lambda t: t.setxattr(file, name, value), lambda m: m.setxattr(file, name, value))

    @rule(path=_FOUND, name=_XATTRS)
    def removexattr(self, path: _Path, name: str) -> None:
        """Remove an xattr."""
        file = self._path(path)
        self._both(lambda t: t.removexattr(file, name), lambda m: m.removexattr(file, name))

    @rule(path=_FOUND, moment=st.sampled_from([1, 10**18]))
    def utime(self, path: _Path, moment: int) -> None:
        """Set times, which the model does not have: the path must exist all the same."""
        name = self._path(path)
        self._both(lambda t: t.utime(name, ns=(moment, moment)), lambda m: m.chmod(name, m._find(name).mode))

    # -- snapshots -----------------------------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        """Close the tree and open it again."""
        self._box.reopen()
        assert _records(self._box.tree) == self._model.records()

    @rule()
    def changes(self) -> None:
        """Compare with the parent."""
        found = [
            (change.kind, change.path, change.aspects & ~Aspect.MTIME)
            for change in self._rig.changes_list(self._box.id, self._box.parent)
        ]
        found = [change for change in found if change[0] is not ChangeKind.MODIFIED or change[2]]
        assert found == model_changes(self._parent.records(), self._model.records())

    @rule()
    def commit(self) -> None:
        """Commit and go on in a container over the result."""
        self.changes()
        id = self._box.commit()
        assert _records(self._rig.view(id)) == self._model.records()
        self._layers.append((id, self._model.copy()))
        self._continue(len(self._layers) - 1)

    @precondition(lambda self: self._layers)
    @rule(number=st.integers(0, 30))
    def fork(self, number: int) -> None:
        """Throw the container away and go on over any layer."""
        self._box.remove()
        self._continue(number % len(self._layers))

    def _continue(self, number: int) -> None:
        id, model = self._layers[number]
        self._parent = model
        self._model = model.copy()
        self._box = self._rig.box(id)
        assert _records(self._box.tree) == self._model.records()


def _none(result: object) -> None:
    """Turn a result that the model does not give into none."""


def _append(tree: Tree, path: str, data: bytes) -> None:
    with tree.open(path, "ab") as file:
        file.write(data)
