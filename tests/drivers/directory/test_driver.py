"""The directory driver: life of a snapshot, protection, usage, verification, crashes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from overlaykit_directory import DirectoryDriver
from overlaykit_directory._records import read_inodes, read_prepared
from testkit.loops import MakeFilesystem, need_root
from testkit.rich import digest, fill, run_as_nobody
from testkit.unprivileged import NOBODY

from overlaykit import errors, linux
from overlaykit.driver import Aspect, Capability, Change, ChangeKind, DriverConfig, Durability, SnapshotId

pytestmark = pytest.mark.native

MakeDriver = Callable[..., DirectoryDriver]
A, B, C, D = (SnapshotId(name) for name in "abcd")


def base(driver: DirectoryDriver, id: SnapshotId = B) -> None:
    """Commit a small base layer."""
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        tree.makedirs("etc/deep")
        tree.write_text("etc/motd", "hello")
        tree.write_text("etc/deep/file", "deep")
        tree.link("etc/motd", "etc/deep/hard")
        tree.symlink("etc/motd", "link")
    driver.commit(A, id)


def test_an_empty_snapshot_is_one_directory_of_the_callers(driver: DirectoryDriver) -> None:
    before = os.umask(0o077)
    try:
        driver.prepare(A, None)
    finally:
        os.umask(before)
    with driver.tree(A, readonly=True) as tree:
        status = tree.stat()
        assert stat.S_IMODE(status.st_mode) == 0o755
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
        assert tree.listdir() == []
        assert tree.listxattr() == []
    assert driver.usage(A).inodes == 1


def test_the_whole_story(driver: DirectoryDriver) -> None:
    base(driver)
    assert set(driver.ids()) == {B}
    driver.prepare(C, B)
    with driver.tree(C, readonly=False) as tree, driver.tree(C, readonly=True) as view:
        assert tree.read_text("etc/motd") == "hello"
        tree.write_text("etc/motd", "HELLO")
        assert view.read_text("etc/deep/hard") == "HELLO"
        tree.unlink("link")
        tree.mkdir("new")
    assert list(driver.changes(C, B)) == [
        Change(ChangeKind.MODIFIED, ".", Aspect.MTIME),
        Change(ChangeKind.MODIFIED, "etc/deep/hard", Aspect.CONTENT | Aspect.MTIME),
        Change(ChangeKind.MODIFIED, "etc/motd", Aspect.CONTENT | Aspect.MTIME),
        Change(ChangeKind.DELETED, "link"),
        Change(ChangeKind.ADDED, "new"),
    ]
    with driver.tree(B, readonly=True) as below:
        assert below.read_text("etc/motd") == "hello"
    driver.commit(C, D)
    assert set(driver.ids()) == {B, D}
    assert [change.path for change in driver.changes(D, B)] == [".", "etc/deep/hard", "etc/motd", "link", "new"]
    driver.remove(D)
    driver.remove(B)
    assert set(driver.ids()) == set()
    driver.cleanup()
    assert os.listdir(driver.config.root / "trash") == []


def test_a_prepared_tree_is_its_parent_in_everything(driver: DirectoryDriver, place: Path) -> None:
    driver.prepare(A, None)
    tree = place / "driver/snapshots/a/tree"
    fill(tree)
    before = digest(tree)
    driver.commit(A, B)
    driver.prepare(C, B)
    assert digest(place / "driver/snapshots/c/tree") == before
    assert digest(place / "driver/snapshots/b/tree") == before
    assert list(driver.changes(C, B)) == []
    driver.verify(B)


def test_a_same_size_edit_right_after_preparing_is_found(driver: DirectoryDriver) -> None:
    """However short the time: change times have ticks of milliseconds."""
    base(driver)
    for number in range(20):
        edited = SnapshotId(f"s{number}")
        driver.prepare(edited, B)
        with driver.tree(edited, readonly=False) as tree:
            status = tree.stat("etc/deep/file")
            tree.write_text("etc/deep/file", "DEEP")
            tree.utime("etc/deep/file", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert list(driver.changes(edited, B)) == [Change(ChangeKind.MODIFIED, "etc/deep/file", Aspect.CONTENT)]


def test_unchanged_files_are_not_read(driver: DirectoryDriver, place: Path) -> None:
    """The proof by change times works: of what was not touched, nothing but a few late files is looked at."""
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        for number in range(2000):
            tree.write_text(f"file-{number}", "x")
    driver.commit(A, B)
    driver.prepare(C, B)
    prepared = read_prepared(driver._directories.path(C))
    with driver.tree(B, readonly=True) as before, driver.tree(C, readonly=True) as after:
        inodes = read_inodes(driver._directories.path(C), prepared)
        descriptors = before.fileno(), after.fileno()
        looked_at = list(linux.differ(*descriptors, begun=prepared.begun, done=prepared.done, inodes=inodes))
        everything = list(linux.differ(*descriptors, begun=0, done=0, inodes=inodes))
    assert len(everything) == 2000
    # What was copied in the tick of the clock in which preparing ended proves nothing.
    assert len(looked_at) < 1000


def test_views_and_committed_snapshots_are_read_only(driver: DirectoryDriver) -> None:
    base(driver)
    with pytest.raises(errors.ReadOnlyError):
        driver.tree(B, readonly=False)
    with driver.tree(B, readonly=True) as tree:
        with pytest.raises(OSError, match="Read-only") as caught:
            tree.write_text("etc/motd", "x")
        assert caught.value.errno == errno.EROFS
        # By the kernel's word, not only by the tree's.
        with pytest.raises(OSError, match="Read-only"):
            Path(tree.host_path, "etc/motd").write_text("x")
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir(f"{tree.host_path}/new")


def test_sealing_is_refused_while_a_file_is_open_for_writing(driver: DirectoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        with tree.open("file", "w") as file:
            file.write("x")
            with pytest.raises(errors.LayerInUseError):
                tree.seal()
        tree.seal()
        with pytest.raises(OSError, match="Read-only"):
            Path(tree.host_path, "late").write_text("x")
    driver.commit(A, B)


def test_without_mounts_of_their_own_trees_are_plain_directories(driver: DirectoryDriver) -> None:
    base(driver)
    driver._clones = False
    with driver.tree(B, readonly=True) as tree, pytest.raises(OSError, match="Read-only") as caught:
        tree.write_text("etc/motd", "x")
    assert caught.value.errno == errno.EROFS
    driver.prepare(C, B)
    with driver.tree(C, readonly=False) as tree:
        tree.write_text("etc/motd", "y")
        tree.seal()
        with pytest.raises(OSError, match="Read-only"):
            tree.write_text("etc/motd", "z")
    driver.commit(C, D)


def test_usage_is_the_whole_tree(driver: DirectoryDriver) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        tree.write_bytes("file", b"x" * 1_000_000)
        tree.link("file", "again")
    active = driver.usage(A)
    assert active.inodes == 2
    driver.commit(A, B)
    assert driver.usage(B).inodes == 2
    assert 1_000_000 <= driver.usage(B).bytes < 3_000_000


def test_mounts_name_the_directory(driver: DirectoryDriver, place: Path) -> None:
    base(driver)
    (mount,) = driver.mounts(B, readonly=True)
    assert (mount.type, mount.source, mount.options) == (
        "bind",
        str(place / "driver/snapshots/b/tree"),
        ("rbind", "ro"),
    )
    assert driver.mounts(B, readonly=True) == driver.mounts(B, readonly=True)
    assert (Path(mount.source) / "etc/motd").read_text() == "hello"


@pytest.mark.parametrize("durability", list(Durability))
def test_every_durability(make_driver: MakeDriver, durability: Durability) -> None:
    driver = make_driver(durability)
    base(driver)
    driver.prepare(C, B)
    driver.commit(C, D)
    driver.remove(D)
    driver.verify(B)
    again = make_driver(durability)
    assert set(again.ids()) == {B}
    with again.tree(B, readonly=True) as tree:
        assert tree.read_text("etc/deep/hard") == "hello"


DAMAGES: dict[str, Callable[[Path], None]] = {
    "content": lambda root: _edit_in_secret(root / "etc/motd"),
    "mode": lambda root: (root / "etc/motd").chmod(0o600),
    "added": lambda root: (root / "etc/new").touch(),
    "removed": lambda root: (root / "etc/deep/file").unlink(),
    "renamed": lambda root: (root / "etc/deep/file").rename(root / "etc/deep/else"),
    "linked": lambda root: _link_outside(root),
    "xattr": lambda root: os.setxattr(root / "etc/motd", "user.x", b"1"),
    "root": lambda root: root.chmod(0o700),
    "mtime": lambda root: os.utime(root / "etc/deep", ns=(1, 1)),
}


def _edit_in_secret(path: Path) -> None:
    status = path.stat()
    path.write_text("HELLO")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link_outside(root: Path) -> None:
    # Out of a Btrfs subvolume there are no links.
    outside = root.parent if root.parent.stat().st_dev == root.stat().st_dev else root
    os.link(root / "etc/deep/file", outside / "outside")


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_changed_from_outside_is_found(driver: DirectoryDriver, place: Path, damage: str) -> None:
    base(driver)
    driver.verify(B)
    DAMAGES[damage](place / "driver/snapshots/b/tree")
    with pytest.raises(errors.SnapshotDamagedError):
        driver.verify(B)


def test_the_damaged_path_is_named(driver: DirectoryDriver, place: Path) -> None:
    base(driver)
    _edit_in_secret(place / "driver/snapshots/b/tree/etc/deep/file")
    with pytest.raises(errors.SnapshotDamagedError, match=r"etc/deep/file"):
        driver.verify(B)


def test_reading_and_preparing_change_nothing_that_is_verified(driver: DirectoryDriver) -> None:
    base(driver)
    with driver.tree(B, readonly=True) as tree:
        assert tree.read_text("link") == "hello"
    for number in range(3):
        driver.prepare(SnapshotId(f"s{number}"), B)
    driver.verify(B)


def test_a_copied_store_still_verifies(driver: DirectoryDriver, place: Path) -> None:
    base(driver)
    subprocess.run(["cp", "-a", place / "driver", place / "copied"], check=True)
    copied = DirectoryDriver(DriverConfig(place / "copied"))
    copied.verify(B)
    (place / "copied/snapshots/b/tree/etc/motd").chmod(0o600)
    with pytest.raises(errors.SnapshotDamagedError):
        copied.verify(B)


def test_changes_in_a_copied_store_are_still_right(driver: DirectoryDriver, place: Path) -> None:
    """Its change times are all new: they prove nothing, and content is compared."""
    base(driver)
    driver.prepare(C, B)
    with driver.tree(C, readonly=False) as tree:
        status = tree.stat("etc/deep/file")
        tree.write_text("etc/deep/file", "DEEP")
        tree.utime("etc/deep/file", ns=(status.st_atime_ns, status.st_mtime_ns))
    subprocess.run(["cp", "-a", place / "driver", place / "copied"], check=True)
    copied = DirectoryDriver(DriverConfig(place / "copied"))
    assert list(copied.changes(C, B)) == [Change(ChangeKind.MODIFIED, "etc/deep/file", Aspect.CONTENT)]


def test_a_damaged_record_is_said_to_be_one(driver: DirectoryDriver, place: Path) -> None:
    base(driver)
    (place / "driver/snapshots/b/committed").write_text("{")
    with pytest.raises(errors.SnapshotDamagedError, match="committed"):
        driver.verify(B)


def test_what_is_missing_is_said_to_be(driver: DirectoryDriver) -> None:
    for method in (driver.usage, driver.verify, driver.remove, lambda it: driver.tree(it, readonly=True)):
        with pytest.raises(FileNotFoundError):
            method(A)
    with pytest.raises(FileNotFoundError):
        driver.prepare(A, B)
    assert set(driver.ids()) == set()


def test_a_full_disk_leaves_nothing_behind(make_filesystem: MakeFilesystem) -> None:
    root = make_filesystem("tmpfs", size="6M")
    driver = DirectoryDriver(DriverConfig(root))
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        for number in range(4):
            tree.write_bytes(f"file-{number}", b"x" * 1_000_000)
    driver.commit(A, B)
    free = os.statvfs(root).f_bfree
    with pytest.raises(OSError, match="No space left"):
        driver.prepare(C, B)
    assert set(driver.ids()) == {B}
    assert os.listdir(root / "stage") == []
    assert os.statvfs(root).f_bfree == free


_VICTIM = """
import sys
from pathlib import Path
from overlaykit.driver import DriverConfig
from overlaykit_directory import DirectoryDriver
driver = DirectoryDriver(DriverConfig(Path(sys.argv[1])))
print("ready", flush=True)
for number in range(10**6):
    driver.prepare(f"victim{number}", "b")
"""


def test_a_killed_copy_leaves_no_id_and_nothing_after_cleanup(driver: DirectoryDriver, place: Path) -> None:
    driver.prepare(A, None)
    with driver.tree(A, readonly=False) as tree:
        for number in range(300):
            tree.makedirs(str(number))
            tree.write_bytes(f"{number}/file", b"x" * 5000)
    driver.commit(A, B)
    stage = place / "driver/stage"
    for _ in range(6):
        victim = subprocess.Popen([sys.executable, "-c", _VICTIM, place / "driver"], stdout=subprocess.PIPE)
        assert victim.stdout is not None
        victim.stdout.readline()
        while not os.listdir(stage):
            assert victim.poll() is None
        # Alive, it is left alone by a cleanup of another process.
        driver.cleanup()
        # Stopped in the middle of a copy, however few such moments the machine's load leaves.
        while True:
            victim.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, victim.pid, os.WSTOPPED)
            if os.listdir(stage):
                break
            victim.send_signal(signal.SIGCONT)
        victim.kill()
        victim.wait()
        victim.stdout.close()
        driver.cleanup()
        assert os.listdir(stage) == []
        for found in set(driver.ids()) - {B}:
            assert list(driver.changes(found, B)) == []
            driver.remove(found)
        driver.cleanup()
        assert os.listdir(place / "driver/trash") == []


def test_a_commit_that_was_cut_off_leaves_an_active_snapshot(driver: DirectoryDriver, place: Path) -> None:
    base(driver)
    driver.prepare(C, B)
    # The record of a commit is written just before the rename that makes it true.
    (place / "driver/snapshots/c/committed").write_bytes(
        (place / "driver/snapshots/b/committed").read_bytes().replace(b'"b"', b'"d"')
    )
    with driver.tree(C, readonly=False) as tree:
        tree.write_text("more", "x")
    driver.commit(C, D)
    driver.verify(D)
    assert driver.usage(D).inodes == driver.usage(B).inodes + 1


def test_many_threads_prepare_from_one_parent(driver: DirectoryDriver) -> None:
    base(driver)
    failures: list[BaseException] = []

    def run(worker: int) -> None:
        try:
            for number in range(10):
                own = SnapshotId(f"w{worker}n{number}")
                driver.prepare(own, B)
                with driver.tree(own, readonly=False) as tree:
                    tree.write_text("etc/motd", str(number))
                driver.remove(own)
                driver.cleanup()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(driver.ids()) == {B}
    driver.verify(B)


def test_btrfs_snapshots_share_everything_and_take_nested_subvolumes_along(
    driver: DirectoryDriver, place: Path
) -> None:
    with_subvolumes = driver._subvolumes
    base(driver)
    driver.prepare(C, B)
    assert (read_prepared(driver._directories.path(C)).method == "subvolume") is with_subvolumes
    if with_subvolumes:
        inside = os.open(place / "driver/snapshots/c/tree/etc", os.O_RDONLY)
        try:
            linux.create_subvolume(inside, "nested")
        finally:
            os.close(inside)
    with driver.tree(C, readonly=False) as tree:
        tree.makedirs("etc/nested/more", exist_ok=True)
        tree.write_text("etc/nested/more/file", "kept")
    driver.commit(C, D)
    driver.prepare(A, D)
    with driver.tree(A, readonly=True) as tree:
        assert tree.read_text("etc/nested/more/file") == "kept"
    for each in (A, D, B):
        driver.remove(each)
    driver.cleanup()
    assert os.listdir(place / "driver/trash") == []


def test_everything_works_without_privileges(place: Path) -> None:
    need_root()
    root = place / "driver"
    root.mkdir()
    os.chown(root, NOBODY, NOBODY)

    def action() -> None:
        driver = DirectoryDriver(DriverConfig(root))
        assert not driver.capabilities & {
            Capability.OWNERSHIP,
            Capability.DEVICE_NODES,
            Capability.TRUSTED_XATTRS,
        }
        driver.prepare(A, None)
        tree = root / "snapshots/a/tree"
        fill(tree)
        before = digest(tree)
        driver.commit(A, B)
        driver.prepare(C, B)
        assert digest(root / "snapshots/c/tree") == before
        assert list(driver.changes(C, B)) == []
        with driver.tree(B, readonly=True) as view, pytest.raises(OSError, match="Read-only"):
            Path(view.host_path, "small").write_text("x")
        with driver.tree(C, readonly=False) as active:
            active.write_text("small", "other")
            with active.open("new", "w"), pytest.raises(errors.LayerInUseError):
                active.seal()
            active.seal()
        driver.commit(C, D)
        driver.verify(B)
        driver.verify(D)
        driver.remove(D)
        driver.remove(B)
        driver.cleanup()
        assert os.listdir(root / "trash") == []

    run_as_nobody(action)


def test_what_its_owner_closed_to_themselves_is_copied_all_the_same(place: Path) -> None:
    """An ordinary user may take away their own permissions, commit, and go on from there."""
    need_root()
    root = place / "driver"
    root.mkdir()
    os.chown(root, NOBODY, NOBODY)

    def action() -> None:
        driver = DirectoryDriver(DriverConfig(root))
        driver.prepare(A, None)
        with driver.tree(A, readonly=False) as tree:
            tree.makedirs("closed/inner")
            tree.write_text("closed/inner/file", "inside")
            tree.write_text("unreadable", "secret")
            tree.link("unreadable", "closed/linked")
            tree.chmod("unreadable", 0)
            tree.chmod("closed/inner", 0o100)
            tree.chmod("closed", 0)
            tree.chmod("", 0o600)
        driver.commit(A, B)
        driver.verify(B)
        driver.prepare(C, B)
        assert driver.usage(C).inodes == driver.usage(B).inodes == 5
        driver.commit(C, D)
        driver.remove(B)
        driver.cleanup()
        with driver.tree(D, readonly=True) as tree:
            assert stat.S_IMODE(tree.stat().st_mode) == 0o600

    run_as_nobody(action)
    copy = root / "snapshots/d/tree"
    assert (copy / "closed/inner/file").read_text() == "inside"
    assert (copy / "closed/linked").read_text() == "secret"
    assert (copy / "closed/linked").stat().st_nlink == 2
    assert [stat.S_IMODE((copy / name).stat().st_mode) for name in ("closed", "closed/inner", "unreadable")] == [
        0,
        0o100,
        0,
    ]
