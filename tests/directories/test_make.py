"""Directories that pass nothing on, and descriptors of them."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest
from testkit.crash import killed_at
from testkit.rich import run_as_nobody

from overlaykit.directories import make_directory, open_directory

GROUP = 12345
DEFAULT_ACL = "system.posix_acl_default"
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1)
"""One with a named user: what no permission bits can say."""


def _generous(path: Path) -> Path:
    """Let a directory pass on all that one can: an access list, and for root a group."""
    path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, -1, GROUP)
    path.chmod(0o2777)
    os.setxattr(path, DEFAULT_ACL, ACL)
    return path


def _assert_neutral(path: Path) -> None:
    status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_gid == os.getegid()
    assert os.listxattr(path) == []


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_nothing_of_what_is_above_is_inherited(tmp_path: Path, umask: int) -> None:
    above = _generous(tmp_path / "above")
    before = os.umask(umask)
    try:
        make_directory(above / "made")
    finally:
        os.umask(before)
    _assert_neutral(above / "made")
    (above / "made" / "inside").mkdir()
    assert (above / "made" / "inside").stat().st_gid == os.getegid()
    assert os.listxattr(above / "made" / "inside") == []


def test_unprivileged(reachable: Path) -> None:
    above = _generous(reachable / "above")

    def action() -> None:
        make_directory(above / "made")
        make_directory(above / "made")
        _assert_neutral(above / "made")

    run_as_nobody(action)


def test_one_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = _generous(tmp_path / "there")
    before = path.stat()
    make_directory(path)
    assert path.stat() == before
    assert os.getxattr(path, DEFAULT_ACL) == ACL


def test_killed_at_any_step_the_next_call_completes_it(tmp_path: Path) -> None:
    above = _generous(tmp_path / "above")
    make_directory(above / "imported before")
    step, killed = 0, True
    while killed:
        step += 1
        path = above / str(step)
        killed = killed_at(step, lambda path=path: make_directory(path))
        if path.exists() and path.stat().st_mode & 0o777:
            _assert_neutral(path)
        make_directory(path)
        _assert_neutral(path)
    assert step > 3


def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        make_directory(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="missing"):
        make_directory(tmp_path / "missing" / "made")


def test_opened_for_the_length_of_a_with(tmp_path: Path) -> None:
    with open_directory(tmp_path) as fd:
        assert os.listdir(fd) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with open_directory(tmp_path, os.O_PATH) as fd, pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(fd)


def test_a_root_closed_to_its_owner_is_opened(reachable: Path) -> None:
    reachable.chmod(0o777)

    def action() -> None:
        (reachable / "closed").mkdir(0)
        with pytest.raises(PermissionError), open_directory(reachable / "closed"):
            pass
        with open_directory(reachable / "closed", os.O_PATH) as fd:
            assert stat.S_IMODE(os.fstat(fd).st_mode) == 0

    run_as_nobody(action)


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(NotADirectoryError), open_directory(tmp_path / name):
            pass
