"""A root file system that is made to lead the own runner astray: nothing outside is touched, and it is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from testkit.busybox import Box, make_root
from testkit.loops import need_root

from overlaykit import errors, linux
from overlaykit.runtime import FileMount
from overlaykit.runtime._own import OwnRunner

pytestmark = pytest.mark.native


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What a root would like to reach."""
    outside = tmp_path / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "file").write_text("mine")
    return outside


@pytest.fixture
def box(root: Path) -> Box:
    return Box(OwnRunner(), root)


def _listing(path: Path) -> list[str]:
    return sorted(str(one.relative_to(path)) for one in path.rglob("*"))


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("target", ["/etc", "../outside/dir", "{outside}/dir", "/nonexistent", "/proc/self/root/etc"])
def test_a_link_in_place_of_a_mount_point(box: Box, root: Path, outside: Path, name: str, target: str) -> None:
    (root / name).rmdir()
    (root / name).symlink_to(target.format(outside=outside))
    before = _listing(outside)
    with pytest.raises(errors.RunError, match=rf"/{name}.*symbolic link"):
        box.run("true")
    assert _listing(outside) == before


@pytest.mark.parametrize("link", ["/etc/hosts", "/mnt"])
def test_a_target_that_leads_outside_stays_inside(box: Box, root: Path, outside: Path, link: str) -> None:
    """An absolute link, or one with many "..", means a path of the root, as for any process in it."""
    (root / link[1:]).symlink_to(f"../../../../../../../..{outside}/file")
    box.files = [FileMount(link, b"injected")]
    box.bind(f"{Box.PLACE}/files/0", link)
    with pytest.raises(errors.RunError, match="leads nowhere"):
        box.run("true")
    inside = root / str(outside)[1:]
    inside.mkdir(parents=True)
    (inside / "file").write_text("")
    assert box.run("cat", link).out == "injected"
    assert (outside / "file").read_text() == "mine"


RENAMES = """
import os, sys
one, two = sys.argv[1:]
print("begun", flush=True)
while True:
    os.rename(one, two)
    os.rename(two, one)
"""


def test_renames_anywhere_stop_no_look_up(box: Box, root: Path, outside: Path) -> None:
    """Where one comes between, the kernel cannot tell whether ".." has led out, and asks for another try."""
    (root / "mnt").symlink_to(f"../../../../../../../..{outside}/file")
    inside = root / str(outside)[1:]
    inside.mkdir(parents=True)
    (inside / "file").write_text("")
    box.files = [FileMount("/mnt", b"injected")]
    box.bind(f"{Box.PLACE}/files/0", "/mnt")
    words = [sys.executable, "-c", RENAMES, outside / "file", outside / "other"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as renaming:
        try:
            assert renaming.stdout is not None
            assert renaming.stdout.readline() == b"begun\n"
            assert [box.run("cat", "/mnt").out for _ in range(20)] == ["injected"] * 20
        finally:
            renaming.kill()


def test_a_link_to_what_the_kernel_shows(box: Box, root: Path) -> None:
    (root / "etc" / "hosts").symlink_to("/proc/self/attr/current")
    box.files = [FileMount("/etc/hosts", b"injected")]
    box.bind(f"{Box.PLACE}/files/0", "/etc/hosts")
    with pytest.raises(errors.RunError, match=r"/etc/hosts.*symbolic link"):
        box.run("true")


def test_a_link_of_proc_is_no_way_out(box: Box, root: Path, outside: Path) -> None:
    """A descriptor that the runner has open is no place to mount on, nor to work in."""
    (root / "mnt").symlink_to("/proc/self/fd/5")
    box.bind(outside, "/mnt/x")
    with pytest.raises(errors.RunError):
        box.run("true")
    box.mounts.pop()
    for number in range(12):
        box.process = {"cwd": f"/proc/self/fd/{number}"}
        with pytest.raises(errors.RunError, match="working directory"):
            box.run("true")


def test_a_working_directory_that_leads_outside(box: Box, root: Path, outside: Path) -> None:
    (root / "work").symlink_to(f"../../../../../../..{outside}/dir")
    box.process = {"cwd": "/work"}
    with pytest.raises(errors.RunError, match="working directory"):
        box.run("true")
    box.process = {"cwd": "../../.."}
    assert box.run("pwd").lines == ["/"]


@pytest.mark.parametrize("path", ["/proc/kcore", "/etc/masked", "/link/masked"])
def test_masks_follow_no_links(box: Box, root: Path, outside: Path, path: str) -> None:
    (root / "etc" / "masked").symlink_to("/bin/busybox")
    (root / "link").symlink_to("/etc")
    box.linux = {"maskedPaths": [path]}
    if path.startswith("/proc"):
        assert box.run("cat", path).out == ""
        return
    with pytest.raises(errors.RunError, match="symbolic link"):
        box.run("true")


def test_read_only_paths_follow_no_links(box: Box, root: Path) -> None:
    (root / "etc" / "readonly").symlink_to("/tmp")
    box.linux = {"readonlyPaths": ["/etc/readonly"]}
    with pytest.raises(errors.RunError, match="symbolic link"):
        box.run("true")


def test_devices_of_the_image_are_not_used(box: Box, root: Path) -> None:
    """What an image has in /dev is covered: its own /dev/null could be anything."""
    (root / "dev" / "null").write_text("not null")
    (root / "dev" / "pts").symlink_to("/etc")
    assert box.sh("cat /dev/null; stat -c %F /dev/null; ls -d /dev/pts/ptmx").lines == [
        "character special file",
        "/dev/pts/ptmx",
    ]


def test_an_image_without_devpts_has_no_terminal(box: Box, root: Path) -> None:
    (root / "dev" / "pts").mkdir()
    os.mkfifo(root / "dev" / "pts" / "ptmx")
    box.mounts = [mount for mount in box.mounts if not mount["destination"].startswith("/dev")]
    box.process = {"terminal": True}
    with pytest.raises(errors.RunError, match="devpts"):
        box.run("true")


def test_a_loop_of_links(box: Box, root: Path, outside: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    box.bind(outside, "/a/x")
    with pytest.raises(errors.RunError, match="/a/x"):
        box.run("true")


def test_a_root_that_is_no_directory(outside: Path) -> None:
    descriptor = os.open(outside / "file", os.O_PATH)
    try:
        with pytest.raises(errors.RunError):
            Box(OwnRunner(), descriptor).start("true")
    finally:
        os.close(descriptor)


def test_an_empty_root_has_no_program(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.RunError, match="no such program") as caught:
        Box(OwnRunner(), tmp_path / "empty").start("sh")
    assert caught.value.exit_code == 127


@pytest.mark.parametrize("guarded", [True, False])
def test_devices_that_an_image_brings(box: Box, root: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    need_root()
    os.mknod(root / "tmp" / "kmsg", 0o666 | stat.S_IFCHR, os.makedev(1, 11))
    if not guarded:
        # Where no group can be made.
        monkeypatch.setattr("overlaykit.runtime._cgroup_guard.ROOT", "/proc/nothing")
        monkeypatch.setattr("overlaykit.runtime._cgroup.ROOT", "/proc/nothing")
    seen = box.sh("head -c 1 /tmp/kmsg; head -c 1 /dev/zero | wc -c; mknod /tmp/made c 1 11 && echo made")
    assert "/tmp/kmsg: " in seen.err
    assert "denied" in seen.err or "not permitted" in seen.err
    assert seen.lines == (["1", "made"] if guarded else ["1"])


def test_a_link_to_the_runner_itself(box: Box, root: Path) -> None:
    """An image can have the runner executed in a container, and so get hold of it (CVE-2019-5736)."""
    (root / "bin" / "itself").symlink_to("/proc/self/exe")
    try:
        seen = box.run("/bin/itself")
    except errors.RunError as error:
        # Linked with the shared C library, as for the sanitizers, it finds no loader in there.
        assert "interpreter" in str(error)  # noqa: PT017 -- one of two ways in which it can end well
        return
    assert seen.code == 125
    assert "overlaykit run" in seen.err


def test_nobody_can_change_the_runner() -> None:
    program = linux.open_runner()
    try:
        size = os.fstat(program).st_size
        with pytest.raises(PermissionError):
            os.pwrite(program, b"x", 0)
        for access in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
            with pytest.raises(PermissionError):  # noqa: PT012 -- whichever of the two is refused
                again = os.open(f"/proc/self/fd/{program}", access)
                try:
                    os.write(again, b"x")
                finally:
                    os.close(again)
        assert os.pread(program, 4, 0) == b"\x7fELF"
        assert os.fstat(program).st_size == size
    finally:
        os.close(program)


def test_names_that_are_no_text(box: Box, root: Path, tmp_path: Path) -> None:
    odd = tmp_path / "name with \\ and \n and \udcff"
    odd.write_text("odd")
    box.bind(odd, "/mnt/\udcfe \n")
    assert box.run("cat", "/mnt/\udcfe \n").out == "odd"
    assert root.joinpath("mnt").is_dir()
