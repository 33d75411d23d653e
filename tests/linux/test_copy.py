"""Copying whole trees."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.loops import MakeFilesystem, need_root, need_tool
from testkit.rich import digest, fill, run_as_nobody
from testkit.syscalls import mount
from testkit.unprivileged import NOBODY

from overlaykit import linux

pytestmark = pytest.mark.native


@contextlib.contextmanager
def opened(*paths: Path) -> Iterator[list[int]]:
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def copy(source: Path, target: Path, **options: Any) -> linux.CopyResult:
    target.mkdir()
    with opened(source, target) as (source_fd, target_fd):
        return linux.copy_tree(source_fd, target_fd, **options)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("reflink", [True, False])
def test_a_copy_is_the_same_in_everything(place: Path, threads: int, reflink: bool) -> None:
    source, target = place / "source", place / "target"
    source.mkdir()
    fill(source)
    before = digest(source)
    result = copy(source, target, threads=threads, reflink=reflink)
    assert digest(target) == before
    assert digest(source) == before
    assert result.entries == len(before) - 1
    assert result.links == 5
    assert (target / "sparse").stat().st_blocks * 512 < 5 << 20
    assert (target / "only-a-hole").stat().st_blocks * 512 < 1 << 20


def test_an_unprivileged_copy_is_the_same_in_everything(place: Path) -> None:
    need_root()
    os.chown(place, NOBODY, NOBODY)

    def action() -> None:
        source, target = place / "source", place / "target"
        source.mkdir()
        fill(source)
        before = digest(source)
        copy(source, target)
        assert digest(target) == before

    run_as_nobody(action)


def test_the_umask_the_default_acl_and_the_group_of_the_target_have_no_say(place: Path) -> None:
    source, above = place / "source", place / "above"
    source.mkdir()
    above.mkdir()
    os.chown(above, -1, 4321 if os.geteuid() == 0 else -1)
    above.chmod(0o2777)
    subprocess.run([need_tool("setfacl"), "-d", "-m", "u:4:rwx", above], check=True)
    fill(source)
    before = os.umask(0o077)
    try:
        copy(source, above / "target")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert digest(above / "target") == digest(source)


def test_cp_makes_the_same(place: Path) -> None:
    source, target, other = place / "source", place / "target", place / "other"
    source.mkdir()
    fill(source)
    copy(source, target)
    subprocess.run(["cp", "-a", source, other], check=True)
    assert digest(target) == digest(other)


def test_blocks_are_shared_where_the_file_system_can(place: Path) -> None:
    found = subprocess.run(["stat", "-f", "-c", "%T", place], check=True, capture_output=True, text=True)
    source = place / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(1 << 20))
    assert copy(source, place / "one").reflinked == (found.stdout.strip() in ("xfs", "btrfs"))
    assert copy(source, place / "two", reflink=False).reflinked == 0


def test_a_file_system_boundary(tmp_path: Path, place: Path) -> None:
    source, target = tmp_path / "source", place / "target"
    source.mkdir()
    fill(source)
    copy(source, target)
    assert digest(target) == digest(source)


def test_a_tree_deeper_than_path_max_and_than_descriptors(tmp_path: Path) -> None:
    depth = 2500
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    at = os.open(tmp_path / "source", os.O_RDONLY)
    previous = -1
    for level in range(depth):
        os.mkdir("directory", dir_fd=at)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=at))
        if level % 3 == 0:
            os.mkdir("empty", 0o700, dir_fd=at)
        if previous >= 0:
            os.link("file", f"link-{level}", src_dir_fd=previous, dst_dir_fd=at)
            os.close(previous)
        below = os.open("directory", os.O_RDONLY, dir_fd=at)
        os.utime(at, ns=(level, level * 1000 + 1))
        previous, at = at, below
    os.close(previous)
    os.close(at)
    open_before = len(os.listdir("/proc/self/fd"))
    with opened(tmp_path / "source", tmp_path / "target", tmp_path) as (source, target, base):
        result = linux.copy_tree(source, target)
        assert result.links == depth - 1
        assert linux.survey_tree(target).inodes == linux.survey_tree(source).inodes
        one, two = os.dup(source), os.dup(target)
        for _ in range(depth):
            assert os.fstat(one).st_mtime_ns == os.fstat(two).st_mtime_ns
            assert sorted(os.listdir(one)) == sorted(os.listdir(two))
            for name in os.listdir(one):
                status, copied = (os.stat(name, dir_fd=at) for at in (one, two))
                assert (status.st_mode, status.st_nlink) == (copied.st_mode, copied.st_nlink)
            following = [os.open("directory", os.O_RDONLY, dir_fd=at) for at in (one, two)]
            os.close(one)
            os.close(two)
            one, two = following
        os.close(one)
        os.close(two)
        linux.remove_tree(base, "source")
        linux.remove_tree(base, "target")
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_more_links_and_directories_than_fit_a_small_table(tmp_path: Path) -> None:
    for number in range(1500):
        directory = tmp_path / f"source/{number % 37}/{number % 11}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).write_text(str(number))
        os.link(directory / str(number), tmp_path / f"source/{number % 37}/link-{number}")
    assert copy(tmp_path / "source", tmp_path / "target", threads=4).links == 1500
    assert digest(tmp_path / "target") == digest(tmp_path / "source")


def test_the_failing_path_is_named(place: Path) -> None:
    need_root()
    source, target = place / "source", place / "target"
    (source / "a/b").mkdir(parents=True)
    os.mknod(source / "a/b/device", 0o020666, os.makedev(1, 3))
    target.mkdir()
    os.chown(target, NOBODY, NOBODY)

    def action() -> None:
        with opened(source, target) as descriptors, pytest.raises(PermissionError) as caught:
            linux.copy_tree(*descriptors)
        assert (caught.value.errno, caught.value.filename) == (errno.EPERM, "a/b/device")

    run_as_nobody(action)


def test_somebody_elses_file_is_refused_without_privileges(place: Path) -> None:
    need_root()
    source, target = place / "source", place / "target"
    source.mkdir()
    (source / "file").write_text("of root")
    target.mkdir()
    os.chown(target, NOBODY, NOBODY)
    os.chown(source, NOBODY, NOBODY)

    def action() -> None:
        with opened(source, target) as descriptors, pytest.raises(PermissionError) as caught:
            linux.copy_tree(*descriptors)
        assert (caught.value.errno, caught.value.filename) == (errno.EPERM, "file")

    run_as_nobody(action)


def test_a_target_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target/taken").mkdir(parents=True)
    with opened(tmp_path / "source", tmp_path / "target") as descriptors, pytest.raises(OSError, match="not empty"):
        linux.copy_tree(*descriptors)


def test_a_full_file_system_says_so_and_names_the_file(tmp_path: Path, make_filesystem: MakeFilesystem) -> None:
    (tmp_path / "source/sub").mkdir(parents=True)
    for number in range(8):
        (tmp_path / f"source/sub/{number}").write_bytes(b"x" * 1_000_000)
    with pytest.raises(OSError, match="No space left") as caught:
        copy(tmp_path / "source", make_filesystem("tmpfs", size="4M") / "target")
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith("sub/")


def test_a_mount_in_the_source_is_an_error_unless_asked_for(tmp_path: Path, mount_namespace: None) -> None:
    point = tmp_path / "source/a/point"
    point.mkdir(parents=True)
    mount("none", str(point), "tmpfs")
    try:
        (point / "inside").write_text("x")
        with pytest.raises(OSError, match="cross-device") as caught:
            copy(tmp_path / "source", tmp_path / "one")
        assert (caught.value.errno, caught.value.filename) == (errno.EXDEV, "a/point")
        copy(tmp_path / "source", tmp_path / "two", cross_mounts=True)
        assert (tmp_path / "two/a/point/inside").read_text() == "x"
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_cancelled_copy_stops(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with (tmp_path / "source/huge").open("wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    progress = linux.CopyProgress()
    progress.cancel()
    with pytest.raises(OSError, match="cancel") as caught:
        copy(tmp_path / "source", tmp_path / "target", reflink=False, progress=progress)
    assert caught.value.errno == errno.ECANCELED
    assert progress.snapshot().bytes == 0


def test_an_interrupt_stops_a_copy(tmp_path: Path) -> None:
    """Python's signal handlers wait for C calls; a copy must not make Ctrl-C wait for gigabytes."""
    (tmp_path / "source").mkdir()
    for number in range(20_000):
        (tmp_path / f"source/{number}").touch()
    progress = linux.CopyProgress()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not progress.snapshot().entries:
            time.sleep(0)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        copy(tmp_path / "source", tmp_path / "target", progress=progress)
    thread.join()
    assert 0 < progress.snapshot().entries < 20_000


def test_a_source_that_changes_meanwhile(tmp_path: Path) -> None:
    """Nothing crashes, whatever the copy then holds of the files that change."""
    source = tmp_path / "source"
    for number in range(200):
        (source / str(number % 10)).mkdir(parents=True, exist_ok=True)
        (source / f"{number % 10}/{number}").write_bytes(b"x" * 200_000)
    stop = threading.Event()

    def disturb() -> None:
        for number in range(10**9):
            if stop.is_set():
                return
            path = source / f"{number % 10}/{number % 200}"
            try:
                if number % 3 == 0:
                    os.truncate(path, number % 1000)
                elif number % 3 == 1:
                    path.unlink()
                else:
                    path.write_bytes(b"y" * 100_000)
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for number in range(5):
            copy(source, tmp_path / f"target-{number}")
    finally:
        stop.set()
        thread.join()
    for number in range(5):
        assert sorted(os.listdir(tmp_path / f"target-{number}")) == [str(name) for name in range(10)]
