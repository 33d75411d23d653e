"""Copying a tree keeps everything, from any kind of tree to any other."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testkit.dump import dump_tree

from overlaykit.tree import Copied, HostTree, Tree, compare, copy_tree, tree_digest

NewTree = Callable[[], Tree]
NATIVE = pytest.mark.native
WAYS = [
    pytest.param(source, target, id=f"{source} to {target}", marks=[NATIVE] if "host" in source + target else [])
    for source in ("host", "memory")
    for target in ("host", "memory")
]
# version, tag, qualifier, permissions: user:rw-, user 4711:r--, group:r--, mask:rw-, other:---
ACL = bytes.fromhex("02000000 01000600ffffffff 0200040067120000 04000400ffffffff 10000600ffffffff 20000000ffffffff")


@pytest.fixture
def two(request: pytest.FixtureRequest) -> tuple[Tree, Tree]:
    source, target = request.param
    return request.getfixturevalue(f"new_{source}_tree")(), request.getfixturevalue(f"new_{target}_tree")()


def ways(function: Callable[..., None]) -> Callable[..., None]:
    marked = [pytest.param(way.values, id=str(way.id), marks=way.marks) for way in WAYS]
    return pytest.mark.parametrize("two", marked, indirect=True)(function)


def furnish(tree: Tree) -> None:
    tree.makedirs("dir/sub")
    tree.write_bytes("dir/file", os.urandom(200_000))
    tree.write_bytes("small", b"small")
    tree.write_bytes("empty", b"")
    tree.write_bytes(b"\xff\xfe", b"name")
    tree.symlink("/nowhere/../x", "dir/link")
    tree.symlink("dir", "dirlink")
    tree.mknod("fifo", stat.S_IFIFO | 0o640)
    tree.link("dir/file", "again")
    tree.link("dir/file", "dir/sub/third")
    tree.link("fifo", "dir/fifo")
    tree.link("dirlink", "dir/dirlink")
    tree.chmod("small", 0o6755)
    tree.chmod("empty", 0o000)
    tree.setxattr("small", "user.a", b"\0\xff")
    tree.setxattr("dir", "user.empty", b"")
    tree.setxattr("", "user.root", b"1")
    tree.chmod("dir/sub", 0o1777)
    tree.mkdir("closed")
    tree.write_bytes("closed/inside", b"1")
    tree.chmod("closed", 0o555)
    for number, (path, _, rest) in enumerate(tree.walk(topdown=False)):
        for entry in rest:
            tree.utime(entry.path, ns=(10**18 + number, 10**17 + number), follow_symlinks=False)
        tree.utime(path, ns=(1, 123_456_789 + number))
    tree.chmod("", 0o711)
    tree.utime("", ns=(-5, -7))


@ways
def test_a_copy_is_equal(two: tuple[Tree, Tree]) -> None:
    source, target = two
    furnish(source)
    before = dump_tree(source)
    told: list[tuple[str, int]] = []
    done = copy_tree(source, target, progress=lambda path, size: told.append((path, size)))
    assert list(compare(source, target)) == []
    assert tree_digest(source) == tree_digest(target)
    assert dump_tree(target) == before == dump_tree(source)
    assert target.stat("again").st_ino == target.stat("dir/sub/third").st_ino
    assert target.stat("again").st_nlink == 3
    assert {path for path, _ in told} == set(before)
    assert len(told) == len(before)
    assert told[-1] == (".", 0)
    assert done == Copied(len(before) - 1, sum(size for _, size in told), ())
    assert done.bytes == 200_000 + len(b"small") + len(b"name") + 1


@NATIVE
def test_a_round_trip_is_equal(new_host_tree: NewTree, new_memory_tree: NewTree) -> None:
    host, memory, back = new_host_tree(), new_memory_tree(), new_host_tree()
    furnish(host)
    copy_tree(host, memory)
    copy_tree(memory, back)
    assert list(compare(host, back)) == []
    assert tree_digest(host) == tree_digest(memory) == tree_digest(back)


@ways
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65536, 65537, 1 << 20, (1 << 20) + 1])
def test_content_of_any_size(two: tuple[Tree, Tree], size: int) -> None:
    source, target = two
    content = os.urandom(size)
    source.write_bytes("file", content)
    copy_tree(source, target)
    assert target.read_bytes("file") == content


@ways
def test_holes_stay_holes(two: tuple[Tree, Tree]) -> None:
    source, target = two
    size = 64 << 20
    with source.open("sparse", "wb") as file:
        for offset in (0, 8 << 20, (8 << 20) + 100_000, size - 10):
            file.seek(offset)
            file.write(b"data")
    source.truncate("sparse", size)
    source.write_bytes("only a hole", b"")
    source.truncate("only a hole", 10 << 20)
    copy_tree(source, target)
    assert list(compare(source, target)) == []
    assert target.stat("sparse").st_size == size
    if isinstance(target, HostTree) and isinstance(source, HostTree):
        assert target.stat("sparse").st_blocks * 512 < 1 << 20
        assert target.stat("only a hole").st_blocks == 0


@ways
def test_access_lists_are_kept_and_not_inherited(two: tuple[Tree, Tree]) -> None:
    """Children that have none must not get one from the default list of the directory that they are copied into."""
    source, target = two
    source.write_bytes("listed", b"")
    source.setxattr("listed", "system.posix_acl_access", ACL)
    source.mkdir("dir")
    source.mkdir("dir/sub")
    source.write_bytes("dir/file", b"")
    source.setxattr("dir", "system.posix_acl_default", ACL)
    source.write_bytes("dir/inherits", b"")
    target.setxattr("", "system.posix_acl_default", ACL)
    copy_tree(source, target)
    assert list(compare(source, target)) == []
    assert target.listxattr("dir/file") == target.listxattr("") == []
    assert "system.posix_acl_access" in target.listxattr("dir/inherits")


@ways
def test_sockets_are_skipped_with_all_their_names(two: tuple[Tree, Tree]) -> None:
    source, target = two
    source.mknod("socket", stat.S_IFSOCK | 0o600)
    source.link("socket", "second")
    source.write_bytes("file", b"")
    assert copy_tree(source, target).skipped == ("second", "socket")
    assert target.listdir() == ["file"]


@ways
def test_the_umask_does_not_matter(two: tuple[Tree, Tree]) -> None:
    source, target = two
    furnish(source)
    old = os.umask(0o077)
    try:
        copy_tree(source, target)
    finally:
        os.umask(old)
    assert list(compare(source, target)) == []


@ways
def test_what_is_there_is_not_overwritten(two: tuple[Tree, Tree]) -> None:
    source, target = two
    source.write_bytes("file", b"new")
    target.write_bytes("file", b"old")
    with pytest.raises(FileExistsError):
        copy_tree(source, target)
    assert target.read_bytes("file") == b"old"


@ways
def test_progress_may_stop_it(two: tuple[Tree, Tree]) -> None:
    source, target = two
    furnish(source)

    def stop(path: str, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_tree(source, target, progress=stop)
    assert len(list(target.walk())) < len(list(source.walk()))


def test_a_deep_tree(new_memory_tree: NewTree) -> None:
    source, target = new_memory_tree(), new_memory_tree()
    path = "/".join(["deep"] * 1100)
    source.makedirs(path)
    source.write_bytes(f"{path}/file", b"1")
    copy_tree(source, target)
    assert target.read_bytes(f"{path}/file") == b"1"
    assert list(compare(source, target)) == []


# VFS_CAP_REVISION_2 with the effective bit, CAP_NET_RAW permitted
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture
def privileged(identity: str, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A directory with what only root can make, and an empty one, by their descriptors."""
    if os.geteuid():
        pytest.skip("needs root to make what takes privileges")
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.link(source / "null", source / "null2")
    (source / "owned").touch()
    os.chown(source / "owned", 7, 7)
    (source / "owned").chmod(0o4755)
    (source / "ping").touch()
    os.setxattr(source / "ping", "security.capability", CAPABILITY)
    if identity == "nobody":
        os.chown(target, 65534, 65534)
    fds = [os.open(path, os.O_PATH) for path in (source, target)]
    yield Path(f"/proc/self/fd/{fds[0]}"), Path(f"/proc/self/fd/{fds[1]}")
    for fd in fds:
        os.close(fd)


@NATIVE
def test_what_needs_privileges(privileged: tuple[Path, Path], identity: str) -> None:
    """Owners, devices and capabilities: kept by root; without privileges an error, or left out when asked."""
    with (
        HostTree(os.open(privileged[0], os.O_RDONLY)) as source,
        HostTree(os.open(privileged[1], os.O_RDONLY)) as target,
    ):
        if os.geteuid() == 0:
            done = copy_tree(source, target)
            assert done.skipped == ()
            assert list(compare(source, target)) == []
            assert target.stat("owned").st_uid == 7
            assert target.stat("null").st_rdev == os.makedev(1, 3)
            assert target.getxattr("ping", "security.capability") == CAPABILITY
            return
        with pytest.raises(PermissionError) as caught:
            copy_tree(source, target)
        assert caught.value.errno == errno.EPERM
        target.rmtree("")
        done = copy_tree(source, target, owners=False)
        assert done.skipped == ("null", "null2", "ping: security.capability")
        assert sorted(target.listdir()) == ["owned", "ping"]
        status = target.stat("owned")
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), os.getegid(), 0o4755)
