"""What compare() finds between two trees: exactly what differs, in order; and digests that agree with it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.dump import differences, dump_tree

from overlaykit.tree import (
    Aspect,
    Change,
    ChangeKind,
    HostTree,
    LinkGroups,
    Tree,
    change_order,
    compare,
    copy_tree,
    difference,
    same_content,
    tree_digest,
)

NewTree = Callable[[], Tree]
ADDED, MODIFIED, DELETED = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


def furnish(tree: Tree) -> None:
    tree.makedirs("dir/sub/deep")
    tree.makedirs("dir-x")
    tree.mkdir("empty")
    for path in ("file", "dir/one", "dir/sub/two", "dir/sub/deep/three", "dir-x/four"):
        tree.write_bytes(path, path.encode() * 100)
    tree.write_bytes("large", bytes(range(256)) * 2000)
    tree.write_bytes("empty-file", b"")
    tree.symlink("file", "link")
    tree.mknod("fifo", stat.S_IFIFO | 0o600)
    for name in ("a", "b", "c"):
        tree.link("file", f"hard-{name}")
    tree.link("link", "hard-link")
    tree.setxattr("file", "user.a", b"1")
    tree.setxattr("dir", "user.a", b"1")
    for path, _, rest in tree.walk(topdown=False):
        for entry in rest:
            tree.utime(entry.path, ns=(1, 10**18 + 7), follow_symlinks=False)
        tree.utime(path, ns=(1, 10**18 + 8))


@pytest.fixture
def pair(new_tree: NewTree) -> tuple[Tree, Tree]:
    before, after = new_tree(), new_tree()
    furnish(before)
    copy_tree(before, after)
    return before, after


def keep_time(tree: Tree, path: str, operation: Callable[[], object]) -> None:
    """Do something and set the times back: no timestamp may be what gives it away."""
    status = tree.stat(path, follow_symlinks=False)
    operation()
    tree.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def keeping(tree: Tree, operation: Callable[[], object], *directories: str) -> None:
    """Do something and set back the times of the directories whose entries it changes."""
    times = {path: tree.stat(path) for path in directories}
    operation()
    for path, status in times.items():
        tree.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(tree: Tree, path: str, make: Callable[[str], object]) -> None:
    tree.unlink(path)
    make(path)


def test_equal_trees_have_no_differences(pair: tuple[Tree, Tree]) -> None:
    before, after = pair
    assert list(compare(before, after)) == []
    assert list(compare(before, before)) == []
    assert tree_digest(before) == tree_digest(after)


ONE_ASPECT: dict[str, tuple[Callable[[Tree], object], list[Change]]] = {
    "same size, same time": (
        lambda t: keep_time(t, "dir/one", lambda: t.write_bytes("dir/one", b"DIR/ONE" * 100)),
        [Change(MODIFIED, "dir/one", Aspect.CONTENT)],
    ),
    "last byte of a large file": (
        lambda t: keep_time(t, "large", lambda: t.write_bytes("large", bytes(range(256)) * 1999 + bytes(256))),
        [Change(MODIFIED, "large", Aspect.CONTENT)],
    ),
    "size": (
        lambda t: keep_time(t, "dir/one", lambda: t.truncate("dir/one", 3)),
        [Change(MODIFIED, "dir/one", Aspect.CONTENT)],
    ),
    "content by a name": (
        lambda t: keep_time(t, "file", lambda: t.write_bytes("hard-b", b"FILE" * 100)),
        [Change(MODIFIED, name, Aspect.CONTENT) for name in ("file", "hard-a", "hard-b", "hard-c")],
    ),
    "mode": (lambda t: t.chmod("dir/one", 0o4755), [Change(MODIFIED, "dir/one", Aspect.MODE)]),
    "mode of a directory": (lambda t: t.chmod("dir/sub", 0o1777), [Change(MODIFIED, "dir/sub", Aspect.MODE)]),
    "mode of a fifo": (lambda t: t.chmod("fifo", 0o644), [Change(MODIFIED, "fifo", Aspect.MODE)]),
    "mode of the root": (lambda t: t.chmod("", 0o700), [Change(MODIFIED, ".", Aspect.MODE)]),
    "time by a nanosecond": (
        lambda t: t.utime("dir/one", ns=(1, 10**18 + 6)),
        [Change(MODIFIED, "dir/one", Aspect.MTIME)],
    ),
    "time of a link": (
        lambda t: t.utime("link", ns=(1, 5), follow_symlinks=False),
        [Change(MODIFIED, name, Aspect.MTIME) for name in ("hard-link", "link")],
    ),
    "time of a directory": (lambda t: t.utime("empty", ns=(1, 1)), [Change(MODIFIED, "empty", Aspect.MTIME)]),
    "time of the root": (lambda t: t.utime("", ns=(1, 1)), [Change(MODIFIED, ".", Aspect.MTIME)]),
    "access time": (lambda t: t.utime("dir/one", ns=(77, 10**18 + 7)), []),
    "xattr set": (lambda t: t.setxattr("dir/one", "user.b", b""), [Change(MODIFIED, "dir/one", Aspect.XATTRS)]),
    "xattr value": (lambda t: t.setxattr("dir", "user.a", b"2"), [Change(MODIFIED, "dir", Aspect.XATTRS)]),
    "xattr gone": (lambda t: t.removexattr("dir", "user.a"), [Change(MODIFIED, "dir", Aspect.XATTRS)]),
    "xattr of the root": (lambda t: t.setxattr("", "user.a", b""), [Change(MODIFIED, ".", Aspect.XATTRS)]),
    "several at once": (
        lambda t: (t.write_bytes("dir/one", b"x"), t.chmod("dir/one", 0), t.setxattr("dir/one", "user.b", b"")),
        [Change(MODIFIED, "dir/one", Aspect.CONTENT | Aspect.MODE | Aspect.MTIME | Aspect.XATTRS)],
    ),
    "touched, content the same": (
        lambda t: t.write_bytes("dir/one", b"dir/one" * 100),
        [Change(MODIFIED, "dir/one", Aspect.MTIME)],
    ),
    "a link's target": (
        lambda t: keeping(
            t,
            lambda: (
                replace(t, "link", lambda p: t.symlink("dir/one", p)),
                t.utime("link", ns=(1, 10**18 + 7), follow_symlinks=False),
            ),
            "",
        ),
        [Change(MODIFIED, "link", Aspect.TARGET | Aspect.LINKS)],
    ),
    "deleted": (lambda t: keeping(t, lambda: t.unlink("dir/one"), "dir"), [Change(DELETED, "dir/one")]),
    "a tree deleted": (lambda t: keeping(t, lambda: t.rmtree("dir/sub"), "dir"), [Change(DELETED, "dir/sub")]),
    "added": (
        lambda t: keeping(t, lambda: (t.makedirs("dir/a/b"), t.symlink("x", "dir/a/b/c"), t.mkdir("dir/a.x")), "dir"),
        [Change(ADDED, path) for path in ("dir/a", "dir/a/b", "dir/a/b/c", "dir/a.x")],
    ),
    "deleted and made again": (
        lambda t: keeping(
            t,
            lambda: (
                t.rmtree("dir/sub"),
                t.mkdir("dir/sub"),
                t.chmod("dir/sub", 0o755),
                t.write_bytes("dir/sub/two", b"dir/sub/two" * 100),
                t.utime("dir/sub/two", ns=(1, 10**18 + 7)),
                t.utime("dir/sub", ns=(1, 10**18 + 8)),
            ),
            "dir",
        ),
        [Change(DELETED, "dir/sub/deep")],
    ),
    "directory to file": (
        lambda t: keeping(t, lambda: (t.rmtree("dir/sub"), t.write_bytes("dir/sub", b"")), "dir"),
        [Change(MODIFIED, "dir/sub", Aspect.TYPE)],
    ),
    "file to directory": (
        lambda t: keeping(t, lambda: (t.unlink("dir/one"), t.makedirs("dir/one/x/y")), "dir"),
        [Change(MODIFIED, "dir/one", Aspect.TYPE), Change(ADDED, "dir/one/x"), Change(ADDED, "dir/one/x/y")],
    ),
    "directory to link": (
        lambda t: keeping(t, lambda: (t.rmtree("dir/sub"), t.symlink("..", "dir/sub")), "dir"),
        [Change(MODIFIED, "dir/sub", Aspect.TYPE)],
    ),
    "file to fifo": (
        lambda t: keeping(t, lambda: (t.unlink("dir/one"), t.mknod("dir/one", stat.S_IFIFO)), "dir"),
        [Change(MODIFIED, "dir/one", Aspect.TYPE)],
    ),
    "a link less": (
        lambda t: keeping(t, lambda: t.unlink("hard-b"), ""),
        [Change(DELETED, "hard-b")],
    ),
    "the first name less": (
        lambda t: keeping(t, lambda: t.unlink("file"), ""),
        [Change(DELETED, "file")],
    ),
    "a link more": (
        lambda t: keeping(t, lambda: t.link("file", "another"), ""),
        [Change(ADDED, "another")],
    ),
    "a link broken": (
        lambda t: keeping(t, lambda: break_link(t, "hard-b"), ""),
        [Change(MODIFIED, "hard-b", Aspect.LINKS)],
    ),
    "the first link broken": (
        lambda t: keeping(t, lambda: break_link(t, "file"), ""),
        [Change(MODIFIED, name, Aspect.LINKS) for name in ("hard-a", "hard-b", "hard-c")],
    ),
    "two pairs": (
        lambda t: keeping(t, lambda: (break_link(t, "hard-b"), t.unlink("hard-c"), t.link("hard-b", "hard-c")), ""),
        [Change(MODIFIED, name, Aspect.LINKS) for name in ("hard-b", "hard-c")],
    ),
    "a file linked that was not": (
        lambda t: keeping(t, lambda: (t.unlink("dir/one"), t.link("dir/sub/two", "dir/one")), "dir"),
        [Change(MODIFIED, "dir/one", Aspect.CONTENT), Change(MODIFIED, "dir/sub/two", Aspect.LINKS)],
    ),
    "renamed": (
        lambda t: keeping(t, lambda: t.rename("dir/sub", "dir/zzz"), "dir"),
        [
            Change(DELETED, "dir/sub"),
            *(Change(ADDED, path) for path in ("dir/zzz", "dir/zzz/deep", "dir/zzz/deep/three", "dir/zzz/two")),
        ],
    ),
    "nothing at all": (
        lambda t: keeping(t, lambda: (t.rename("dir", "aside"), t.rename("aside", "dir")), ""),
        [],
    ),
}


def break_link(tree: Tree, name: str) -> None:
    """Make a name a file of its own that has everything but the identity."""
    status = tree.stat(name)
    content = tree.read_bytes(name)
    tree.unlink(name)
    tree.write_bytes(name, content)
    tree.chmod(name, stat.S_IMODE(status.st_mode))
    tree.setxattr(name, "user.a", b"1")
    tree.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", ONE_ASPECT)
def test_each_difference_is_found_and_no_other(pair: tuple[Tree, Tree], name: str) -> None:
    before, after = pair
    change, expected = ONE_ASPECT[name]
    change(after)
    found = list(compare(before, after))
    assert found == expected
    assert found == differences(dump_tree(before), dump_tree(after))
    assert [change.path for change in found] == sorted((change.path for change in found), key=change_order)
    assert (tree_digest(before) == tree_digest(after)) is (not expected)


def test_order_is_a_parent_then_its_children_by_bytes(new_tree: NewTree) -> None:
    tree = new_tree()
    names = ["a", "a/b", "a-b", "a b", "a/b/c", "\udcff", "ü", "a\n", "A", "z"]
    for name in sorted(names, key=change_order):
        tree.mkdir(name)
    found = [change.path for change in compare(None, tree)]
    assert found == sorted(names, key=change_order)
    assert found.index("a/b/c") < found.index("a\n") < found.index("a b") < found.index("a-b")


def test_against_nothing_everything_is_added(new_tree: NewTree) -> None:
    tree = new_tree()
    assert list(compare(None, tree)) == []
    furnish(tree)
    found = list(compare(None, tree))
    paths = [entry.path for _, directories, rest in tree.walk() for entry in (*directories, *rest)]
    assert found == [Change(ADDED, path) for path in sorted(paths, key=change_order)]
    tree.chmod("", 0o711)
    tree.setxattr("", "user.a", b"")
    assert next(compare(None, tree)) == Change(MODIFIED, ".", Aspect.MODE | Aspect.XATTRS)


@pytest.mark.native
def test_owners_and_devices(new_host_tree: NewTree) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    before, after = new_host_tree(), new_host_tree()
    for tree in (before, after):
        tree.write_bytes("uid", b"")
        tree.write_bytes("gid", b"")
        tree.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3 if tree is before else 5))
        tree.mknod("block", stat.S_IFBLK | 0o600, os.makedev(7, 7))
        for name in tree.listdir():
            tree.utime(name, ns=(1, 1))
        tree.utime("", ns=(1, 1))
    after.chown("uid", 7, -1)
    after.chown("gid", -1, 7)
    assert list(compare(before, after)) == [
        Change(MODIFIED, "device", Aspect.DEVICE),
        Change(MODIFIED, "gid", Aspect.OWNER),
        Change(MODIFIED, "uid", Aspect.OWNER),
    ]
    assert tree_digest(before) != tree_digest(after)
    after.chown("", 7, 7)
    assert next(compare(None, after)) == Change(MODIFIED, ".", Aspect.OWNER)


def test_a_driver_may_prove_that_nothing_changed(pair: tuple[Tree, Tree]) -> None:
    before, after = pair
    keep_time(after, "dir/one", lambda: after.write_bytes("dir/one", b"DIR/ONE" * 100))
    keep_time(after, "dir/sub/two", lambda: after.write_bytes("dir/sub/two", b"DIR/SUB/TWO" * 100))
    after.truncate("large", 5)
    asked = []

    def unchanged(path: str, old: os.stat_result, new: os.stat_result) -> bool:
        assert old.st_size == new.st_size
        asked.append(path)
        return path == "dir/one"

    found = list(compare(before, after, unchanged=unchanged))
    assert [(change.path, change.aspects) for change in found] == [
        ("dir/sub/two", Aspect.CONTENT),
        ("large", Aspect.CONTENT | Aspect.MTIME),
    ]
    # Neither for files whose sizes differ nor for empty ones is there anything to prove.
    assert "large" not in asked
    assert "empty-file" not in asked
    assert {"dir/one", "dir/sub/two", "file"} <= set(asked)


def test_difference_of_one_path(pair: tuple[Tree, Tree]) -> None:
    before, after = pair
    assert difference(before, after, "dir/one") == Aspect.NONE
    after.chmod("dir/one", 0o600)
    after.chmod("dir", 0o700)
    assert difference(before, after, "dir/one") == Aspect.MODE
    assert difference(before, after, "dir") == Aspect.MODE
    assert difference(before, after, ".") == Aspect.NONE
    status = before.lstat("dir/one"), after.lstat("dir/one")
    assert difference(before, after, "dir/one", *status) == Aspect.MODE
    with pytest.raises(FileNotFoundError):
        difference(before, after, "nothing")


def test_link_groups_ask_names_in_order(pair: tuple[Tree, Tree]) -> None:
    before, after = pair
    break_link(after, "hard-a")
    groups = LinkGroups()
    found = {
        name: groups.differ(name, before.lstat(name), after.lstat(name))
        for name in ("dir", "file", "hard-a", "hard-b", "hard-c")
    }
    assert found == {"dir": False, "file": False, "hard-a": True, "hard-b": False, "hard-c": False}


@pytest.mark.parametrize("size", [0, 1, 1 << 15, 1 << 18, (1 << 18) + 1, (1 << 19) + 5])
def test_content_is_compared_to_the_last_byte(new_tree: NewTree, size: int) -> None:
    before, after = new_tree(), new_tree()
    content = random.Random(size).randbytes(size)
    before.write_bytes("file", content)
    after.write_bytes("file", content)
    assert same_content(before, after, "file")
    assert not difference(before, after, "file") & Aspect.CONTENT
    for position in {0, size // 2, size - 1} if size else set():
        changed = bytearray(content)
        changed[position] ^= 1
        after.write_bytes("file", changed)
        assert not same_content(before, after, "file")
        assert difference(before, after, "file") & Aspect.CONTENT
    after.write_bytes("file", content + b"x")
    assert not same_content(before, after, "file")


HOLE = 3 << 20


@pytest.mark.parametrize("tail", [b"", b"end"])
def test_holes_are_zeros_and_nothing_else(new_tree: NewTree, tail: bytes) -> None:
    before, after = new_tree(), new_tree()
    for tree in (before, after):
        with tree.open("file", "wb") as file:
            file.write(b"begin")
            file.seek(HOLE)
            file.write(tail)
            file.truncate(HOLE + (1 << 20))
    assert same_content(before, after, "file")
    with after.open("file", "r+b") as file:
        file.seek(HOLE // 2)
        file.write(bytes(1 << 18))
    assert same_content(before, after, "file")
    with after.open("file", "r+b") as file:
        file.seek(HOLE - 1)
        file.write(b"x")
    assert not same_content(before, after, "file")
    assert not same_content(after, before, "file")
    after.truncate("file", HOLE - 1)
    after.truncate("file", HOLE + (1 << 20) + 1)
    assert not same_content(before, after, "file")


def test_what_cannot_be_read_is_an_error(pair: tuple[Tree, Tree]) -> None:
    before, after = pair
    after.close()
    with pytest.raises(OSError, match="closed") as caught:
        list(compare(before, after))
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="closed"):
        tree_digest(after)


def mutate(tree: Tree, rng: random.Random, new: str) -> None:
    """Try one small change; many make no sense and fail."""
    entries = [entry for _, directories, rest in tree.walk() for entry in (*directories, *rest)]
    path, other = rng.choice(entries).path, rng.choice(entries).path
    files = [entry.path for entry in entries if entry.format == stat.S_IFREG]
    file = rng.choice(files) if files else path
    operations: list[Callable[[], object]] = [
        lambda: tree.rmtree(path),
        lambda: tree.unlink(path),
        lambda: tree.rename(path, other),
        lambda: tree.rename(path, new),
        lambda: tree.link(path, new),
        lambda: tree.mkdir(new),
        lambda: tree.symlink(path, new),
        lambda: tree.write_bytes(file, rng.randbytes(rng.choice([0, 400, 512000]))),
        lambda: keep_time(tree, file, lambda: tree.write_bytes(file, rng.randbytes(400))),
        lambda: tree.chmod(path, rng.choice([0o600, 0o755, 0o7777])),
        lambda: tree.utime(path, ns=(1, rng.choice([10**18 + 7, 10**18 + 8])), follow_symlinks=False),
        lambda: tree.setxattr(path, "user.a", rng.choice([b"1", b"2"])),
    ]
    with contextlib.suppress(OSError):
        rng.choice(operations)()


@pytest.mark.parametrize("seed", range(25))
def test_random_changes(pair: tuple[Tree, Tree], seed: int) -> None:
    """A second opinion, from a dump of both trees, on many small changes at once."""
    before, after = pair
    rng = random.Random(seed)
    for number in range(40):
        mutate(after, rng, f"{rng.choice(['', 'dir/', 'dir/sub/', 'empty/'])}new{number}")
    expected = differences(dump_tree(before), dump_tree(after))
    assert list(compare(before, after)) == expected
    assert expected
    back = differences(dump_tree(after), dump_tree(before))
    assert list(compare(after, before)) == back


@pytest.mark.native
def test_a_tree_in_memory_and_one_on_the_disk(new_memory_tree: NewTree, new_host_tree: NewTree) -> None:
    memory, host = new_memory_tree(), new_host_tree()
    furnish(memory)
    copy_tree(memory, host)
    assert list(compare(memory, host)) == []
    assert list(compare(host, memory)) == []
    assert tree_digest(memory) == tree_digest(host)
    host.chmod("file", 0o600)
    assert [change.path for change in compare(memory, host)] == ["file", "hard-a", "hard-b", "hard-c"]
    assert tree_digest(memory) != tree_digest(host)


@pytest.mark.native
def test_comparing_holds_no_descriptor_between_two_changes(new_host_tree: NewTree, tmp_path: Path) -> None:
    before, after = new_host_tree(), new_host_tree()
    furnish(after)
    assert isinstance(after, HostTree)
    held = os.listdir("/proc/self/fd")
    changes = compare(before, after)
    next(changes)
    assert os.listdir("/proc/self/fd") == held
    changes.close()
