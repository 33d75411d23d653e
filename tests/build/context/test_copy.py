"""Files copied into trees: what replaces what, and what comes of files that change meanwhile."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.build.context import CopyOptions, Ignore, content_digest, copy_entries, select
from overlaykit.image import open_store
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.tree import Tree

ROOT = os.geteuid() == 0


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context" / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "context" / "file").write_text("file")
    (tmp_path / "context" / "dir" / "inner").write_text("inner")
    (tmp_path / "context" / "dir" / "link").symlink_to("inner")
    (tmp_path / "context" / "dir").chmod(0o700)
    (tmp_path / "context" / "dir" / "sub").chmod(0o711)
    return tmp_path / "context"


@pytest.fixture
def source(context: Path) -> Iterator[Tree]:
    with HostTree(os.open(context, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as opened:
        yield opened


@pytest.fixture(params=["overlayfs", "directory", "memory"])
def into(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    path = None if request.param == "memory" else tmp_path / "store"
    with open_store(path, driver=request.param) as store, store.snapshot() as working:
        yield working.tree


def _copy(source: Tree, into: Tree, *names: str, to: str = "/", directory: bool = True, mode: str = "") -> None:
    found = select(source, names, ignore=Ignore(), exclude=Ignore())
    me = os.geteuid(), os.getegid()
    copy_entries(source, found, into, CopyOptions(to, directory, me, me, mode))


def _mode(tree: Tree, path: str) -> int:
    return stat.S_IMODE(tree.lstat(path).st_mode)


def test_a_directory_gives_what_is_in_it_and_not_itself(source: Tree, into: Tree) -> None:
    _copy(source, into, "dir", to="/new/place", directory=False)
    assert sorted(into.listdir("new/place")) == ["inner", "link", "sub"]
    assert (_mode(into, "new"), _mode(into, "new/place"), _mode(into, "new/place/sub")) == (0o755, 0o755, 0o711)
    assert into.readlink("new/place/link") == "inner"
    assert into.stat("new/place/inner").st_mtime_ns == source.stat("dir/inner").st_mtime_ns
    assert into.stat("new/place/sub").st_mtime_ns == source.stat("dir/sub").st_mtime_ns


def test_a_file_takes_the_name_of_the_target_unless_that_is_a_directory(source: Tree, into: Tree) -> None:
    into.mkdir("there")
    _copy(source, into, "file", to="/there", directory=False)
    _copy(source, into, "file", to="/renamed", directory=False)
    _copy(source, into, "file", to="/made/", directory=True)
    assert [into.read_text(path) for path in ("there/file", "renamed", "made/file")] == ["file"] * 3


def test_files_replace_files_and_links_and_directories_merge(source: Tree, into: Tree) -> None:
    into.mkdir("sub")
    into.write_text("sub/stays", "stays")
    into.write_text("outside", "untouched")
    into.symlink("outside", "inner")
    into.write_text("link", "a file")
    _copy(source, into, "dir")
    assert into.read_text("sub/stays") == "stays"
    assert into.read_text("outside") == "untouched"
    assert not into.is_symlink("inner")
    assert into.is_symlink("link")


def test_a_link_in_the_way_to_the_target_is_followed_in_the_root(source: Tree, into: Tree) -> None:
    into.makedirs("real/place")
    into.symlink("/real/place", "way")
    _copy(source, into, "file", to="/way/further/")
    assert into.read_text("real/place/further/file") == "file"


@pytest.mark.parametrize(
    ("there", "what", "to", "message"),
    [
        ("dir", "file", "/inner", "/inner/deep is a directory, and a file is to be copied there"),
        ("file", "dir", "/target", "/target is no directory, and something is to be copied into it"),
        ("file", "dir", "/", "/sub is no directory, and a directory is to be copied there"),
        ("file", "file", "/target/", "/target is no directory"),
    ],
)
def test_what_does_not_fit_is_told(source: Tree, into: Tree, there: str, what: str, to: str, message: str) -> None:
    if there == "dir":
        into.makedirs("inner/deep")
        to = "/inner"
        found = select(source, ["file"], ignore=Ignore(), exclude=Ignore())
        renamed = [[type(found[0][0])("file", "deep", found[0][0].status, named=True)]]
        with pytest.raises(errors.BuildError, match=re.escape(message)):
            copy_entries(source, renamed, into, CopyOptions(to, True, (os.geteuid(), os.getegid())))
        return
    into.write_text("target", "")
    into.write_text("sub", "")
    with pytest.raises(errors.BuildError, match=re.escape(message)):
        _copy(source, into, what, to=to)


def test_hard_links_stay_one_file(source: Tree, into: Tree, context: Path) -> None:
    os.link(context / "dir/inner", context / "dir/sub/second")
    _copy(source, into, "dir")
    into.write_text("inner", "changed")
    assert into.read_text("sub/second") == "changed"


def test_a_fifo_is_made_and_a_socket_left_out(source: Tree, into: Tree, context: Path) -> None:
    os.mkfifo(context / "dir/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        descriptor = os.open(context / "dir", os.O_PATH)
        try:
            server.bind(f"/proc/self/fd/{descriptor}/socket")
        finally:
            os.close(descriptor)
        _copy(source, into, "dir")
    assert stat.S_ISFIFO(into.lstat("fifo").st_mode)
    assert not into.exists("socket", follow_symlinks=False)


def test_a_mode_holds_for_all_that_is_copied(source: Tree, into: Tree) -> None:
    _copy(source, into, "dir", to="/x", mode="u=rwX,go=rX")
    assert (_mode(into, "x/inner"), _mode(into, "x/sub"), _mode(into, "x")) == (0o644, 0o755, 0o755)


@pytest.mark.parametrize("what", ["content", "link", "fifo", "gone", "directory"])
def test_what_changes_between_choosing_and_copying_is_noticed(
    source: Tree, into: Tree, context: Path, what: str
) -> None:
    found = select(source, ["dir"], ignore=Ignore(), exclude=Ignore())
    victim = context / "dir/inner"
    if what == "content":
        victim.write_text("other")
    else:
        victim.unlink()
    if what == "link":
        victim.symlink_to("/etc/passwd")
    elif what == "fifo":
        os.mkfifo(victim)
    elif what == "directory":
        victim.mkdir()
    with pytest.raises(errors.BuildError, match="'dir/inner' changed while it was copied"):
        copy_entries(source, found, into, CopyOptions("/", True, (os.geteuid(), os.getegid())))
    with pytest.raises(errors.BuildError, match="'dir/inner' changed while it was copied"):
        content_digest(source, found, owners=False)


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(source: Tree, into: Tree, context: Path) -> None:
    (context / "file").chmod(0)
    with pytest.raises(errors.BuildError, match="'file' may not be read: change its mode"):
        _copy(source, into, "file")


def test_attributes_come_along_and_those_of_overlays_do_not(source: Tree, into: Tree, context: Path) -> None:
    os.setxattr(context / "file", "user.note", b"hello")
    os.setxattr(context / "file", "user.containers.override_stat", b"7:7:0777")
    os.setxattr(context / "file", "user.overlay.opaque", b"y")
    _copy(source, into, "file", to="/copied", directory=False)
    assert into.listxattr("copied") == ["user.note"]
    assert into.getxattr("copied", "user.note") == b"hello"


def test_names_that_are_not_utf_8_are_copied(source: Tree, into: Tree, context: Path) -> None:
    name = os.fsdecode(b"\xff\n\xfe")
    (context / "dir" / name).write_text("odd")
    _copy(source, into, "dir")
    assert into.read_text(name) == "odd"


def test_five_thousand_files_are_copied(source: Tree, into: Tree, context: Path) -> None:
    for number in range(5000):
        path = context / "many" / str(number % 40) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    _copy(source, into, "many", to="/m")
    assert sum(len(files) for _, _, files in into.walk("m")) == 5000
    assert into.read_text("m/7/4047") == "4047"
