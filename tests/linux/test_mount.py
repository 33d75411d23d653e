"""Detached mounts, as the test's own user and as one without any privilege."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.rich import run_as

from overlaykit import linux
from overlaykit.linux import MountMethod

pytestmark = pytest.mark.native

Run = Callable[[Callable[[Path], None]], None]
PR_SET_DUMPABLE = 4


@pytest.fixture(params=["own", "nobody"])
def run(request: pytest.FixtureRequest, place: Path) -> Run:
    """Call a function with an empty directory of its user, on each kind of file system."""

    def call(action: Callable[[Path], None]) -> None:
        run_as(request.param, place / "mounts", action)

    return call


@pytest.fixture(params=["own", "nobody"])
def run_here(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Call a function with an empty directory of its user, on the disk."""

    def call(action: Callable[[Path], None]) -> None:
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
        run_as(request.param, tmp_path / "mounts", action)

    return call


def layers(root: Path, count: int) -> list[Path]:
    made = []
    for number in reversed(range(count)):
        made.append(root / f"layer{number}")
        made[-1].mkdir(exist_ok=True)
        (made[-1] / f"file{number}").write_text(str(number))
        (made[-1] / "common").write_text(str(number))
    return made


def upper(root: Path, name: str = "upper") -> tuple[Path, Path]:
    paths = root / name, root / f"{name}-work"
    for path in paths:
        path.mkdir()
    return paths


def inside(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}")


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_bytes().decode()


def refused(code: int, action: Callable[[], object]) -> OSError:
    with pytest.raises(OSError, match=r".") as caught:
        action()
    assert caught.value.errno == code, caught.value
    return caught.value


def test_merges_writes_and_vanishes(run: Run) -> None:
    """The view merges, writes go to the upper, the layers stay, and no mount table ever shows it."""

    def check(root: Path) -> None:
        before = mounts()
        lowers = layers(root, 3)
        up, work = upper(root)
        fd = linux.overlay_mount(lowers, up, work)
        try:
            assert mounts() == before
            view = inside(fd)
            assert sorted(os.listdir(view)) == ["common", "file0", "file1", "file2"]
            assert (view / "common").read_text() == "2"
            (view / "common").write_text("new")
            (view / "file0").unlink()
            assert (up / "common").read_text() == "new"
            assert (lowers[0] / "common").read_text() == "2"
            assert (lowers[2] / "file0").exists()
            assert not (view / "file0").exists()
            found = subprocess.run(["/bin/ls"], cwd=view, capture_output=True, check=True, pass_fds=[fd])
            assert found.stdout.split() == [b"common", b"file1", b"file2"]
        finally:
            os.close(fd)
        assert mounts() == before

    run(check)


def test_five_hundred_layers_by_every_method(run_here: Run) -> None:
    """500 layers, however they are handed to the kernel; one more is a clear error."""

    def check(root: Path) -> None:
        lowers = layers(root, 501)
        for method in MountMethod:
            fd = linux.overlay_mount(lowers[:500], *upper(root, method.name), volatile=True, method=method)
            try:
                assert len(os.listdir(inside(fd))) == 501
                assert (inside(fd) / "common").read_text() == "500"
            finally:
                os.close(fd)
        error = refused(errno.EINVAL, lambda: linux.overlay_mount(lowers, *upper(root)))
        assert "501 layers" in str(error)
        assert "500" in str(error)

    run_here(check)


def test_long_paths_and_hostile_names(run_here: Run) -> None:
    """Layers with paths far longer than an fsconfig string, and every character that options would need escaped."""

    def check(root: Path) -> None:
        deep = root / "a,b:c\\d e\nf" / ("x" * 250) / ("y" * 250) / "lowerdir=z,upperdir="
        deep.mkdir(parents=True)
        lowers = layers(deep, 2)
        for method in MountMethod:
            fd = linux.overlay_mount(lowers, *upper(deep, method.name), method=method)
            try:
                assert (inside(fd) / "common").read_text() == "1"
            finally:
                os.close(fd)

    run_here(check)


def test_a_view_without_an_upper_is_read_only(run_here: Run) -> None:
    """Two layers and no upper: reading works, writing is EROFS."""

    def check(root: Path) -> None:
        fd = linux.overlay_mount(layers(root, 2))
        try:
            assert (inside(fd) / "common").read_text() == "1"
            refused(errno.EROFS, lambda: (inside(fd) / "new").touch())
        finally:
            os.close(fd)

    run_here(check)


def test_pair_shows_the_same_and_refuses_writes(run_here: Run) -> None:
    """Both views of a pair show what is written through one; the other refuses writes."""

    def check(root: Path) -> None:
        fd, other = linux.overlay_mount_pair(layers(root, 2), *upper(root))
        if other is None:
            os.close(fd)
            pytest.fail("this kernel clones no detached mounts: it is older than 6.15")
        try:
            assert not (inside(other) / "new").exists()
            (inside(fd) / "new").write_text("x")
            assert (inside(other) / "new").read_text() == "x"
            refused(errno.EROFS, lambda: (inside(other) / "new").write_text("y"))
        finally:
            os.close(fd)
            os.close(other)

    run_here(check)


def test_set_readonly_refuses_while_a_file_is_written_to(run: Run) -> None:
    """EBUSY while a file is open or mapped for writing; afterwards EROFS, until it is undone."""

    def check(root: Path) -> None:
        clone = root / "clone"
        clone.mkdir()
        for fd in (linux.overlay_mount(layers(root, 2), *upper(root)), linux.clone_directory(clone, readonly=False)):
            try:
                file = os.open(inside(fd) / "new", os.O_CREAT | os.O_RDWR, 0o600)
                refused(errno.EBUSY, lambda fd=fd: linux.set_readonly(fd))
                os.write(file, b"x" * 4096)
                memory = mmap.mmap(file, 4096)
                os.close(file)
                refused(errno.EBUSY, lambda fd=fd: linux.set_readonly(fd))
                memory.close()
                linux.set_readonly(fd)
                refused(errno.EROFS, lambda fd=fd: os.open(inside(fd) / "new", os.O_WRONLY))
                linux.set_writable(fd)
                (inside(fd) / "new").write_text("again")
            finally:
                os.close(fd)

    run(check)


def test_clone_of_a_directory(run: Run) -> None:
    """A read-only clone shows the directory as it changes and refuses writes; by path and by descriptor."""

    def check(root: Path) -> None:
        source = root / "source"
        source.mkdir()
        number = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
        for name in (source, number):
            fd = linux.clone_directory(name, readonly=True)
            try:
                (source / "new").write_text("x")
                assert (inside(fd) / "new").read_text() == "x"
                refused(errno.EROFS, lambda fd=fd: (inside(fd) / "new").unlink())
                (source / "new").unlink()
            finally:
                os.close(fd)
        os.close(number)
        refused(errno.ENOENT, lambda: linux.clone_directory(root / "missing", readonly=True))

    run(check)


def test_volatile_refuses_the_upper_again(run_here: Run) -> None:
    """After a volatile mount the kernel refuses the upper, and the error says so."""

    def check(root: Path) -> None:
        lowers, (up, work) = layers(root, 1), upper(root)
        os.close(linux.overlay_mount(lowers, up, work, volatile=True))
        error = refused(errno.EINVAL, lambda: linux.overlay_mount(lowers, up, work))
        assert "volatile" in str(error)

    run_here(check)


def test_errors_name_what_is_wrong(run_here: Run) -> None:
    """Each refusal says which layer or directory and leaves no descriptor."""

    def check(root: Path) -> None:
        lowers, (up, work) = layers(root, 3), upper(root)
        before = os.listdir("/proc/self/fd")
        missing = root / "missing"
        assert refused(errno.ENOENT, lambda: linux.overlay_mount([lowers[0], missing], up, work)).filename == str(
            missing
        )
        assert refused(errno.ENOENT, lambda: linux.overlay_mount(lowers, missing, work)).filename == str(missing)
        assert refused(errno.ENOENT, lambda: linux.overlay_mount(lowers, up, missing)).filename == str(missing)
        assert refused(errno.ENOTDIR, lambda: linux.overlay_mount([lowers[0] / "common"], up, work))
        assert "two layers" in str(refused(errno.EINVAL, lambda: linux.overlay_mount(lowers[:1])))
        assert "no lower layer" in str(refused(errno.EINVAL, lambda: linux.overlay_mount([], up, work)))
        assert "file system" in str(refused(errno.EINVAL, lambda: linux.overlay_mount(lowers, "/proc", "/proc")))
        with pytest.raises(ValueError, match="belong together"):
            linux.overlay_mount(lowers, up)
        with pytest.raises(ValueError, match="empty"):
            linux.overlay_mount([""], up, work)
        assert os.listdir("/proc/self/fd") == before

    run_here(check)


def test_many_threads_at_once(run_here: Run) -> None:
    """Threads mount, write and close at the same time, without an error and without a leak."""

    def check(root: Path) -> None:
        lowers = layers(root, 3)
        problems: list[BaseException] = []
        before = len(os.listdir("/proc/self/fd"))

        def work(number: int) -> None:
            try:
                for turn in range(12):
                    fd = linux.overlay_mount(lowers, *upper(root, f"{number}-{turn}"), volatile=True)
                    try:
                        (inside(fd) / "common").write_text(f"{number}-{turn}")
                        assert (inside(fd) / "common").read_text() == f"{number}-{turn}"
                    finally:
                        os.close(fd)
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(os.listdir("/proc/self/fd")) == before
        assert (lowers[0] / "common").read_text() == "2"

    run_here(check)


def test_signals_wait_and_children_are_nobody_elses(run_here: Run) -> None:
    """A signal that comes during the call is handled after it, and the process that mounts is no child anyone sees."""

    def check(root: Path) -> None:
        lowers = layers(root, 2)
        seen: list[int] = []
        kept = [
            signal.signal(number, lambda number, _: seen.append(number)) for number in (signal.SIGALRM, signal.SIGCHLD)
        ]
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            for turn in range(60):
                os.close(linux.overlay_mount(lowers, *upper(root, str(turn)), volatile=True, rootless=True))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in zip((signal.SIGALRM, signal.SIGCHLD), kept, strict=True):
                signal.signal(number, handler)
        assert signal.SIGALRM in seen
        assert signal.SIGCHLD not in seen
        # Children that others of this process have may live; none waits to be asked for.
        with contextlib.suppress(ChildProcessError):
            assert os.waitpid(-1, os.WNOHANG) == (0, 0)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()

    run_here(check)


@pytest.mark.parametrize("dumpable", [0, 1])
def test_works_whether_the_process_is_dumpable_or_not(run_here: Run, dumpable: int) -> None:
    """A process that gave up root without an exec owns nothing in /proc/self, and stays protected from ptrace."""

    def check(root: Path) -> None:
        libc = ctypes.CDLL(None)
        before = libc.prctl(3)
        libc.prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0)
        try:
            fd = linux.overlay_mount(layers(root, 2), *upper(root), rootless=True)
            linux.set_readonly(fd, rootless=True)
            os.close(fd)
            assert libc.prctl(3) == dumpable
        finally:
            libc.prctl(PR_SET_DUMPABLE, before, 0, 0, 0)

    run_here(check)


def test_the_end_of_the_process_ends_the_mount(run_here: Run) -> None:
    """SIGKILL leaves no mount, and the upper is free at once."""

    def check(root: Path) -> None:
        lowers, (up, work) = layers(root, 2), upper(root)
        before = mounts()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            linux.overlay_mount(lowers, up, work)
            os.write(write, b"x")
            signal.pause()
        assert os.read(read, 1) == b"x"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for end in (read, write):
            os.close(end)
        assert mounts() == before
        fd = linux.overlay_mount(lowers, up, work)
        (inside(fd) / "new").touch()
        os.close(fd)

    run_here(check)


def test_attach(tmp_path: Path, mount_namespace: None) -> None:
    """Where the caller may, a detached mount is attached at a path."""
    point = tmp_path / "point"
    point.mkdir()
    fd = linux.overlay_mount(layers(tmp_path, 2), *upper(tmp_path))
    linux.attach(fd, point)
    os.close(fd)
    try:
        assert (point / "common").read_text() == "1"
    finally:
        subprocess.run(["/bin/umount", point], check=True)


def test_attach_without_privileges_is_refused(run_here: Run) -> None:
    """EPERM for who may not mount; the mount stays usable."""

    def check(root: Path) -> None:
        if linux.is_mount_admin():
            return
        fd = linux.overlay_mount(layers(root, 2), *upper(root))
        try:
            refused(errno.EPERM, lambda: linux.attach(fd, root))
            assert (inside(fd) / "common").read_text() == "1"
        finally:
            os.close(fd)

    run_here(check)


def test_scan(run: Run) -> None:
    """A scan has everything in tree order, with what whiteouts and opaque directories mean."""

    def check(root: Path) -> None:
        lower = root / "lower"
        (lower / "dir/sub").mkdir(parents=True)
        (lower / "gone").write_text("x")
        up, work = upper(root)
        fd = linux.overlay_mount([lower], up, work)
        try:
            view = inside(fd)
            (view / "gone").unlink()
            (view / "dir/sub").rmdir()
            (view / "dir").rmdir()
            (view / "dir").mkdir()
            (view / "dir/b-file").write_text("12345")
            os.link(view / "dir/b-file", view / "dir/b.link")
            (view / "dir/b").mkdir()
            (view / "dir/b/inside").touch()
        finally:
            os.close(fd)
        directory = os.open(up, os.O_RDONLY | os.O_DIRECTORY)
        try:
            scan = linux.scan_layer(directory, "trusted.overlay." if linux.is_mount_admin() else "user.overlay.")
        finally:
            os.close(directory)
        found = {entry.path: entry for entry in scan}
        assert list(found) == [b"", b"dir", b"dir/b", b"dir/b/inside", b"dir/b-file", b"dir/b.link", b"gone"]
        assert found[b"gone"].flags == linux.ScanFlag.WHITEOUT
        assert found[b"dir"].flags == linux.ScanFlag.OPAQUE
        assert found[b"dir/b"].flags == 0
        status = os.lstat(up / "dir/b-file")
        entry = found[b"dir/b-file"]
        assert (entry.mode, entry.ino, entry.size, entry.nlink) == (status.st_mode, status.st_ino, 5, 2)
        assert entry.mtime * 10**9 + entry.mtime_nanoseconds == status.st_mtime_ns
        assert list(scan.linked().values()) == [[b"dir/b-file", b"dir/b.link"]]
        assert linux.Scan.from_bytes(scan.to_bytes()) == scan
        with pytest.raises(ValueError, match="damaged"):
            linux.Scan.from_bytes(scan.to_bytes()[:-1])

    run(check)
