"""What is special about the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import overlaykit_btrfs
import pytest
from overlaykit_btrfs import BtrfsDriver, _ioctl, probe

from overlaykit import errors, linux
from overlaykit.directories import open_directory
from overlaykit.driver import DriverConfig, Durability, SnapshotId

pytestmark = pytest.mark.special

BASE, BOX, TOP = SnapshotId("base"), SnapshotId("box"), SnapshotId("top")


@pytest.fixture
def root(btrfs: Path) -> Iterator[Path]:
    path = btrfs / f"store-{os.urandom(4).hex()}"
    path.mkdir()
    yield path
    with BtrfsDriver(DriverConfig(path)) as driver:
        for left in list(driver.ids()):
            driver.remove(left)
        driver.cleanup()
    for name in ("snapshots", "stage", "trash", ""):
        (path / name).rmdir()  # and nothing is left in it


@pytest.fixture
def driver(root: Path) -> Iterator[BtrfsDriver]:
    with BtrfsDriver(DriverConfig(root, Durability.NONE)) as driver:
        yield driver


def _commit(driver: BtrfsDriver, id: SnapshotId, new: SnapshotId, **files: bytes) -> None:
    with driver.tree(id, readonly=False) as tree:
        for name, content in files.items():
            tree.write_bytes(name, content)
        tree.seal()
    driver.commit(id, new)


def test_a_committed_snapshot_is_readonly_to_everybody(driver: BtrfsDriver, root: Path) -> None:
    driver.prepare(BOX, None)
    _commit(driver, BOX, BASE, file=b"1")
    with pytest.raises(OSError, match="Read-only"):
        (root / "snapshots" / BASE / "tree" / "file").write_bytes(b"2")


def _free(root: Path) -> int:
    with open_directory(root) as directory:
        linux.syncfs(directory)
        status = os.fstatvfs(directory)
    return status.f_bfree * status.f_frsize


def test_preparing_shares_all_blocks(driver: BtrfsDriver, root: Path) -> None:
    driver.prepare(BOX, None)
    _commit(driver, BOX, BASE, big=os.urandom(32 << 20))
    before = _free(root)
    for number in range(8):
        driver.prepare(SnapshotId(f"box{number}"), BASE)
    assert before - _free(root) < 8 << 20  # eight copies would take 256 MiB


def test_usage_is_what_the_snapshot_changed(driver: BtrfsDriver) -> None:
    driver.prepare(BOX, None)
    _commit(driver, BOX, BASE, big=bytes(range(256)) * 4096)
    driver.prepare(BOX, BASE)
    assert driver.usage(BOX).bytes == 0
    with driver.tree(BOX, readonly=False) as tree:
        tree.write_bytes("small", b"x" * 8192)
    assert driver.usage(BOX).bytes == 8192
    assert driver.usage(BASE).bytes >= 1 << 20


def test_subvolumes_inside_are_refused_at_the_commit(driver: BtrfsDriver, root: Path) -> None:
    driver.prepare(BOX, None)
    with open_directory(root / "snapshots" / BOX / "tree") as directory:
        _ioctl.create(directory, "inside")
    with pytest.raises(errors.UnsupportedError, match="subvolume"):
        driver.commit(BOX, BASE)
    assert list(driver.ids()) == [BOX]
    driver.remove(BOX)
    driver.cleanup()  # with another subvolume inside it is emptied entry by entry
    assert not os.listdir(root / "trash")


def test_a_commit_that_was_cut_off_is_undone(driver: BtrfsDriver, root: Path) -> None:
    driver.prepare(BOX, None)
    (root / "snapshots" / BOX / "committed").touch()
    with open_directory(root / "snapshots" / BOX) as subvolume:
        _ioctl.set_readonly(subvolume, True)  # as far as commit() came
    _commit(driver, BOX, BASE, file=b"1")
    driver.verify(BASE)
    with driver.tree(BASE, readonly=True) as tree:
        assert tree.read_bytes("file") == b"1"


@pytest.mark.parametrize("where", ["snapshot", "create"])
def test_a_process_killed_while_it_prepares_leaves_nothing(driver: BtrfsDriver, root: Path, where: str) -> None:
    driver.prepare(BOX, None)
    _commit(driver, BOX, BASE, file=b"1")
    code = f"""
import os, signal
from pathlib import Path
from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit_btrfs import BtrfsDriver, _ioctl
whole = _ioctl.{where}
def killed(*arguments):
    whole(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
_ioctl.{where} = killed
parent = None if {where!r} == "create" else SnapshotId("base")
BtrfsDriver(DriverConfig(Path({str(root)!r}))).prepare(SnapshotId("box"), parent)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == -9
    assert list(driver.ids()) == [BASE]
    assert os.listdir(root / "stage") == [BOX]
    driver.cleanup()
    assert not os.listdir(root / "stage")
    assert not os.listdir(root / "trash")
    driver.prepare(BOX, BASE)


def test_removed_at_once_only_with_the_privilege(
    driver: BtrfsDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, and users where it is mounted with user_subvol_rm_allowed, delete by one ioctl; others entry by entry."""
    calls = []
    monkeypatch.setattr(linux, "remove_tree", lambda directory, name: calls.append(name))
    driver.prepare(BOX, None)
    driver.remove(BOX)
    driver.cleanup()
    monkeypatch.undo()
    at_once = probe(root).details["removal"] == "one ioctl"
    assert bool(calls) is not at_once
    driver.cleanup()
    assert not os.listdir(root / "trash")


def test_probe_says_why_not(tmp_path: Path, btrfs: Path) -> None:
    assert probe(btrfs).usable
    assert not probe(None).usable
    found = probe(Path("/dev/shm"))
    assert (found.usable, found.reason) == (False, "/dev/shm is on tmpfs, not on Btrfs")
    assert "mkfs.btrfs" in found.fix
    with pytest.raises(errors.DriverUnavailableError, match="not on Btrfs"):
        BtrfsDriver(DriverConfig(Path("/dev/shm")))
    assert "No such file" in probe(tmp_path / "missing").reason


def test_listing_drivers_imports_none_of_it() -> None:
    code = """
import sys, overlaykit_btrfs.plugin
print([name for name in sys.modules if name.startswith("overlaykit_btrfs.")])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(overlaykit_btrfs.__file__).parent.parent)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "['overlaykit_btrfs.plugin']"
