"""Directories to hold trees in, and tests that run a second time as a user without privileges."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from overlaykit_memory import MemoryDriver

from overlaykit import linux
from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit.tree import HostTree, Tree

NOBODY = 65534
IDENTITIES = ["caller", "nobody"] if os.geteuid() == 0 else ["caller"]


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _in_child(function: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        _become_nobody()
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that asks to be ``nobody`` in a child process that is; its fixtures were made here."""
    if pyfuncitem.funcargs.get("identity") != "nobody":
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    child = os.fork()
    if child == 0:
        _in_child(lambda: pyfuncitem.obj(**arguments))
    _, status = os.waitpid(child, 0)
    if status:
        pytest.fail("failed as nobody; what it said is captured below", pytrace=False)
    return True


@pytest.fixture(params=IDENTITIES)
def identity(request: pytest.FixtureRequest) -> str:
    """Who runs the test."""
    return str(request.param)


@pytest.fixture(params=["disk", "shm"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on the disk, and one in memory."""
    path = Path(tempfile.mkdtemp(prefix="tree-", dir=tmp_path if request.param == "disk" else "/dev/shm"))
    yield path
    # Not by shutil, for which some trees here are too deep.
    above = os.open(path.parent, os.O_RDONLY)
    linux.remove_tree(above, path.name)
    os.close(above)


@pytest.fixture
def directory(base: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The root directory of a tree, a secret beside it that the tree must never reach."""
    path = base / "root"
    path.mkdir()
    (base / "secret").write_text("secret")
    if "identity" in request.fixturenames and request.getfixturevalue("identity") == "nobody":
        os.chown(path, NOBODY, NOBODY)
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    # By its descriptor, for a user who may not walk to it.
    yield Path(f"/proc/self/fd/{fd}")
    os.close(fd)


@pytest.fixture
def tree(directory: Path) -> Iterator[HostTree]:
    """A tree of the host."""
    with HostTree(os.open(directory, os.O_RDONLY | os.O_DIRECTORY)) as tree:
        yield tree


@pytest.fixture
def memory() -> Iterator[MemoryDriver]:
    """A driver that needs nothing of the machine."""
    with MemoryDriver(DriverConfig(root=None)) as driver:
        yield driver


@pytest.fixture
def new_memory_tree(memory: MemoryDriver) -> Iterator[Callable[[], Tree]]:
    """Make empty trees in memory."""
    made: list[Tree] = []

    def new() -> Tree:
        name = SnapshotId(f"t{len(made)}")
        memory.prepare(name, None)
        made.append(memory.tree(name, readonly=False))
        return made[-1]

    yield new
    for tree in made:
        tree.close()


@pytest.fixture
def new_host_tree(tmp_path: Path) -> Iterator[Callable[[], Tree]]:
    """Make empty trees on the disk."""
    made: list[Tree] = []

    def new() -> Tree:
        path = tmp_path / f"tree{len(made)}"
        path.mkdir()
        path.chmod(0o755)
        made.append(HostTree(os.open(path, os.O_RDONLY | os.O_DIRECTORY)))
        return made[-1]

    yield new
    for tree in made:
        tree.close()


@pytest.fixture(params=[pytest.param("host", marks=pytest.mark.native), "memory"])
def new_tree(request: pytest.FixtureRequest) -> Callable[[], Tree]:
    """Make empty trees, of either kind."""
    made: Callable[[], Tree] = request.getfixturevalue(f"new_{request.param}_tree")
    return made
