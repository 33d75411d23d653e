"""Removing and measuring whole trees."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from testkit.rich import run_as_nobody
from testkit.syscalls import mount
from testkit.unprivileged import NOBODY

from overlaykit import linux

pytestmark = pytest.mark.native

DEPTH = 3000


@pytest.fixture
def base(tmp_path: Path):
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def make_deep(base: int, name: str, depth: int, *, siblings: bool = False) -> None:
    """Make a chain of directories whose path is far longer than PATH_MAX."""
    os.mkdir(name, dir_fd=base)
    at = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=base)
    for level in range(depth):
        os.mkdir("deep", dir_fd=at)
        if siblings and level % 7 == 0:
            os.mkdir("a-sibling", dir_fd=at)
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_removes_every_type_and_follows_nothing(base: int, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    (keep / "sub").mkdir(parents=True)
    (keep / "sub/file").write_text("stays")
    gone = tmp_path / "gone"
    (gone / "a/b/c").mkdir(parents=True)
    (gone / "a/file").write_text("x")
    (gone / "a/to-directory").symlink_to(keep)
    (gone / "a/b/dangling").symlink_to("nowhere")
    os.mkfifo(gone / "a/b/fifo")
    linux.remove_tree(base, "gone")
    assert os.listdir(base) == ["keep"]
    assert (keep / "sub/file").read_text() == "stays"


def test_removes_a_file_a_symlink_and_nothing_at_all(base: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    linux.remove_tree(base, "file")
    linux.remove_tree(base, "link")
    linux.remove_tree(base, "missing")
    assert os.listdir(base) == ["target"]


def test_a_tree_deeper_than_path_max_and_than_descriptors_is_measured_and_removed(base: int) -> None:
    make_deep(base, "chain", DEPTH, siblings=True)
    chain = os.open("chain", os.O_RDONLY | os.O_DIRECTORY, dir_fd=base)
    try:
        assert linux.survey_tree(chain).inodes == 1 + DEPTH + 2 * len(range(0, DEPTH, 7))
    finally:
        os.close(chain)
    before = len(os.listdir("/proc/self/fd"))
    linux.remove_tree(base, "chain")
    assert os.listdir(base) == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500, 0o100])
def test_an_owner_without_permissions_removes_all_the_same(place: Path, mode: int) -> None:
    def action() -> None:
        (place / "top/closed/inner").mkdir(parents=True)
        (place / "top/closed/inner/file").write_text("x")
        for name in ("closed/inner", "closed", ""):
            (place / "top" / name).chmod(mode)
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        linux.remove_tree(fd, "top")
        assert os.listdir(fd) == []

    if os.geteuid() == 0:
        os.chown(place, NOBODY, NOBODY)
    run_as_nobody(action)


def test_a_mount_point_is_refused_and_named(tmp_path: Path, mount_namespace: None) -> None:
    point = tmp_path / "top/inner/point"
    point.mkdir(parents=True)
    mount("none", str(point), "tmpfs")
    base, top = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "top", os.O_RDONLY)
    try:
        (point / "inside").write_text("x")
        assert linux.survey_tree(top).inodes == 2
        with pytest.raises(OSError, match="busy") as caught:
            linux.remove_tree(base, "top")
        assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "inner/point")
        assert (point / "inside").read_text() == "x"
    finally:
        subprocess.run(["umount", point], check=True)
        os.close(base)
        os.close(top)


def test_two_removals_at_once(base: int, tmp_path: Path) -> None:
    import threading

    for number in range(300):
        (tmp_path / f"top/{number % 20}/{number}").mkdir(parents=True)
        (tmp_path / f"top/{number % 20}/{number}/file").write_text("x")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            linux.remove_tree(base, "top")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(base) == []


def test_usage_counts_allocated_blocks_and_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    os.link(tmp_path / "big", tmp_path / "sub/again")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "link").symlink_to("big")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        usage = linux.survey_tree(fd)
    finally:
        os.close(fd)
    expected = sum(
        os.lstat(path).st_blocks * 512
        for path in (tmp_path, tmp_path / "sub", tmp_path / "big", tmp_path / "sparse", tmp_path / "link")
    )
    assert (usage.bytes, usage.inodes) == (expected, 5)
    assert 1_000_000 <= usage.bytes < 2_000_000
