"""The second version of control groups: what is made, what is written into it, and that it goes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from testkit.loops import need_root

from overlaykit import errors
from overlaykit.runtime import Limits, _cgroup2
from overlaykit.runtime._cgroup2 import UnifiedCgroup

LIMITS = Limits(memory=64 << 20, cpus=1.5, pids=30)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that looks like a tree of groups: each new one has the files that its parent hands on."""

    def fill(path: Path, controllers: list[str]) -> None:
        for name in ("cgroup.procs", "cgroup.subtree_control"):
            (path / name).write_text("")
        files = {"memory": ["memory.max", "memory.swap.max"], "cpu": ["cpu.max"], "pids": ["pids.max"]}
        for one in controllers:
            for name in files[one]:
                (path / name).write_text("max")

    def write(path: str, value: str) -> None:
        file = Path(path)
        if not file.exists():
            raise FileNotFoundError(path)
        file.write_text((file.read_text() + f" {value[1:]}") if value.startswith("+") else value)

    def make(path: str) -> None:
        if not os.path.isdir(path):
            os.mkdir(path)
            fill(Path(path), Path(path).parent.joinpath("cgroup.subtree_control").read_text().split())

    fill(tmp_path, [])
    monkeypatch.setattr(_cgroup2, "_make", make)
    monkeypatch.setattr(_cgroup2, "_write_file", write)
    return tmp_path


def test_limits_become_files(tree: Path) -> None:
    with UnifiedCgroup("one", LIMITS, root=str(tree)) as group:
        made = tree / "overlaykit" / "one"
        assert (made / "memory.max").read_text() == str(64 << 20)
        assert (made / "memory.swap.max").read_text() == str(64 << 20)
        assert (made / "cpu.max").read_text() == "150000 100000"
        assert (made / "pids.max").read_text() == "30"
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in group.descriptors] == [str(made / "cgroup.procs")]
    assert not group.descriptors


def test_a_controller_that_is_missing_is_told(tree: Path) -> None:
    (tree / "cgroup.subtree_control").unlink()
    with pytest.warns(RuntimeWarning, match="does not hold") as told, UnifiedCgroup("one", LIMITS, root=str(tree)):
        pass
    assert [str(one.message).split(" does not")[0] for one in told] == [
        "the limit of memory",
        "the limit of processors",
        "the limit of processes",
    ]


def test_a_limit_that_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = _cgroup2._write_file

    def refuse(path: str, value: str) -> None:
        if path.endswith("memory.max"):
            raise OSError(16, "Device or resource busy")
        write(path, value)

    monkeypatch.setattr(_cgroup2, "_write_file", refuse)
    with pytest.raises(errors.RunError, match=r"memory\.max"):
        UnifiedCgroup("one", LIMITS, root=str(tree))


def test_without_a_guard_it_says_so(tree: Path) -> None:
    """A directory that is no group takes none."""
    with UnifiedCgroup("one", Limits(), root=str(tree)) as group:
        assert len(group.descriptors) == 1
        assert not group.guards_devices


def _root() -> Path:
    need_root()
    roots = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    root = next((one for one in roots if (one / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.skip("no control groups of the second version here")
    return root


def test_the_kernel_guards_devices(tmp_path: Path) -> None:
    os.mknod(tmp_path / "disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
    os.mknod(tmp_path / "kmsg", 0o600 | stat.S_IFCHR, os.makedev(1, 11))
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.close(os.open(tmp_path / "kmsg", os.O_RDONLY))

    def look() -> str:
        said = ""
        for name, mode in (("disk", os.O_RDONLY), ("kmsg", os.O_RDONLY), ("null", os.O_RDWR), ("null", os.O_WRONLY)):
            try:
                os.close(os.open(tmp_path / name, mode))
                said += "1"
            except PermissionError:
                said += "0"
        os.mknod(tmp_path / "made", 0o600 | stat.S_IFBLK, os.makedev(254, 1))
        return said

    read, write = os.pipe()
    with UnifiedCgroup(f"test-{os.getpid()}", Limits(), root=str(_root())) as group:
        assert group.guards_devices
        child = os.fork()
        if child == 0:
            os.write(group.descriptors[0], b"0")
            os.write(write, look().encode())
            os._exit(0)
        os.close(write)
        with open(read) as said:
            assert said.read() == "0011"
        assert os.waitpid(child, 0)[1] == 0
    os.close(os.open(tmp_path / "kmsg", os.O_RDONLY))


def test_the_kernel_makes_and_removes_it() -> None:
    """On this machine's own tree, whatever controllers it has: those of the first version are not in it."""
    root = _root()
    there = (root / "cgroup.controllers").read_text().split()
    limits = Limits(pids=20)
    if "pids" in there:
        group = UnifiedCgroup(f"test-{os.getpid()}", limits, root=str(root))
    else:
        with pytest.warns(RuntimeWarning, match="does not hold"):
            group = UnifiedCgroup(f"test-{os.getpid()}", limits, root=str(root))
    made = root / "overlaykit" / f"test-{os.getpid()}"
    with group:
        child = os.fork()
        if child == 0:
            os.write(group.descriptors[0], b"0")
            os._exit(Path("/proc/self/cgroup").read_text().count(f"0::/overlaykit/{made.name}\n"))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert not made.exists()
