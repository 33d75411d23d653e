"""Trees on disk with one of everything in them, what they hold, and places to put them."""

from __future__ import annotations

import codecs
import functools
import importlib
import os
import pkgutil
import shutil
import stat
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testkit import syscalls
from testkit.loops import need_root
from testkit.unprivileged import NOBODY

__all__ = [
    "ACL_ACCESS",
    "ACL_DEFAULT",
    "NAMED_USER",
    "PLACES",
    "acl",
    "digest",
    "fill",
    "load_all",
    "open_to_all",
    "remove_all",
    "run_as",
    "run_as_nobody",
    "run_in_child",
]

ACL_ACCESS = "system.posix_acl_access"
ACL_DEFAULT = "system.posix_acl_default"


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Encode a POSIX ACL as the kernel has it: tag, permissions, id."""
    return b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, permissions, who in entries
    )


NAMED_USER = acl((1, 7, -1), (2, 5, 1234), (4, 5, -1), (16, 5, -1), (32, 0, -1))


PLACES = ("disk", "tmpfs", "xfs", "btrfs")
"""The kinds of file system that the fixture ``place`` goes through."""


@pytest.fixture(scope="session")
def place_roots(request: pytest.FixtureRequest) -> dict[str, Path]:
    """Return a file system of each kind that root can mount; nothing for anyone else."""
    if os.geteuid() != 0:
        return {}
    make = request.getfixturevalue("session_filesystem")
    roots = {kind: make(kind, size="512M") for kind in PLACES if kind != "disk"}
    for root in roots.values():
        open_to_all(root)
    return roots


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, place_roots: dict[str, Path]) -> Iterator[Path]:
    """Return an empty directory on each kind of file system, which every user can reach."""
    if request.param == "disk":
        open_to_all(tmp_path)
        yield tmp_path
        return
    if request.param != "tmpfs":
        need_root()
    path = Path(tempfile.mkdtemp(dir=place_roots.get(request.param, Path("/dev/shm"))))
    path.chmod(0o755)
    yield path
    remove_all(path)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory in memory that every user can reach."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    path.chmod(0o755)
    yield path
    remove_all(path)


def remove_all(path: Path) -> None:
    """Remove a directory and all in it, also what its owner may not look into.

    The kernel leaves the work directory of an overlay closed, to its owner too; and tests make such.
    """
    if os.geteuid() != 0:
        os.chmod(path, 0o700)
        for directory, names, _ in os.walk(path):
            for name in names:
                inside = os.path.join(directory, name)
                if not os.path.islink(inside):
                    os.chmod(inside, 0o700)
    shutil.rmtree(path)


def open_to_all(path: Path) -> None:
    """Let everyone into a directory below pytest's own, which it makes for its user alone."""
    temporary = Path(tempfile.gettempdir())
    for directory in (path, *path.parents):
        if directory == temporary:
            break
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o111)
    path.chmod(0o755)


def run_as_nobody(action: Callable[[], object]) -> None:
    """Call a function in a child process of an unprivileged user; fails with what it raised there.

    Called by such a user, it just calls.
    """
    if os.geteuid() != 0:
        action()
        return

    load_all()

    def act() -> None:
        syscalls.drop_privileges(NOBODY, NOBODY)
        action()

    run_in_child(act)


@functools.cache
def load_all() -> None:
    """Import what is imported when it is used: the interpreter may lie where such a user cannot read."""
    import secrets  # noqa: F401 - see above

    for codec in ("ascii", "latin-1", "utf-8-sig"):
        codecs.lookup(codec)
    for package in ("overlaykit", "overlaykit_overlayfs", "overlaykit_directory", "overlaykit_memory"):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if "conformance" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def run_in_child(action: Callable[[], object]) -> None:
    """Call a function in a child process; fails with what it raised there."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            action()
        except BaseException:
            os.write(write, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        report = file.read().decode()
    _, status = os.waitpid(child, 0)
    assert not report, report
    assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"


def run_as(user: str, root: Path, action: Callable[[Path], None]) -> None:
    """Make a directory that belongs to a user and call a function with it as that user.

    :param user: ``"own"`` for the test's own, ``"nobody"`` for one without any privilege.
    """
    root.mkdir()
    if user == "own":
        action(root)
        return
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)

    def act() -> None:
        if user == "nobody" and root.stat().st_uid == NOBODY:
            tempfile.tempdir = str(root)  # the test's own is closed to others
        action(root)

    before = tempfile.tempdir
    try:
        run_as_nobody(act)
    finally:
        tempfile.tempdir = before


def digest(root: Path) -> dict[str, tuple[Any, ...]]:
    """Describe every entry of a tree by all that a copy must keep."""
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    found: dict[str, tuple[Any, ...]] = {}

    def visit(path: bytes, relative: bytes) -> None:
        status = os.lstat(path)
        extra: Any = None
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb", opener=_without_atime) as file:
                extra = file.read()
        elif stat.S_ISLNK(status.st_mode):
            extra = os.readlink(path)
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            extra = status.st_rdev
        if not stat.S_ISDIR(status.st_mode):
            names[status.st_dev, status.st_ino].append(os.fsdecode(relative))
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
            if not name.startswith("trusted.SGI_ACL_")  # how XFS stores ACLs, shown besides them
        }
        found[os.fsdecode(relative)] = (
            stat.S_IFMT(status.st_mode),
            oct(stat.S_IMODE(status.st_mode)),
            (status.st_uid, status.st_gid),
            status.st_atime_ns if stat.S_ISREG(status.st_mode) else None,  # looking changes that of others
            status.st_mtime_ns,
            extra,
            xattrs,
        )
        if stat.S_ISDIR(status.st_mode):
            for name in sorted(os.listdir(path)):
                visit(path + b"/" + name, relative + b"/" + name)

    visit(os.fsencode(root), b"")
    for group in names.values():
        for name in group:
            found[name] = (*found[name], tuple(sorted(group)))
    return found


def _without_atime(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOATIME)


def fill(root: Path) -> None:
    """Put one of everything below ``root``, as root also what only root can make."""
    privileged = os.geteuid() == 0
    root.chmod(0o755)
    (root / "empty").touch(mode=0o640)
    (root / "small").write_bytes(b"small\0content")
    (root / "big").write_bytes(os.urandom(3_000_001))
    (root / "mid").write_bytes(os.urandom(100_000))
    with (root / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(40 << 20)
        file.write(b"middle")
        file.truncate(100 << 20)
    with (root / "only-a-hole").open("wb") as file:
        file.truncate(5 << 20)
    (root / "sub/deeper/deepest").mkdir(parents=True)
    (root / "sub/file").write_text("x")
    os.link(root / "small", root / "sub/deeper/hard")
    os.link(root / "small", root / "hard-beside")
    (root / "link").symlink_to("sub/file")
    (root / "dangling").symlink_to("/no/where" * 110)
    os.link(root / "link", root / "sub/hard-link-to-link", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o622)
    os.mknod(root / "socket", stat.S_IFSOCK | 0o755)
    os.mkfifo(root / "sub/fifo", 0o600)
    os.link(root / "sub/fifo", root / "sub/fifo-too")
    for raw in (b"not-utf-8-\xff\xfe", b"new\nline", b"-leading", b".wh.name", b"x" * 255, b"a:b,c\\d"):
        with open(os.fsencode(root) + b"/" + raw, "wb") as file:
            file.write(raw)
    for name, mode in (("suid", 0o4755), ("sgid", 0o2755), ("readonly", 0o444), ("sticky", 0o1644), ("all", 0o7777)):
        (root / name).write_text(name)
        (root / name).chmod(mode)
    (root / "shared").mkdir()
    (root / "shared/inside").mkdir()
    (root / "shared/inside/file").write_text("x")
    (root / "sticky-dir").mkdir()
    (root / "closed").mkdir()
    (root / "closed/file").write_text("x")
    os.link(root / "closed/file", root / "zz-linked-from-closed")
    if _has_xattrs(root):
        os.setxattr(root / "small", "user.text", b"value")
        os.setxattr(root / "readonly", "user.empty", b"") if privileged else None
        (root / "readonly-with").write_text("x")
        os.setxattr(root / "readonly-with", "user.binary", bytes(range(256)) * 3)
        (root / "readonly-with").chmod(0o444)
        os.setxattr(root / "sub", "user.on-a-directory", b"")
    if _has_acls(root):
        os.setxattr(root / "mid", ACL_ACCESS, NAMED_USER)
        os.setxattr(root / "shared", ACL_DEFAULT, NAMED_USER)
        os.setxattr(root / "shared", ACL_ACCESS, NAMED_USER)
    if privileged:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "block", stat.S_IFBLK | 0o660, os.makedev(7, 200))
        os.mknod(root / "whiteout", stat.S_IFCHR, os.makedev(0, 0))
        for name in ("small", "null", "sub", "suid", "all"):
            mode = (root / name).stat().st_mode
            os.chown(root / name, 1000, 2000)
            os.chmod(root / name, stat.S_IMODE(mode))
        os.chown(root / "link", 5, 6, follow_symlinks=False)
        os.setxattr(root / "link", "trusted.of-a-link", b"x", follow_symlinks=False)
        os.setxattr(root / "null", "trusted.of-a-device", b"y")
        os.setxattr(root / "suid", "security.capability", b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        os.chown(root, 77, 88)
    (root / "shared").chmod(0o2775)
    (root / "sticky-dir").chmod(0o1777)
    (root / "closed").chmod(0o555 if not privileged else 0)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(10**18 + number, 10**18 + 7 * number + 123456789), follow_symlinks=False)
    root.chmod(0o2751)
    os.utime(root, ns=(5, 123456789123456789))


def _has_xattrs(path: Path) -> bool:
    return _takes(path, "user.probe", b"x")


def _has_acls(path: Path) -> bool:
    return _takes(path, ACL_ACCESS, NAMED_USER)


def _takes(path: Path, name: str, value: bytes) -> bool:
    probe = path / "probe"
    probe.mkdir()
    try:
        os.setxattr(probe, name, value)
    except OSError:
        return False
    finally:
        probe.rmdir()
    return True
