"""Owners that are kept without root: other readers of the form show ours, and theirs are shown here."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.layer_model import archive, block, char, d, f, fifo, h, s
from testkit.loops import need_root, need_tool
from testkit.peers import run_tool
from testkit.rich import open_to_all, run_as
from testkit.waits import PATIENCE

from overlaykit.store import open_store
from overlaykit.tree import HostTree, MappedTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.loops import MakeFilesystem

pytestmark = pytest.mark.native

LAYER = [
    d("", mode=0o751, uid=1, gid=2),
    d("home", mode=0o2750, uid=1000, gid=2000),
    f("home/file", "x", mode=0o600, uid=1000, gid=2000),
    f("home/of-root", "x"),
    f("ping", "x", mode=0o4755, uid=0, gid=7),
    f("closed", "secret", mode=0),
    d("locked", mode=0o500, uid=5),
    f("locked/file", "x", mode=0o444),
    h("locked/same", "ping"),
    d("of-root"),
    replace(char("null", 1, 3), mode=0o666),
    replace(block("loop", 7, 3), mode=0o660, gid=6),
    replace(fifo("pipe"), mode=0o622, uid=9),
    s("link", "ping"),
]


@contextmanager
def _fuse(point: Path, *options: str) -> Iterator[Path]:
    """Mount with fuse-overlayfs."""
    point.mkdir()
    words = [need_tool("fuse-overlayfs"), "-f", "-o", ",".join(options), str(point)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not os.path.ismount(point):
                assert process.poll() is None, process.stdout and process.stdout.read()
                assert time.monotonic() < end
                time.sleep(0.01)
            yield point
        finally:
            if os.path.ismount(point):
                subprocess.run([need_tool("umount"), str(point)], check=True)
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.fixture
def fuse(mount_namespace: None) -> None:
    """What fuse-overlayfs needs."""
    need_root()
    need_tool("fuse-overlayfs")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize("user", ["own", "nobody"])
def test_fuse_overlayfs_shows_what_is_written_without_root(
    tmp_path: Path, place: Path, fuse: None, driver: str, user: str
) -> None:
    def act(root: Path) -> None:
        with open_store(root / "store", driver=driver, durability="none") as store:
            store.apply(io.BytesIO(archive(LAYER)), None, "base")
            with store.snapshot("base") as working:
                working.tree.write_text("home/new", "of a container")
                working.tree.mkdir("home/made")
                working.tree.chown("home/made", 8, 9)
                working.commit("changed")

    run_as(user, place / "home", act)
    upper = "fs" if driver == "overlayfs" else "tree"
    # The container's layer is over the image's; the directory driver has all in one.
    found = sorted(
        (place / "home").glob(f"store/**/snapshots/*/{upper}"), key=lambda path: (path / "home/new").exists()
    )
    assert len(found) == 2
    lowers = found[::-1] if driver == "overlayfs" else found[1:]
    with _fuse(tmp_path / "merged", "lowerdir=" + ":".join(map(str, lowers)), "xattr_permissions=2") as merged:
        shown = {path.relative_to(merged).as_posix(): path.lstat() for path in (merged, *sorted(merged.rglob("*")))}
    expected = {os.fsdecode(entry.path) or ".": entry for entry in LAYER if entry.kind not in ("hardlink", "symlink")}
    assert shown.keys() == expected.keys() | {"home/new", "home/made", "locked/same", "link"}
    for path, entry in expected.items():
        assert (shown[path].st_uid, shown[path].st_gid) == (entry.uid, entry.gid), path
        assert stat.S_IMODE(shown[path].st_mode) == entry.mode, path
        assert stat.S_ISDIR(shown[path].st_mode) is (entry.kind == "directory"), path
    assert (shown["home/made"].st_uid, shown["home/made"].st_gid) == (8, 9)
    assert (shown["home/new"].st_uid, shown["home/new"].st_gid) == (0, 2000)
    assert (shown["locked/same"].st_gid, stat.S_IMODE(shown["locked/same"].st_mode)) == (7, 0o4755)


def test_what_fuse_overlayfs_writes_is_shown(tmp_path: Path, fuse: None) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/below").write_text("x")
    (tmp_path / "lower/copied").write_text("x")
    options = (f"lowerdir={tmp_path}/lower", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work")
    with _fuse(tmp_path / "merged", *options, "xattr_permissions=2") as merged:
        (merged / "directory").mkdir()
        (merged / "directory/file").write_text("x")
        # Its chmod gives a file back to root, and so comes first.
        os.chmod(merged / "directory", 0o1750)
        os.chown(merged / "directory", 3, 4)
        os.chmod(merged / "directory/file", 0o755)
        os.chown(merged / "directory/file", 5, 6)
        os.chown(merged / "copied", 7, 8)
    assert (tmp_path / "upper/copied").stat().st_uid == 0
    with MappedTree(HostTree(os.open(tmp_path / "upper", os.O_PATH | os.O_DIRECTORY)), foreign=True) as tree:
        for path, uid, gid, mode in (
            ("directory", 3, 4, 0o1750 | stat.S_IFDIR),
            ("directory/file", 5, 6, 0o755 | stat.S_IFREG),
            ("copied", 7, 8, 0o644 | stat.S_IFREG),
        ):
            status = tree.lstat(path)
            assert (status.st_uid, status.st_gid, status.st_mode) == (uid, gid, mode)
        assert not [name for path in ("", "directory", "copied") for name in tree.listxattr(path) if "fuse" in name]
        tree.chown("copied", 1, 1)
        tree.chmod("copied", 0o600)
        assert (tree.lstat("copied").st_uid, tree.lstat("copied").st_mode) == (1, 0o600 | stat.S_IFREG)


def test_what_containers_storage_writes_is_shown(tmp_path: Path, fuse: None) -> None:
    need_tool("containers-storage")
    entries = [entry for entry in LAYER if entry.kind in ("file", "directory")]
    # It takes the attributes of a layer's root from elsewhere.
    entries.remove(LAYER[0])
    (tmp_path / "layer.tar").write_bytes(archive(entries))
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/root"\n'
        f'[storage.options.overlay]\nforce_mask = "shared"\nmount_program = "{need_tool("fuse-overlayfs")}"\n'
    )
    # In a mount namespace of its own: it leaves a mount.
    run_tool(
        *("unshare", "--mount", "sh", "-ec"),
        'id=$(containers-storage create-layer | head -n 1); containers-storage apply-diff -f "$0" "$id"',
        tmp_path / "layer.tar",
        CONTAINERS_STORAGE_CONF=str(tmp_path / "storage.conf"),
        STORAGE_CONF=str(tmp_path / "storage.conf"),
    )
    [path] = (tmp_path / "root/overlay").glob("*/diff")
    assert stat.S_IMODE((path / "closed").stat().st_mode) == 0o755
    with MappedTree(HostTree(os.open(path, os.O_PATH | os.O_DIRECTORY)), foreign=True) as tree:
        for entry in entries:
            status = tree.lstat(os.fsdecode(entry.path))
            assert (status.st_uid, status.st_gid) == (entry.uid, entry.gid), entry
            # Before version 1.46 it forgets set-user-id and set-group-id.
            assert stat.S_IMODE(status.st_mode) in (entry.mode, entry.mode & 0o777), entry


def _many(count: int) -> bytes:
    """Return a layer with many symbolic links in one directory, each with an owner of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name in ("many", "few"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            out.addfile(directory)
        for number in range(count):
            member = tarfile.TarInfo(f"many/link-{number * 7919 % 104729:06}")
            member.type, member.linkname = tarfile.SYMTYPE, "target"
            member.uid, member.gid, member.mode = number + 1, number * 3, 0o777
            out.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_many_symbolic_links_of_others(make_filesystem: MakeFilesystem, kind: str, driver: str) -> None:
    """More than fit into an attribute of ext4, and more than are written into one of tmpfs one by one."""
    count = 1000
    place = make_filesystem(kind, size="96M")
    open_to_all(place)

    def owners(data: bytes) -> dict[str, tuple[int, int]]:
        with tarfile.open(fileobj=io.BytesIO(data)) as found:
            return {member.name: (member.uid, member.gid) for member in found if member.issym()}

    def act(root: Path, count: int = count) -> None:
        layer = _many(count)
        with open_store(root / "store", driver=driver, durability="none") as store:
            store.apply(io.BytesIO(layer), None, "base")
            if os.geteuid() != 0:
                assert bool(list((root / "store").rglob(".overlaykit-links.*"))) == (kind == "ext4")
            buffer = io.BytesIO()
            store.diff("base", buffer, compression="none")
            assert owners(buffer.getvalue()) == owners(layer)
            upper = archive([s("many/link-000000", "new", uid=77), s("many/zz", "more", uid=78), f("few/file", "x")])
            store.apply(io.BytesIO(upper), "base", "upper")
            with store.snapshot("upper") as working:
                tree = working.tree
                assert len(tree.listdir("many")) == count + 1
                assert tree.lstat("many/zz").st_uid == 78
                assert tree.lstat("many/link-000000").st_uid == 77
                assert tree.lstat("many/link-007919").st_uid == 2
                for number in range(300):
                    tree.symlink("again", f"few/{number}")
                    tree.chown(f"few/{number}", number, 5, follow_symlinks=False)
                    tree.chown(f"many/link-{number * 7919 % 104729:06}", 5, number, follow_symlinks=False)
                tree.unlink("many/link-007919")
                tree.rename("many", "moved")
                changes = {change.path for change in working.changes()}
                assert not [path for path in changes if "overlaykit" in path]
                working.commit("changed")
            with store.tree("changed") as tree:
                assert len(tree.listdir("moved")) == count
                assert len(tree.listdir("few")) == 301
                assert (tree.lstat("few/299").st_uid, tree.lstat("few/299").st_gid) == (299, 5)
                assert tree.lstat(f"moved/link-{299 * 7919 % 104729:06}").st_gid == 299
                assert tree.lstat(f"moved/link-{(count - 1) * 7919 % 104729:06}").st_uid == count
            with store.snapshot("changed") as working:
                tree = working.tree
                for name in tree.listdir("moved"):
                    tree.unlink(f"moved/{name}")
                tree.rmdir("moved")
                assert tree.listdir() == ["few"]

    # The first also imports what nobody may not reach.
    run_as("own", place / "own", lambda root: act(root, 400))
    run_as("nobody", place / "nobody", act)
