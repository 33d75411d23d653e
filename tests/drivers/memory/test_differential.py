"""Random operations on a memory tree and on a directory of a real file system: the same results, errors and trees."""

from __future__ import annotations

import itertools
import os
import stat
import struct
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from overlaykit_memory import MemoryDriver

from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit.tree import HostTree, RenameFlag, compare

if TYPE_CHECKING:
    from overlaykit.tree import Tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and trusted.* need root on the real side")

NAMES = ["a", "b", "c", "d", "\udcff", "ü"]
ODD = ["", ".", "..", "/", "a/", "a/.", "a/..", "b/../b", "//a//b//", "x" * 256, "a/" + "y" * 255, "../../a", "d/e/f/g"]
PATHS = st.one_of(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map("/".join),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from([*NAMES, "..", "."]), min_size=1, max_size=4).map("/".join),
    st.sampled_from(NAMES).map(lambda name: name + "/"),
    st.sampled_from(ODD),
)
TARGETS = st.one_of(PATHS, PATHS.map(lambda path: "/" + path), st.sampled_from(["t" * 4095, "t" * 4096]))
MODES = st.integers(0, 0o7777)
IDS = st.sampled_from([-1, 0, 1, 65534])
FLAGS = st.builds(
    lambda access, more: access | sum(more),
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]),
    st.sets(st.sampled_from([os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY])),
)
FOLLOW = st.booleans()
CAPABILITY = (0x02000001).to_bytes(4, "little") + bytes(16)


def acl(user: int, named: int, group: int, mask: int, other: int) -> bytes:
    nobody = 0xFFFFFFFF
    entries = [(1, user, nobody), (2, named, 7), (4, group, nobody), (16, mask, nobody), (32, other, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


LONG = "user." + "n" * 251
BITS = st.integers(0, 7)
ACLS = st.one_of(
    st.builds(acl, BITS, BITS, BITS, BITS, BITS),
    st.builds(lambda *bits: acl(*bits)[:12] + acl(*bits)[20:28] + acl(*bits)[36:], BITS, BITS, BITS, BITS, BITS),
    st.sampled_from([b"", b"\2\0\0\0", b"\1\0\0\0", b"\2\0", acl(7, 7, 7, 7, 7)[:-8], acl(8, 0, 0, 0, 0)]),
)
XATTRS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["user.a", "user.b", "trusted.c", "security.d", "user.", "other", "system.e", "", "user." + "n" * 251]
        ),
        st.sampled_from([b"", b"1", b"\0" * 1000]),
    ),
    st.tuples(st.sampled_from(["security.capability"]), st.sampled_from([CAPABILITY, b"1", CAPABILITY[:-1]])),
    st.tuples(st.sampled_from(["system.posix_acl_access", "system.posix_acl_default"]), ACLS),
)
NODES = st.sampled_from(
    [0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR, stat.S_IFLNK]
)
SIZES = st.sampled_from([-1, 0, 1, 100, 4096, 5000, 70000, 200000, 1 << 50])

OPERATIONS = st.one_of(
    st.tuples(st.just("mkdir"), PATHS, MODES),
    st.tuples(st.just("mkdir"), PATHS, st.just(0o755)),
    st.tuples(st.just("rmdir"), PATHS),
    st.tuples(st.just("unlink"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS, st.sampled_from([0, 0, 0, 1, 2, 3, 8])),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("symlink"), TARGETS, PATHS),
    st.tuples(st.just("readlink"), PATHS),
    st.tuples(st.just("chmod"), PATHS, MODES, FOLLOW),
    st.tuples(st.just("chown"), PATHS, IDS, IDS, FOLLOW),
    st.tuples(st.just("utime"), PATHS, FOLLOW),
    st.tuples(st.just("truncate"), PATHS, SIZES),
    st.tuples(st.just("mknod"), PATHS, NODES, MODES, st.sampled_from([0, os.makedev(1, 3)])),
    st.tuples(st.just("setxattr"), PATHS, XATTRS, st.sampled_from([0, 0, 0, 1, 2, 3, 4]), FOLLOW),
    st.tuples(st.just("removexattr"), PATHS, XATTRS, FOLLOW),
    st.tuples(st.just("getxattr"), PATHS, XATTRS, FOLLOW),
    st.tuples(st.just("write_bytes"), PATHS, st.sampled_from([b"", b"one", b"two", b"x" * 70000])),
    st.tuples(st.just("open"), PATHS, FLAGS, MODES, st.sampled_from([0, 2, 100, 66000]), st.binary(max_size=4)),
    st.tuples(st.just("read_bytes"), PATHS),
    st.tuples(st.just("listdir"), PATHS),
    st.tuples(st.just("stat"), PATHS, FOLLOW),
    st.tuples(st.just("layer")),
)


def look(status: os.stat_result) -> tuple[object, ...]:
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return status.st_mode, status.st_nlink, status.st_uid, status.st_gid, size, status.st_rdev


def play(tree: Tree, operation: tuple[Any, ...]) -> object:
    """Do one operation; return its result or its errno and paths."""
    name, *rest = operation
    try:
        if name == "stat":
            return look(tree.stat(rest[0], follow_symlinks=rest[1]))
        if name == "listdir":
            return sorted(tree.listdir(*rest))
        if name == "rename":
            return tree.rename(rest[0], rest[1], flags=RenameFlag(rest[2]))
        if name in ("chmod", "chown"):
            return getattr(tree, name)(*rest[:-1], follow_symlinks=rest[-1])
        if name == "utime":
            return tree.utime(rest[0], ns=(10**9 + 1, 2 * 10**9 + 2), follow_symlinks=rest[1])
        if name == "mknod":
            return tree.mknod(rest[0], rest[1] | rest[2], rest[3])
        if name == "setxattr":
            return tree.setxattr(rest[0], *rest[1], rest[2], follow_symlinks=rest[3])
        if name in ("getxattr", "removexattr"):
            return getattr(tree, name)(rest[0], rest[1][0], follow_symlinks=rest[2])
        if name == "open":
            return play_file(tree, *rest)
        return getattr(tree, name)(*rest)
    except OSError as error:
        return type(error), error.errno, error.filename, error.filename2


def play_file(tree: Tree, path: str, flags: int, mode: int, offset: int, data: bytes) -> object:
    results: list[object] = []
    with tree.open_raw(path, flags, mode) as file:
        results += [file.name, file.readable(), file.writable(), file.seek(offset)]
        if file.writable():
            results += [file.write(data), file.tell(), file.truncate(), file.seek(1, os.SEEK_CUR), file.write(data)]
        if file.readable():
            results += [file.seek(0), file.read(3), file.readall(), file.seek(0, os.SEEK_END)]
    return results


def is_ambiguous(tree: Tree, operation: tuple[Any, ...]) -> bool:
    """Tell whether an xattr operation is wrong twice, in its path and its arguments: which counts differs by kernel."""
    name, *rest = operation
    if not name.endswith("xattr"):
        return False
    try:
        tree.stat(rest[0], follow_symlinks=rest[-1])
    except OSError:
        return not 0 < len(os.fsencode(rest[1][0])) <= 255 or (name == "setxattr" and rest[2] > 3)
    return False


def is_special(tree: Tree, path: str) -> bool:
    """Tell whether opening would go to the kernel's FIFO, socket or device on the real side."""
    try:
        return stat.S_IFMT(tree.stat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR)
    except OSError:
        return False


def picture(tree: Tree) -> dict[str, object]:
    """Return all there is to see of a tree but times and inode numbers."""
    seen: dict[str, object] = {}
    groups: dict[int, str] = {}
    todo = [""]
    while todo:
        path = todo.pop()
        status = tree.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if kind == stat.S_IFDIR:
            todo += sorted((entry.path for entry in tree.scandir(path)), reverse=True)
        elif kind == stat.S_IFREG:
            content = tree.read_bytes(path)
        elif kind == stat.S_IFLNK:
            content = tree.readlink(path)
        names = tree.listxattr(path, follow_symlinks=False)
        xattrs = [(name, tree.getxattr(path, name, follow_symlinks=False)) for name in names]
        seen[path] = (look(status), content, xattrs, groups.setdefault(status.st_ino, path))
    return seen


class Pair:
    """A memory tree, layer over layer, and a directory of a real file system."""

    def __init__(self, directory: str) -> None:
        os.chmod(directory, 0o755)
        self.numbers = itertools.count()
        self.driver = MemoryDriver(DriverConfig(None))
        self.host = HostTree(os.open(directory, os.O_RDONLY | os.O_DIRECTORY))
        self.below: SnapshotId | None = None
        self.current = self.id()
        self.driver.prepare(self.current, None)
        self.memory = self.driver.tree(self.current, readonly=False)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.close()
        self.driver.close()

    def id(self) -> SnapshotId:
        return SnapshotId(f"s{next(self.numbers)}")

    def do(self, operation: tuple[Any, ...]) -> None:
        """Do an operation on both sides, which must answer alike; ``layer`` is one for the memory's side alone."""
        if operation[0] == "layer":
            self.below = self.id()
            self.driver.commit(self.current, self.below)
            self.current = self.id()
            self.driver.prepare(self.current, self.below)
            self.memory = self.driver.tree(self.current, readonly=False)
            return
        if operation[0] in ("open", "write_bytes", "read_bytes") and is_special(self.memory, operation[1]):
            return
        if is_ambiguous(self.memory, operation):
            return
        assert play(self.memory, operation) == play(self.host, operation), operation


@settings(max_examples=250, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(OPERATIONS, min_size=5, max_size=60))
def test_the_same_as_a_real_directory(operations: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory, Pair(directory) as pair:
        for operation in operations:
            pair.do(operation)
        assert picture(pair.memory) == picture(pair.host)
        found = list(pair.driver.changes(pair.current, pair.below))
        if pair.below is None:
            assert found == list(compare(None, pair.memory))
        else:
            with pair.driver.tree(pair.below, readonly=True) as before:
                assert found == list(compare(before, pair.memory))


def modified(tree: Tree) -> list[str]:
    """Return the paths whose modification time is not that of the beginning, and give it back to them."""
    found = []
    todo = [""]
    while todo:
        path = todo.pop()
        status = tree.lstat(path)
        if status.st_mtime_ns:
            found.append(path)
            tree.utime(path, ns=(0, 0), follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            todo += [entry.path for entry in tree.scandir(path)]
    return sorted(found)


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(OPERATIONS, min_size=5, max_size=30))
def test_the_same_times_move(operations: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory, Pair(directory) as pair:
        for operation in operations:
            pair.do(operation)
            assert modified(pair.memory) == modified(pair.host), operation
