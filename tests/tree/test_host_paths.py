"""Where paths lead in a HostTree: never out of it, however long, strange or moving they are."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from overlaykit.tree import HostTree

pytestmark = pytest.mark.native


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "/../secret",
        "../../../../../../../../etc/passwd",
        "dir/../../secret",
        "up",
        "up/../../secret",
        "absolute",
        "root/etc/passwd",
        "dots/secret",
        "/proc/self/root/etc/passwd",
        "procfs/self/environ",
    ],
)
def test_no_path_leads_out(tree: HostTree, base: Path, path: str) -> None:
    tree.mkdir("dir")
    tree.symlink("../secret", "up")
    tree.symlink(str(base / "secret"), "absolute")
    tree.symlink("/", "root")
    tree.symlink("../..", "dots")
    tree.symlink("/proc", "procfs")
    reads: list[Callable[[str], object]] = [tree.stat, tree.read_bytes, tree.scandir, tree.listxattr]
    for operation in reads:
        with pytest.raises(FileNotFoundError):
            operation(path)
    assert not tree.exists(path)
    assert (base / "secret").read_text() == "secret"


def test_dots_above_the_root_are_the_root(tree: HostTree) -> None:
    tree.write_bytes("file", b"inside")
    tree.symlink("/file", "absolute")
    tree.symlink("../../../file", "up")
    for path in ("../file", "/../../file", "absolute", "up", "/./../absolute"):
        assert tree.read_bytes(path) == b"inside"
    tree.mkdir("../made")
    tree.rename("../../made", "/../moved")
    assert sorted(tree.listdir("..")) == ["absolute", "file", "moved", "up"]


def test_links_are_followed_inside(tree: HostTree) -> None:
    tree.makedirs("usr/lib/deep")
    tree.symlink("/usr/lib", "lib")
    tree.symlink("../../lib/deep", "usr/lib/again")
    tree.write_bytes("lib/again/file", b"1")
    assert tree.read_bytes("/usr/lib/deep/file") == b"1"
    assert tree.read_bytes("usr/lib/again/../deep/file") == b"1"
    assert [entry.path for entry in tree.scandir("lib/again/")] == ["lib/again/file"]
    tree.symlink("/lib/new", "dangling")
    tree.write_bytes("dangling", b"2")
    assert tree.read_bytes("usr/lib/new") == b"2"
    assert tree.is_symlink("dangling")


def test_a_write_through_an_absolute_link_stays_inside(tree: HostTree, base: Path) -> None:
    tree.symlink(str(base / "secret"), "link")
    with pytest.raises(FileNotFoundError):
        tree.write_bytes("link", b"escaped")
    tree.makedirs(str(base))
    tree.write_bytes("link", b"inside")
    assert tree.read_bytes(str(base / "secret")) == b"inside"
    assert (base / "secret").read_text() == "secret"


def test_a_magic_link_is_not_followed(tree: HostTree) -> None:
    with HostTree(os.open("/proc/self", os.O_RDONLY)) as process:
        for path in ("root/etc", "cwd/x", f"fd/{tree.fileno()}/x"):
            with pytest.raises(OSError, match="Too many levels") as caught:
                process.stat(path)
            assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("depth", [39, 40, 41])
def test_as_many_links_as_the_kernel_follows(tree: HostTree, depth: int) -> None:
    tree.write_bytes("link0", b"end")
    for number in range(depth):
        tree.symlink(f"link{number}", f"link{number + 1}")
    if depth <= 40:
        assert tree.read_bytes(f"link{depth}") == b"end"
    else:
        with pytest.raises(OSError, match="Too many levels"):
            tree.read_bytes(f"link{depth}")


STRANGE = [b"\xff\xfe", b"new\nline", b"a:b,c\\d", b"-rf", b".wh.x", "ünï😀".encode(), b" ", b"\x7f\x01", b"..."]


@pytest.mark.parametrize("name", STRANGE)
def test_names_are_bytes(tree: HostTree, name: bytes, identity: str) -> None:
    text = os.fsdecode(name)
    tree.mkdir(name)
    tree.write_bytes(text + "/file", b"1")
    tree.symlink(name, b"link")
    tree.setxattr(name, "user." + text, b"2")
    assert tree.readlink("link") == text
    assert tree.read_bytes(b"link/file") == b"1"
    assert tree.listxattr("link") == ["user." + text]
    assert sorted(tree.listdir()) == sorted([text, "link"])
    assert [entry.path for entry in tree.scandir(name)] == [f"{text}/file"]
    assert [level[0] for level in tree.walk()] == ["", text]
    assert os.listdir(os.fsencode(f"/proc/self/fd/{tree.fileno()}/") + name) == [b"file"]
    tree.rename(name, name + b"2")
    assert not tree.exists(text)
    tree.rmtree(name + b"2")


# -- long paths --------------------------------------------------------------------------------------------------


def deep(tree: HostTree, length: int, name: str = "d" * 99) -> str:
    path = "/".join([name] * (length // (len(name) + 1)))
    tree.makedirs(path)
    return path


@pytest.mark.parametrize("length", [3900, 4090, 4096, 4100, 8200, 20000])
def test_paths_of_any_length(tree: HostTree, length: int, identity: str) -> None:
    path = deep(tree, length)
    file = f"{path}/file"
    assert tree.write_bytes(file, b"deep") == 4
    assert tree.read_bytes(file) == b"deep"
    assert tree.read_bytes("/" + file.replace("/", "//")) == b"deep"
    with tree.open(file, "a") as text:
        text.write("er")
    assert tree.stat(file).st_size == 6
    tree.symlink("file", f"{path}/link")
    tree.symlink(f"/{'d' * 99}", f"{path}/top")
    assert tree.readlink(f"{path}/link") == "file"
    assert tree.is_symlink(f"{path}/link")
    assert tree.read_bytes(f"{path}/link") == b"deeper"
    assert tree.stat(f"{path}/top/").st_ino == tree.stat("d" * 99).st_ino
    assert tree.read_bytes(f"{path}/top{path[99:]}/file") == b"deeper"
    tree.link(file, f"{path}/hard")
    tree.rename(f"{path}/hard", "near")
    tree.link("near", f"{path}/hard")
    assert tree.stat(file).st_nlink == 3
    tree.chmod(file, 0o600)
    tree.utime(file, ns=(1, 2))
    tree.truncate(file, 2)
    tree.setxattr(file, "user.x", b"1")
    assert tree.getxattr(file, "user.x") == b"1"
    assert tree.listxattr(file) == ["user.x"]
    tree.removexattr(file, "user.x")
    tree.mknod(f"{path}/fifo", stat.S_IFIFO | 0o600)
    tree.mkdir(f"{path}/new/")
    tree.rmdir(f"{path}/new/")
    assert sorted(tree.listdir(path)) == ["fifo", "file", "hard", "link", "top"]
    assert {entry.path for entry in tree.scandir(path)} == {f"{path}/{name}" for name in tree.listdir(path)}
    for name in tree.listdir(path):
        tree.unlink(f"{path}/{name}")
    assert sum(1 for _ in tree.walk()) == path.count("/") + 2
    tree.rmtree("d" * 99)
    assert tree.listdir() == ["near"]


def test_errors_of_long_paths(tree: HostTree) -> None:
    path = deep(tree, 8000)
    tree.write_bytes(f"{path}/file", b"")
    tree.symlink("loop", f"{path}/loop")
    tree.symlink("nowhere", f"{path}/dangling")
    cases: list[tuple[Callable[[], object], int]] = [
        (lambda: tree.stat(f"{path}/nothing"), errno.ENOENT),
        (lambda: tree.stat(f"{path}/nothing/x"), errno.ENOENT),
        (lambda: tree.stat(f"{path}/file/x"), errno.ENOTDIR),
        (lambda: tree.stat(f"{path}/file/"), errno.ENOTDIR),
        (lambda: tree.stat(f"{path}/loop"), errno.ELOOP),
        (lambda: tree.stat(f"{path}/loop/x"), errno.ELOOP),
        (lambda: tree.stat(f"{path}/{'n' * 256}"), errno.ENAMETOOLONG),
        (lambda: tree.stat("n" * 5000), errno.ENAMETOOLONG),
        (lambda: tree.mkdir(f"{path}/{'n' * 256}"), errno.ENAMETOOLONG),
        (lambda: tree.mkdir(path), errno.EEXIST),
        (lambda: tree.mkdir(f"{path}/dangling"), errno.EEXIST),
        (lambda: tree.rmdir(path), errno.ENOTEMPTY),
        (lambda: tree.rmdir(f"{path}/.."), errno.ENOTEMPTY),
        (lambda: tree.mkdir(f"{path}/."), errno.EEXIST),
        (lambda: tree.rename(f"{path}/.", "new"), errno.EBUSY),
        (lambda: tree.stat(f"{path}/file/."), errno.ENOTDIR),
        (lambda: tree.mkdir(f"{path}/dangling/."), errno.ENOENT),
        (lambda: tree.unlink(path), errno.EISDIR),
        (lambda: tree.unlink(f"{path}/file/"), errno.ENOTDIR),
        (lambda: tree.rename(f"{path}/file", f"{path}/new/"), errno.ENOTDIR),
        (lambda: tree.open_raw(f"{path}/dangling", os.O_CREAT | os.O_EXCL | os.O_WRONLY), errno.EEXIST),
        (lambda: tree.open_raw(f"{path}/loop", os.O_RDONLY | os.O_NOFOLLOW), errno.ELOOP),
        (lambda: tree.read_bytes(path), errno.EISDIR),
        (lambda: tree.readlink(f"{path}/file"), errno.EINVAL),
    ]
    for operation, code in cases:
        with pytest.raises(OSError, match=r".") as caught:
            operation()
        assert caught.value.errno == code
        assert str(caught.value.filename).startswith(("ddd", "nnn"))
    tree.write_bytes(f"{path}/dangling", b"made")
    assert tree.read_bytes(f"{path}/nowhere") == b"made"


def test_dots_in_long_paths(tree: HostTree, base: Path) -> None:
    path = deep(tree, 8000)
    tree.write_bytes("file", b"top")
    up = "/".join([".."] * (path.count("/") + 1))
    for many in (up, up + "/../../..", up + "/./" * 100):
        assert tree.read_bytes(f"{path}/{many}/file") == b"top"
        assert tree.stat(f"{path}/{many}").st_ino == tree.stat().st_ino
    assert tree.read_bytes("../" * 2000 + "file") == b"top"
    assert tree.read_bytes("./" * 3000 + "file") == b"top"
    assert not tree.exists("../" * 2000 + "secret")
    assert sorted(tree.listdir("/" * 5000)) == sorted(["d" * 99, "file"])
    with pytest.raises(OSError, match="busy"):
        tree.rmdir("./" * 3000)


@pytest.mark.parametrize("depth", [1000])
def test_trees_deeper_than_the_stack(tree: HostTree, depth: int, identity: str) -> None:
    path = "/".join(["deep"] * depth)
    tree.makedirs(path)
    tree.write_bytes(f"{path}/file", b"")
    levels = [level[0] for level in tree.walk()]
    assert len(levels) == depth + 1
    assert [level[0] for level in tree.walk(topdown=False)] == levels[::-1]
    tree.rmtree("deep")
    assert tree.listdir() == []


# -- races -------------------------------------------------------------------------------------------------------


def test_a_swapping_link_never_leads_out(tree: HostTree, base: Path) -> None:
    """A thread replaces a directory by links to the outside and back, while paths through it are used."""
    outside = base / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    root = f"/proc/self/fd/{tree.fileno()}"
    tree.mkdir("door")
    tree.write_bytes("door/file", b"inside")
    tree.symlink(str(outside), "trap")
    tree.symlink("../outside", "trap2")
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        from overlaykit.tree import RenameFlag

        with HostTree(os.open(root, os.O_RDONLY)) as own:
            while not stop.is_set():
                for trap in ("trap", "trap2"):
                    own.rename("door", trap, flags=RenameFlag.EXCHANGE)
                    own.rename("door", trap, flags=RenameFlag.EXCHANGE)
                    swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    operations: list[Callable[[], object]] = [
        lambda: tree.read_bytes("door/file"),
        lambda: tree.write_bytes("door/file", b"inside"),
        lambda: tree.write_bytes("door/new", b""),
        lambda: tree.chmod("door/new", 0o600),
        lambda: tree.rename("door/new", "door/moved"),
        lambda: tree.setxattr("door/moved", "user.x", b"1"),
        lambda: tree.setxattr("door/file", "user.x", b"1", follow_symlinks=False),
        lambda: tree.truncate("door/file", 6),
        lambda: tree.link("door/file", "door/linked"),
        lambda: tree.unlink("door/linked"),
        lambda: tree.unlink("door/moved"),
    ]
    reached = missed = rounds = 0
    try:
        while rounds < 500 or not reached or not missed:
            rounds += 1
            for operation in operations:
                try:
                    assert operation() in (None, 0, 6, b"inside", b"")
                    reached += 1
                except FileNotFoundError:
                    missed += 1
                except FileExistsError:
                    tree.unlink("linked") if tree.exists("linked") else None
    finally:
        stop.set()
        thread.join()
    assert swaps
    assert (outside / "file").read_text() == "secret"
    assert os.listdir(outside) == ["file"]
    assert os.stat(outside / "file").st_nlink == 1
    assert os.listxattr(outside / "file") == []


def test_rmtree_does_not_follow_what_appears_meanwhile(tree: HostTree) -> None:
    """A thread turns directories that are being removed into links to what must stay."""
    tree.makedirs("keep/deep")
    tree.write_bytes("keep/deep/file", b"kept")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                tree.rename("gone/a/b", "aside")
                tree.symlink("/keep", "gone/a/b")
            with contextlib.suppress(OSError):
                tree.rmtree("aside")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                if not tree.is_symlink("gone/a/b"):
                    tree.makedirs("gone/a/b/deep", exist_ok=True)
            with contextlib.suppress(OSError):
                tree.rmtree("gone")
            assert tree.read_bytes("keep/deep/file") == b"kept"
    finally:
        stop.set()
        thread.join()


def test_dots_race_with_renames(tree: HostTree, base: Path) -> None:
    """The kernel asks to try again when a rename meets ``..``; the caller never sees that."""
    tree.makedirs("a/b")
    tree.write_bytes("file", b"top")
    stop = threading.Event()

    def rename() -> None:
        while not stop.is_set():
            tree.rename("a", "c")
            tree.rename("c", "a")

    thread = threading.Thread(target=rename)
    thread.start()
    seen = 0
    try:
        for _ in range(2000):
            try:
                assert tree.read_bytes("a/b/../../file") == b"top"
                seen += 1
            except FileNotFoundError:
                pass
            assert tree.read_bytes("../file") == b"top"
    finally:
        stop.set()
        thread.join()
    assert seen
