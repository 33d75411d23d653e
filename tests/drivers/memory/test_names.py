"""Names, links and attributes where a random walk is unlikely to come along."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from overlaykit.tree import RenameFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit_memory import MemoryTree

    Layered = Callable[[Callable[[MemoryTree], object]], MemoryTree]


def code(action: Callable[[], object]) -> int | None:
    """Return the errno that an action ends with."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asked for
        action()
    return caught.value.errno


def test_one_name_however_it_is_spelt(tree: MemoryTree) -> None:
    tree.write_bytes(b"caf\xc3\xa9", b"utf-8")
    assert tree.read_bytes("café") == tree.read_bytes("caf\udcc3\udca9") == b"utf-8"
    tree.write_bytes(b"caf\xe9", b"latin-1")
    assert sorted(tree.listdir()) == ["café", "caf\udce9"]
    assert tree.read_bytes("/caf\udce9") == b"latin-1"
    tree.symlink(b"caf\xe9", "link")
    assert tree.readlink("link") == "caf\udce9"
    assert tree.read_bytes("link") == b"latin-1"
    for use in (tree.stat, tree.mkdir, tree.unlink, lambda path: tree.symlink(path, "l")):
        with pytest.raises(ValueError, match="null"):
            use("a\0b")
    with pytest.raises(UnicodeEncodeError):
        tree.write_bytes("\ud800", b"")


def test_name_lengths_are_bytes(tree: MemoryTree) -> None:
    tree.mkdir("ü" * 127)
    assert code(lambda: tree.mkdir("ü" * 128)) == errno.ENAMETOOLONG
    tree.makedirs("/".join(["d" * 200] * 50))
    tree.write_bytes("/".join(["d" * 200] * 50) + "/f", b"10 kB of path")
    assert tree.read_bytes("/".join(["d" * 200] * 50) + "/f") == b"10 kB of path"


def test_symbolic_links_stay_inside(tree: MemoryTree) -> None:
    tree.makedirs("etc/deep")
    tree.write_bytes("etc/passwd", b"inside")
    for number, target in enumerate(
        ["/etc/passwd", "../../../etc/passwd", "etc/deep/../../../etc/passwd", "//etc/passwd"]
    ):
        tree.symlink(target, f"l{number}")
        assert tree.read_bytes(f"l{number}") == b"inside"
        assert tree.readlink(f"l{number}") == target
    tree.symlink("/etc", "etc/deep/up")
    assert tree.read_bytes("etc/deep/up/deep/up/passwd") == b"inside"
    tree.symlink("loop", "loop")
    assert code(lambda: tree.stat("loop")) == errno.ELOOP
    assert code(lambda: tree.stat("loop/x")) == errno.ELOOP
    assert tree.lstat("loop").st_size == 4
    for number in range(50):
        tree.symlink(f"chain{number + 1}", f"chain{number}")
    tree.write_bytes("chain50", b"end")
    assert tree.read_bytes("chain10") == b"end"
    assert code(lambda: tree.stat("chain9")) == errno.ELOOP
    assert not tree.exists("loop")
    assert tree.exists("loop", follow_symlinks=False)


def test_created_through_a_dangling_link(tree: MemoryTree) -> None:
    tree.mkdir("d")
    tree.symlink("/d/target", "link")
    assert code(lambda: tree.open("link", "xb")) == errno.EEXIST
    assert code(lambda: tree.open_raw("link", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW)) == errno.ELOOP
    tree.write_bytes("link", b"1")
    assert tree.read_bytes("d/target") == b"1"
    assert tree.is_symlink("link")


def test_hard_links_stay_one_file(layered: Layered) -> None:
    def fill(tree: MemoryTree) -> None:
        tree.write_bytes("a", b"1")
        tree.link("a", "b")
        tree.mkdir("d")
        tree.link("b", "d/c")
        tree.symlink("a", "s")
        tree.link("s", "s2")

    tree = layered(fill)
    assert tree.is_symlink("s2")
    tree.write_bytes("d/c", b"22")
    assert tree.read_bytes("a") == tree.read_bytes("b") == b"22"
    tree.rename("b", "moved")
    tree.unlink("a")
    tree.chmod("moved", 0o600)
    assert stat.S_IMODE(tree.stat("d/c").st_mode) == 0o600
    assert tree.stat("d/c").st_nlink == 2
    tree.rename("d/c", "moved")  # of one file: nothing happens
    assert tree.exists("d/c")
    tree.unlink("moved")
    assert tree.stat("d/c").st_nlink == 1
    tree.write_bytes("d/c", b"333")
    tree.rename("d/c", "last")
    assert tree.read_bytes("last") == b"333"
    assert code(lambda: tree.link("d", "e")) == errno.EPERM


def test_too_many_links(tree: MemoryTree) -> None:
    tree.write_bytes("f", b"")
    tree.stat("f")
    tree._snapshot.own[tree.stat("f").st_ino].nlink = 65_000
    assert code(lambda: tree.link("f", "g")) == errno.EMLINK


def test_directories_move_with_all_below(layered: Layered) -> None:
    tree = layered(lambda tree: (tree.makedirs("a/b/c"), tree.write_bytes("a/b/c/f", b"1"), tree.makedirs("x/y")))
    tree.rename("a/b", "x/moved")
    assert tree.read_bytes("x/moved/c/f") == b"1"
    assert tree.read_bytes("x/moved/c/../../moved/c/f") == b"1"
    assert (tree.stat("a").st_nlink, tree.stat("x").st_nlink) == (2, 4)
    assert code(lambda: tree.rename("x", "x/moved/c/x")) == errno.EINVAL
    assert code(lambda: tree.rename("a", "x/moved")) == errno.ENOTEMPTY
    tree.rename("x/moved/c", "a", flags=RenameFlag.EXCHANGE)
    assert tree.read_bytes("a/f") == b"1"
    assert tree.listdir("x/moved/c") == []
    tree.rename("x", "a/f", flags=RenameFlag.EXCHANGE)
    assert tree.read_bytes("x") == b"1"
    assert (tree.stat("").st_nlink, tree.stat("a").st_nlink) == (3, 3)
    assert sorted(entry.path for entry in tree.scandir("a/f/moved")) == ["a/f/moved/c"]


def test_listing_while_it_changes(tree: MemoryTree) -> None:
    for number in range(10):
        tree.write_bytes(f"f{number}", b"")
    listing = tree.scandir()
    next(listing)
    for number in range(10):
        tree.unlink(f"f{number}")
        tree.mkdir(f"d{number}")
    assert list(listing) == []
    tree.write_bytes("file", b"")
    assert code(lambda: tree.scandir("file")) == errno.ENOTDIR
    assert all(entry.is_dir() for entry in tree.scandir() if entry.name != "file")


def test_times(layered: Layered) -> None:
    tree = layered(lambda tree: (tree.mkdir("d"), tree.write_bytes("d/f", b"1")))
    tree.utime("d/f", ns=(1_000_000_001, 2_000_000_002))
    tree.utime("d", ns=(-1, 4_000_000_000_123_456_789))
    status = tree.stat("d/f")
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    assert status.st_mtime == pytest.approx(2.000000002)
    assert (tree.stat("d").st_atime_ns, tree.stat("d").st_mtime_ns) == (-1, 4_000_000_000_123_456_789)
    tree.read_bytes("d/f")
    tree.chmod("d/f", 0o600)
    assert tree.stat("d/f").st_atime_ns == 1_000_000_001
    assert tree.stat("d/f").st_mtime_ns == 2_000_000_002
    assert tree.stat("d/f").st_ctime_ns > 2_000_000_002
    with tree.open("d/f", "r+b") as file:
        file.write(b"")
    assert tree.stat("d/f").st_mtime_ns == 2_000_000_002
    tree.write_bytes("d/f", b"2")
    assert tree.stat("d/f").st_mtime_ns > 2_000_000_002
    assert tree.stat("d").st_mtime_ns == 4_000_000_000_123_456_789
    tree.rename("d/f", "d/g")
    assert tree.stat("d").st_mtime_ns < 4_000_000_000_123_456_789


def test_statvfs_is_of_memory(tree: MemoryTree) -> None:
    import psutil

    figures = tree.statvfs()
    assert figures.f_blocks * figures.f_frsize == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert 0 < figures.f_bavail <= figures.f_blocks
    assert figures.f_namemax == 255
    assert not figures.f_flag & os.ST_RDONLY
    tree.seal()
    assert tree.statvfs().f_flag & os.ST_RDONLY


def test_statvfs_where_the_platform_has_none(monkeypatch: pytest.MonkeyPatch, tree: MemoryTree) -> None:
    monkeypatch.delattr(os, "statvfs_result")
    figures = tree.statvfs()
    assert figures.f_blocks > 0
    assert figures.f_namemax == 255


def test_stat_where_the_platform_orders_its_fields_otherwise(monkeypatch: pytest.MonkeyPatch, tree: MemoryTree) -> None:
    from overlaykit.inodes import _node

    tree.write_bytes("f", b"x" * 5000)
    tree.utime("f", ns=(1_500_000_000_000_000_001, 1_600_000_000_000_000_002))
    fast = tree.stat("f")
    monkeypatch.setattr(_node, "_AS_ON_LINUX", False)
    slow = tree.stat("f")
    assert slow == fast
    for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_mtime", "st_blocks", "st_blksize", "st_rdev"):
        assert getattr(slow, name) == getattr(fast, name)


def test_xattr_limits(tree: MemoryTree) -> None:
    tree.write_bytes("f", b"")
    tree.setxattr("f", "user.large", b"x" * 65536)
    assert tree.getxattr("f", "user.large") == b"x" * 65536
    assert code(lambda: tree.setxattr("f", "user.large", b"x" * 65537)) == errno.E2BIG
    tree.setxattr("f", "user." + "n" * 250, bytearray(b"1"))
    assert tree.getxattr("f", "user." + "n" * 250) == b"1"
    assert tree.listxattr("f") == ["user.large", "user." + "n" * 250]


@pytest.mark.parametrize(
    "value",
    [b"", b"1", (0x01000001).to_bytes(4, "little") + bytes(8), (0x02000001).to_bytes(4, "little") + bytes(20)],
)
def test_malformed_capabilities(tree: MemoryTree, value: bytes) -> None:
    tree.write_bytes("f", b"")
    assert code(lambda: tree.setxattr("f", "security.capability", value)) == errno.EINVAL
    assert tree.listxattr("f") == []


@pytest.mark.parametrize("how", ["write", "write_bytes", "truncate", "O_TRUNC", "file.truncate", "chown"])
@pytest.mark.parametrize("privileged", [True, False])
def test_what_goes_when_content_or_owner_changes(layered: Layered, how: str, privileged: bool) -> None:
    capability = (0x02000001).to_bytes(4, "little") + bytes(16)

    def fill(tree: MemoryTree) -> None:
        for name in ("f", "nox"):
            tree.write_bytes(name, b"content")
            tree.setxattr(name, "security.capability", capability)
        tree.chmod("f", 0o6755)
        tree.chmod("nox", 0o6744)

    tree = layered(fill)
    tree._snapshot.world.privileged = privileged
    for name in ("f", "nox"):
        if how == "write":
            with tree.open_raw(name, os.O_WRONLY) as file:
                file.write(b"C")
        elif how == "file.truncate":
            with tree.open_raw(name, os.O_WRONLY) as file:
                file.truncate(1)
        elif how == "write_bytes":
            tree.write_bytes(name, b"C")
        elif how == "truncate":
            tree.truncate(name, 1)
        elif how == "O_TRUNC":
            tree.open_raw(name, os.O_WRONLY | os.O_TRUNC).close()
        else:
            tree.chown(name, 1, -1)
        assert tree.listxattr(name) == []
    modes = [stat.S_IMODE(tree.stat(name).st_mode) for name in ("f", "nox")]
    # Who is in the file's group keeps setgid that is no permission to execute.
    assert modes == ([0o6755, 0o6744] if privileged and how != "chown" else [0o755, 0o2744])


def test_default_lists_are_inherited(layered: Layered) -> None:
    def acl(*entries: tuple[int, int, int]) -> bytes:
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    none = 0xFFFFFFFF
    default = acl((1, 7, none), (2, 6, 1000), (4, 5, none), (16, 7, none), (32, 0, none))

    def fill(tree: MemoryTree) -> None:
        tree.mkdir("d", 0o755)
        tree.setxattr("d", "system.posix_acl_default", default)

    tree = layered(fill)
    tree.mkdir("d/sub", 0o777)
    assert tree.getxattr("d/sub", "system.posix_acl_default") == default
    assert tree.getxattr("d/sub", "system.posix_acl_access") == default
    tree.write_bytes("d/sub/f", b"")
    access = acl((1, 6, none), (2, 6, 1000), (4, 5, none), (16, 6, none), (32, 0, none))
    assert tree.getxattr("d/sub/f", "system.posix_acl_access") == access
    assert stat.S_IMODE(tree.stat("d/sub/f").st_mode) == 0o660
    tree.chmod("d/sub/f", 0o604)
    masked = acl((1, 6, none), (2, 6, 1000), (4, 5, none), (16, 0, none), (32, 4, none))
    assert tree.getxattr("d/sub/f", "system.posix_acl_access") == masked
    tree.symlink("f", "d/sub/l")
    assert tree.listxattr("d/sub/l", follow_symlinks=False) == []
    tree.removexattr("d/sub/f", "system.posix_acl_access")
    tree.removexattr("d/sub/f", "system.posix_acl_access")
    assert stat.S_IMODE(tree.stat("d/sub/f").st_mode) == 0o604
