"""What is special about the driver."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import overlaykit_fuse_overlayfs
import pytest
from overlaykit_fuse_overlayfs import FuseOverlayfsDriver, _probe, _tree, probe

from overlaykit import errors
from overlaykit.driver import DriverConfig, Durability, SnapshotId

pytestmark = pytest.mark.special

BASE, BOX, TOP = SnapshotId("base"), SnapshotId("box"), SnapshotId("top")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[FuseOverlayfsDriver]:
    with FuseOverlayfsDriver(DriverConfig(tmp_path, Durability.NONE)) as driver:
        yield driver


def _base(driver: FuseOverlayfsDriver, **files: bytes) -> None:
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        for name, content in files.items():
            tree.write_bytes(name, content)
        tree.seal()
    driver.commit(BOX, BASE)


def _programs(directory: Path) -> list[int]:
    """Return the processes that have been told of a directory, or work in it, and have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(directory) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():  # the test's own timeout ends it
        time.sleep(0.01)


def test_nobody_else_sees_a_mount(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    _base(driver, file=b"1")
    with driver.tree(BASE, readonly=True) as tree:
        assert tree.read_bytes("file") == b"1"
        assert not os.listdir(tmp_path / "point")
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_the_program_ends_with_the_last_that_is_open(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    tree = driver.tree(BOX, readonly=False)
    file = tree.open("file", "rb")
    tree.close()
    driver.close()
    assert file.read() == b"1"
    assert len(_programs(tmp_path)) == 1
    file.close()
    _wait(lambda: not _programs(tmp_path))


def test_nothing_is_left_of_a_killed_process(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    code = f"""
import os, signal
from pathlib import Path
from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit_fuse_overlayfs import FuseOverlayfsDriver
driver = FuseOverlayfsDriver(DriverConfig(Path({str(tmp_path)!r})))
tree = driver.tree(SnapshotId("box"), readonly=False)
tree.write_bytes("new", b"written")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == -signal.SIGKILL
    driver.close()  # the mounter that made the base, in this process, would be found too
    _wait(lambda: not _programs(tmp_path))
    with FuseOverlayfsDriver(driver.config) as again, again.tree(BOX, readonly=True) as tree:
        assert tree.read_bytes("new") == b"written"


def test_trees_of_one_snapshot_show_one_mount(driver: FuseOverlayfsDriver) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=True) as reader, driver.tree(BOX, readonly=False) as writer:
        assert reader.stat().st_dev == writer.stat().st_dev
        writer.write_bytes("file", b"2")
        assert reader.read_bytes("file") == b"2"


def test_another_program_finds_what_can_be_changed(driver: FuseOverlayfsDriver) -> None:
    """fuse-overlayfs makes empty files of FIFOs and sockets of a layer below, and parts the names of a file."""
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        tree.mkdir("d", 0o750)
        tree.write_bytes("d/one", b"1")
        tree.link("d/one", "two")
        tree.mknod("d/fifo", stat.S_IFIFO | 0o600)
        tree.mknod("d/socket", stat.S_IFSOCK | 0o600)
        tree.utime("d", ns=(5, 6))
        tree.seal()
    driver.commit(BOX, BASE)
    driver.prepare(BOX, BASE)
    assert list(driver.changes(BOX, BASE)) == []
    with driver.tree(BOX, readonly=False) as tree:
        assert (tree.stat("d").st_mode, tree.stat("d").st_mtime_ns) == (0o40750, 6)
        assert stat.S_ISSOCK(tree.lstat("d/socket").st_mode)
        path = tree.host_path
        for name in ("fifo", "socket"):
            os.chmod(f"{path}/d/{name}", 0o640)
        Path(path, "two").write_bytes(b"2")
        tree.seal()
    driver.commit(BOX, TOP)
    with driver.tree(TOP, readonly=True) as tree:
        assert (tree.lstat("d/fifo").st_mode, tree.lstat("d/socket").st_mode) == (0o10640, 0o140640)
        assert tree.read_bytes("d/one") == b"2"
        assert tree.stat("d/one").st_ino == tree.stat("two").st_ino


@pytest.mark.parametrize("change", ["unlink", "rename", "chmod"])
def test_a_socket_that_nobody_listed_is_found(driver: FuseOverlayfsDriver, change: str) -> None:
    """fuse-overlayfs takes it for a directory, and then for nothing."""
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        tree.mkdir("d")
        tree.mknod("d/socket", stat.S_IFSOCK | 0o600)
        tree.seal()
    driver.commit(BOX, BASE)
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree:
        if change == "unlink":
            tree.unlink("d/socket")
            assert tree.listdir("d") == []
        elif change == "rename":
            tree.rename("d/socket", "s")
            assert tree.lstat("s").st_mode == 0o140600
        else:
            tree.chmod("d/socket", 0o640)
            assert tree.lstat("d/socket").st_mode == 0o140640


def test_a_deleted_name_is_not_counted(driver: FuseOverlayfsDriver) -> None:
    """fuse-overlayfs may keep it elsewhere, as long as it knows of no other."""
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        tree.write_bytes("one", b"1")
        for name in ("two", "three"):
            tree.link("one", name)
        tree.seal()
    driver.commit(BOX, BASE)
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree, tree.open("two", "rb") as file:
        tree.unlink("two")
        assert file.read() == b"1"
        assert tree.stat("one").st_nlink == 2
        tree.unlink("one")
        assert tree.stat("three").st_nlink == 1


def test_what_a_rename_cannot_replace_is_there_afterwards(
    driver: FuseOverlayfsDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        tree.makedirs("d/e")
        tree.mkdir("empty", 0o750)
        tree.utime("empty", ns=(5, 6))
        tree.seal()
    driver.commit(BOX, BASE)
    driver.prepare(BOX, BASE)

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(_tree, "link_directory", fail)
    with driver.tree(BOX, readonly=False) as tree:
        with pytest.raises(OSError, match="full"):
            tree.rename("d", "empty")
        assert sorted(tree.listdir()) == ["d", "empty"]
        assert tree.listdir("d") == ["e"]
        assert (tree.stat("empty").st_mode, tree.stat("empty").st_mtime_ns) == (0o40750, 6)


def test_a_commit_that_was_cut_off_is_undone(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    driver.prepare(BOX, None)
    (tmp_path / "snapshots" / BOX / "committed").write_text(BASE)  # as far as commit() came
    with driver.tree(BOX, readonly=False) as tree:
        tree.write_bytes("file", b"1")
        tree.seal()
    driver.commit(BOX, BASE)
    with driver.tree(BASE, readonly=True) as tree, pytest.raises(OSError, match="Read-only"):
        Path(tree.host_path, "file").write_bytes(b"2")


def test_a_store_of_before_is_read(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    _base(driver, file=b"1")
    (tmp_path / "snapshots" / BASE / "committed").write_bytes(b"")
    (tmp_path / "snapshots" / BASE / "carry").unlink()
    with driver.tree(BASE, readonly=True) as tree:
        assert tree.read_bytes("file") == b"1"
        with pytest.raises(OSError, match="Read-only"):
            Path(tree.host_path, "file").write_bytes(b"2")
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree:
        assert tree.read_bytes("file") == b"1"


def test_what_the_program_says_is_the_error(driver: FuseOverlayfsDriver, tmp_path: Path) -> None:
    driver.prepare(BOX, None)
    (tmp_path / "snapshots" / BOX / "work").rmdir()
    (tmp_path / "snapshots" / BOX / "work").write_text("in the way")
    with pytest.raises(OSError, match="workdir"):
        driver.tree(BOX, readonly=False)
    (tmp_path / "snapshots" / BOX / "work").unlink()
    (tmp_path / "snapshots" / BOX / "work").mkdir()
    driver.tree(BOX, readonly=False).close()


def test_the_mounter_is_started_again_after_a_fork(driver: FuseOverlayfsDriver) -> None:
    _base(driver, file=b"1")
    driver.tree(BASE, readonly=True).close()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with driver.tree(BASE, readonly=True) as tree:
                code = 0 if tree.read_bytes("file") == b"1" else 2
            driver.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_probe_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe(tmp_path).usable
    assert not probe(None).usable
    monkeypatch.setattr(_probe, "_FUSE", str(tmp_path / "fuse"))
    assert "modprobe" in probe(tmp_path).fix
    with pytest.raises(errors.DriverUnavailableError, match="there is no"):
        FuseOverlayfsDriver(DriverConfig(tmp_path))
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe(tmp_path).reason == "the program fuse-overlayfs is not installed"


def test_listing_drivers_imports_none_of_it() -> None:
    code = """
import sys, overlaykit_fuse_overlayfs.plugin
print(sorted(name for name in sys.modules if name.startswith("overlaykit_fuse_overlayfs.")))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(overlaykit_fuse_overlayfs.__file__).parent.parent)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "['overlaykit_fuse_overlayfs._known', 'overlaykit_fuse_overlayfs.plugin']"
