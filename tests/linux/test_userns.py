"""A user with ranges in /etc/subuid is root over them in a namespace, and a store there has real owners."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest
from testkit import syscalls
from testkit.loops import need_root
from testkit.rich import run_in_child

from overlaykit import errors, linux
from overlaykit.driver import Capability
from overlaykit.linux import IdRange
from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.native

USER = 65534
FIRST = 200_000


def _as_user(tmp_path: Path, lines: str, act: Callable[[], object]) -> None:
    """Call a function in a child that is an ordinary user with these lines in its /etc/subuid and /etc/subgid."""
    ranges = tmp_path / "ranges"
    ranges.write_text(lines)

    def become() -> None:
        syscalls.private_mount_namespace()
        for name in ("subuid", "subgid"):
            syscalls.mount(str(ranges), f"/etc/{name}", flags=syscalls.MS_BIND)
        syscalls.become(USER, USER)
        act()

    run_in_child(become)


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_root()
    if shutil.which("newuidmap") is None or not os.path.exists("/etc/subuid"):
        if os.environ.get("OVERLAYKIT_REQUIRE_TOOLS"):
            pytest.fail("newuidmap is missing: install uidmap")
        pytest.skip("newuidmap is missing: install uidmap")


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_a_store_has_real_owners(place: Path, tmp_path: Path, driver: str) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, USER, USER)

    def work(root: Path) -> None:
        with open_store(root / "store", driver=driver, durability="none") as store:
            assert Capability.OWNERSHIP in store.capabilities
            with store.snapshot() as working:
                tree = working.tree
                tree.write_text("file", "x")
                tree.symlink("file", "link")
                tree.chown("file", 1000, 2000)
                tree.chown("link", 7, 8, follow_symlinks=False)
                tree.chmod("file", 0o4755)
                working.commit("base")
            with store.snapshot("base") as working:
                assert (working.tree.lstat("file").st_uid, working.tree.lstat("file").st_gid) == (1000, 2000)
                working.tree.write_text("file", "changed")
                working.tree.chmod("file", 0o4755)
                working.commit("changed")

    def act() -> None:
        linux.enter_user_namespace()
        assert (os.geteuid(), os.getegid()) == (0, 0)
        work(home)

    # What is imported here, the user may not be able to reach.
    work(tmp_path)
    _as_user(tmp_path, f"root:1:1\n{USER}:{FIRST}:65536\n", act)
    files = [path for path in home.rglob("file") if not path.is_symlink()]
    assert len(files) == 2
    for path in files:
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (FIRST + 999, FIRST + 1999)
        assert stat.S_IMODE(status.st_mode) == 0o4755
    assert {path.lstat().st_uid for path in home.rglob("link")} == {FIRST + 6}


def test_ranges_go_by_name_and_number(tmp_path: Path) -> None:
    def act() -> None:
        assert linux.subordinate_ids() == (IdRange(10, 20), IdRange(50, 1))
        assert linux.subordinate_ids("/etc/subgid") == linux.subordinate_ids()
        assert linux.subordinate_ids("/etc/no-such-file") == ()

    _as_user(tmp_path, f"other:1:2\nnobody:10:20\n\nbroken\n{USER}:50:1\n{USER}:x:1\n{USER}:60:0\n", act)


def test_without_ranges(tmp_path: Path) -> None:
    def act() -> None:
        with pytest.raises(
            errors.UnsupportedError,
            match="/etc/subuid and /etc/subgid have no line for the user nobody: have root run usermod --add-subuids",
        ):
            linux.enter_user_namespace()
        assert os.geteuid() == USER

    _as_user(tmp_path, "root:1:1\n", act)


def test_root_needs_none() -> None:
    with pytest.raises(errors.UnsupportedError, match="root has all ids"):
        linux.enter_user_namespace()


def test_the_command(place: Path, tmp_path: Path) -> None:
    from overlaykit.cli import main

    report = place / "report"
    report.mkdir()
    os.chown(report, USER, USER)

    def act() -> None:
        os.chdir(report)
        main(["unshare", "--", "sh", "-c", "id -u > id; : > mine; chown 5:6 mine; stat -c %u:%g mine >> id"])

    assert main(["unshare", "--", "true"]) != 0
    _as_user(tmp_path, f"nobody:{FIRST}:65536\n", act)
    assert (report / "id").read_text().split() == ["0", "5:6"]
    assert (report / "mine").stat().st_uid == FIRST + 4
