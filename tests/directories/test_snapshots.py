"""Snapshots come and go whole: whoever is killed, whoever works at the same time, whatever the disk says."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testkit import syscalls
from testkit.crash import killed_at
from testkit.loops import MakeFilesystem, fill, need_root, need_tool
from testkit.rich import run_as_nobody

from overlaykit import errors, linux
from overlaykit.directories import SnapshotDirectories
from overlaykit.driver import DriverConfig, Durability, SnapshotId

pytestmark = pytest.mark.native

A, B, C, D = (SnapshotId(name) for name in "abcd")


def _open(root: Path, durability: Durability = Durability.NONE) -> SnapshotDirectories:
    return SnapshotDirectories(DriverConfig(root, durability))


def _make(directories: SnapshotDirectories, id: SnapshotId, files: int = 3) -> None:
    with directories.prepare(id) as path:
        for number in range(files):
            (path / str(number)).write_text(id)


def _fail(directories: SnapshotDirectories, id: SnapshotId) -> None:
    with directories.prepare(id) as path:
        (path / "closed").mkdir()
        (path / "closed" / "file").touch()
        (path / "closed").chmod(0)
        raise KeyboardInterrupt


def _files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def directories(tmp_path: Path) -> SnapshotDirectories:
    return _open(tmp_path)


def test_the_whole_story(directories: SnapshotDirectories, tmp_path: Path) -> None:
    with directories.prepare(A) as path:
        (path / "file").write_text("1")
        assert list(directories.ids()) == []
    assert list(directories.ids()) == [A]
    assert directories.path(A) == tmp_path / "snapshots" / "a"
    directories.commit(A, B)
    assert list(directories.ids()) == [B]
    assert (directories.path(B) / "file").read_text() == "1"
    directories.remove(B)
    assert list(directories.ids()) == []
    assert _files(tmp_path / "trash")
    directories.cleanup()
    assert _files(tmp_path) == ["snapshots", "stage", "trash"]
    assert [_files(path) for path in tmp_path.iterdir()] == [[], [], []]


@pytest.mark.parametrize("durability", list(Durability))
def test_what_fails_in_the_making_leaves_nothing(tmp_path: Path, durability: Durability) -> None:
    directories = _open(tmp_path, durability)
    with pytest.raises(KeyboardInterrupt):
        _fail(directories, A)
    assert list(directories.ids()) == []
    assert _files(tmp_path / "stage") == []


def test_what_is_missing_is_said_to_be(directories: SnapshotDirectories) -> None:
    with pytest.raises(FileNotFoundError):
        directories.commit(A, B)
    with pytest.raises(FileNotFoundError):
        directories.remove(A)
    assert list(directories.ids()) == []


def test_a_root_is_needed() -> None:
    with pytest.raises(errors.DriverUnavailableError, match="give the store a path") as caught:
        SnapshotDirectories(DriverConfig(None))
    assert (caught.value.reason, caught.value.fix) == ("no directory was given", "give the store a path")
    with pytest.raises(FileNotFoundError):
        _open(Path("/nowhere"))


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directories = _open(Path("."))
    monkeypatch.chdir("/")
    _make(directories, A)
    assert _files(tmp_path / "snapshots") == ["a"]


# -- made and deleted otherwise ----------------------------------------------------------------------------------------


def test_a_driver_makes_and_deletes_in_its_own_way(tmp_path: Path) -> None:
    calls: list[tuple[str, str]] = []

    def delete(directory: int, name: str) -> None:
        calls.append(("delete", os.readlink(f"/proc/self/fd/{directory}")))
        linux.remove_tree(directory, name)

    def make(directory: int, name: str) -> None:
        calls.append(("make", os.readlink(f"/proc/self/fd/{directory}")))
        os.mkdir(name, 0o711, dir_fd=directory)

    directories = SnapshotDirectories(DriverConfig(tmp_path), delete=delete)
    with directories.prepare(A, make=make) as path:
        (path / "inside").touch()
    assert directories.path(A).stat().st_mode & 0o777 == 0o711
    with pytest.raises(ZeroDivisionError), directories.prepare(B, make=make):
        raise ZeroDivisionError
    directories.remove(A)
    directories.cleanup()
    assert _files(tmp_path / "trash") == []
    stage, trash = str(tmp_path / "stage"), str(tmp_path / "trash")
    assert calls == [("make", stage), ("make", stage), ("delete", stage), ("delete", trash)]


def test_where_nothing_can_be_made_there_is_nothing(directories: SnapshotDirectories, tmp_path: Path) -> None:
    def make(directory: int, name: str) -> None:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), name)

    with pytest.raises(OSError, match="Inappropriate ioctl"), directories.prepare(A, make=make):
        pass
    assert _files(tmp_path / "stage") == []
    _make(directories, A)


# -- killed ------------------------------------------------------------------------------------------------------------

ACTIONS: dict[str, Callable[[SnapshotDirectories], object]] = {
    "prepare": lambda it: _make(it, D),
    "commit": lambda it: it.commit(A, D),
    "remove an active one": lambda it: it.remove(A),
    "remove a committed one": lambda it: it.remove(B),
    "cleanup": lambda it: it.cleanup(),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("durability", [Durability.NONE, Durability.FULL])
def test_killed_at_any_step_every_snapshot_is_whole_or_gone(
    tmp_path: Path, action: str, durability: Durability
) -> None:
    allowed = {
        "prepare": [{A, B}, {A, B, D}],
        "commit": [{A, B}, {B, D}],
        "remove an active one": [{A, B}, {B}],
        "remove a committed one": [{A, B}, {A}],
        "cleanup": [{A, B}],
    }[action]
    seen = set()
    for step in itertools.count(1):
        root = tmp_path / str(step)
        root.mkdir()
        before = _open(root)
        _make(before, A)
        _make(before, B)
        _make(before, C)
        before.remove(C)
        killed = killed_at(step, lambda root=root: ACTIONS[action](_open(root, durability)))
        after = _open(root)
        found = set(after.ids())
        assert found in allowed
        assert all(_files(after.path(each)) == ["0", "1", "2"] for each in found)
        seen.add(frozenset(found))
        after.cleanup()
        assert set(after.ids()) == found
        assert _files(root / "stage") == _files(root / "trash") == []
        if not killed:
            break
        if D not in found:
            _make(after, D)
    assert seen == set(map(frozenset, allowed))


def test_killed_at_any_step_of_opening_the_next_one_opens(tmp_path: Path) -> None:
    _open(tmp_path)
    for step in itertools.count(1):
        root = tmp_path / str(step)
        root.mkdir()
        killed = killed_at(step, lambda root=root: _open(root))
        _make(_open(root), A)
        assert {path.stat().st_mode & 0o777 for path in root.iterdir()} == {0o700}
        if not killed:
            break
    assert step > 9


# -- several at once ---------------------------------------------------------------------------------------------------

_MAKER = """
import sys
from pathlib import Path
from overlaykit.directories import SnapshotDirectories
from overlaykit.driver import DriverConfig, SnapshotId
with SnapshotDirectories(DriverConfig(Path(sys.argv[1]))).prepare(SnapshotId("a")) as path:
    (path / "file").write_text("1")
    print("made", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def _maker(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that is in the middle of making the snapshot ``a``."""
    with subprocess.Popen(
        [sys.executable, "-c", _MAKER, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "made\n"
            yield process
        finally:
            process.kill()


def test_a_cleanup_leaves_alone_what_another_process_makes(directories: SnapshotDirectories, tmp_path: Path) -> None:
    with _maker(tmp_path) as process:
        directories.cleanup()
        assert _files(tmp_path / "stage") == ["a"]
        process.communicate("go on\n")
        assert process.returncode == 0
    assert list(directories.ids()) == [A]
    assert (directories.path(A) / "file").read_text() == "1"


def test_what_a_dead_process_was_making_goes_at_the_next_cleanup(
    directories: SnapshotDirectories, tmp_path: Path
) -> None:
    with _maker(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(directories.ids()) == []
    directories.cleanup()
    assert _files(tmp_path / "stage") == _files(tmp_path / "trash") == []


def _work(root: Path, name: str) -> None:
    directories = _open(root)
    for number in range(40):
        active, committed = SnapshotId(f"{name}a{number}"), SnapshotId(f"{name}c{number}")
        _make(directories, active)
        directories.commit(active, committed)
        assert _files(directories.path(committed)) == ["0", "1", "2"]
        directories.remove(committed)
        directories.cleanup()


def test_several_processes_do_everything_at_once(directories: SnapshotDirectories, tmp_path: Path) -> None:
    children = []
    for name in ("p", "q", "r"):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _work(tmp_path, name)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    directories.cleanup()
    assert [_files(path) for path in tmp_path.iterdir()] == [[], [], []]


def test_several_threads_do_everything_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def run(name: str) -> None:
        try:
            _work(tmp_path, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "pqrs"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [_files(path) for path in tmp_path.iterdir()] == [[], [], []]


# -- what the storage says ---------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_behind_and_lets_remove(make_filesystem: MakeFilesystem) -> None:
    root = make_filesystem("tmpfs", size="2M")
    directories = _open(root, Durability.FULL)
    _make(directories, A)
    directories.commit(A, B)
    fill(root / "filler", free=64 << 10)
    free = os.statvfs(root).f_bfree
    with pytest.raises(OSError, match="No space left"), directories.prepare(C) as path:
        (path / "file").write_bytes(bytes(1 << 20))
    assert os.statvfs(root).f_bfree == free
    assert _files(root / "stage") == []
    fill(root / "rest", free=0)
    with pytest.raises(OSError, match="No space left"):
        _make(directories, C)
    directories.remove(B)
    directories.cleanup()
    assert list(directories.ids()) == []
    assert _files(root / "trash") == []


def test_what_cannot_be_deleted_keeps_nothing_else(
    directories: SnapshotDirectories, tmp_path: Path, mount_namespace: None
) -> None:
    for each in (A, B, C):
        _make(directories, each)
        directories.remove(each)
    (held,) = (tmp_path / "trash").glob("b-*")
    (held / "0").unlink()
    (held / "0").mkdir()
    syscalls.mount("none", str(held / "0"), "tmpfs")
    try:
        with pytest.raises(OSError, match="busy"):
            directories.cleanup()
        assert list((tmp_path / "trash").iterdir()) == [held]
    finally:
        subprocess.run([need_tool("umount"), held / "0"], check=True)
    directories.cleanup()
    assert _files(tmp_path / "trash") == []


@pytest.mark.parametrize("action", ["prepare", "commit", "remove an active one"])
def test_what_cannot_be_synced_has_not_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    directories = _open(tmp_path, Durability.FULL)
    _make(directories, A)

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            ACTIONS[action](directories)
    assert list(directories.ids()) == [A]
    assert _files(directories.path(A)) == ["0", "1", "2"]
    directories.cleanup()
    assert _files(tmp_path / "stage") == _files(tmp_path / "trash") == []
    directories.commit(A, B)


# -- power cuts --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _mounted(image: Path, kind: str) -> Iterator[Path]:
    point = image.with_suffix(".mounted")
    point.mkdir()
    subprocess.run([need_tool("mount"), "-t", kind, "-o", "loop", image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run([need_tool("umount"), point], check=True)
        point.rmdir()


_MKFS = {"ext4": (["-q", "-F"], "16M"), "xfs": (["-q"], "320M"), "btrfs": (["-q"], "128M")}


@pytest.mark.parametrize("kind", _MKFS)
@pytest.mark.parametrize(
    ("action", "durability", "expected"),
    [
        ("prepare", Durability.FULL, [A, B, D]),
        ("commit", Durability.FULL, [B, D]),
        ("commit", Durability.COMMIT, [B, D]),
        ("remove a committed one", Durability.FULL, [A]),
    ],
)
def test_what_has_returned_is_there_after_a_power_cut(
    mount_namespace: None, tmp_path: Path, kind: str, action: str, durability: Durability, expected: list[SnapshotId]
) -> None:
    """The disk as it is at that moment, by a copy of it: what the kernel still has in memory is lost."""
    options, size = _MKFS[kind]
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.touch()
    os.truncate(disk, int(size.removesuffix("M")) << 20)
    subprocess.run([need_tool(f"mkfs.{kind}"), *options, disk], check=True, capture_output=True)
    with _mounted(disk, kind) as root:
        (root / "driver").mkdir()
        directories = _open(root / "driver", durability)
        _make(directories, A)
        _make(directories, B)
        directories.sync()
        ACTIONS[action](directories)
        subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    with _mounted(copy, kind) as root:
        after = _open(root / "driver")
        assert sorted(after.ids()) == expected
        for each in expected:
            assert _files(after.path(each)) == ["0", "1", "2"]
            assert {path.read_text() for path in after.path(each).iterdir()} <= {"a", "b", "d"}


# -- privileges --------------------------------------------------------------------------------------------------------


def test_everything_works_without_privileges(reachable: Path) -> None:
    need_root()
    reachable.chmod(0o777)

    def action() -> None:
        root = reachable / "driver"
        root.mkdir()
        directories = _open(root, Durability.FULL)
        with directories.prepare(A) as path:
            (path / "closed").mkdir()
            (path / "closed" / "file").touch()
            (path / "closed").chmod(0)
        directories.commit(A, B)
        with pytest.raises(KeyboardInterrupt):
            _fail(directories, C)
        directories.remove(B)
        directories.cleanup()
        assert [_files(path) for path in root.iterdir()] == [[], [], []]

    run_as_nobody(action)
