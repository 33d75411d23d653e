"""Every operation of a HostTree against the kernel's own, on two directories that hold the same."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overlaykit.tree import HostTree, RenameFlag

pytestmark = pytest.mark.native

E = errno
Operation = Callable[[Any], object]


class Kernel:
    """The operations of a tree as system calls below a directory, with nothing between."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, path: str) -> str:
        return f"{self.root}/{path.lstrip('/')}"

    def open(self, path: str, flags: int) -> None:
        fd = os.open(self.at(path), flags, 0o644)
        directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        if directory:
            raise IsADirectoryError(errno.EISDIR, "no file object of a directory")

    def mkdir(self, path: str) -> None:
        os.mkdir(self.at(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self.at(path))

    def unlink(self, path: str) -> None:
        os.unlink(self.at(path))

    def rename(self, src: str, dst: str) -> None:
        os.rename(self.at(src), self.at(dst))

    def link(self, src: str, dst: str) -> None:
        os.link(self.at(src), self.at(dst), follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.at(path))

    def mknod(self, path: str, mode: int) -> None:
        os.mknod(self.at(path), mode)

    def readlink(self, path: str) -> str:
        return os.readlink(self.at(path))

    def stat(self, path: str, follow_symlinks: bool = True) -> int:
        return stat.S_IFMT(os.stat(self.at(path), follow_symlinks=follow_symlinks).st_mode)

    def scandir(self, path: str) -> list[str]:
        return sorted(os.listdir(self.at(path)))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.at(path), uid, gid)

    def utime(self, path: str) -> None:
        os.utime(self.at(path))

    def truncate(self, path: str, length: int) -> None:
        os.truncate(self.at(path), length)

    def getxattr(self, path: str, name: str) -> bytes:
        return os.getxattr(self.at(path), name)

    def setxattr(self, path: str, name: str, value: bytes, flags: int = 0, follow_symlinks: bool = True) -> None:
        os.setxattr(self.at(path), name, value, flags, follow_symlinks=follow_symlinks)

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(self.at(path), name)


class Through:
    """A tree with the same face."""

    def __init__(self, tree: HostTree) -> None:
        self.tree = tree

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tree, name)

    def open(self, path: str, flags: int) -> None:
        self.tree.open_raw(path, flags, 0o644).close()

    def stat(self, path: str, follow_symlinks: bool = True) -> int:
        return stat.S_IFMT(self.tree.stat(path, follow_symlinks=follow_symlinks).st_mode)

    def scandir(self, path: str) -> list[str]:
        return sorted(entry.name for entry in self.tree.scandir(path))


def furnish(root: Path) -> None:
    (root / "dir").mkdir()
    (root / "dir" / "file").write_text("inner")
    (root / "empty").mkdir()
    (root / "file").write_text("content")
    (root / "other").write_text("other")
    (root / "link").symlink_to("file")
    (root / "dirlink").symlink_to("dir")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop1").symlink_to("loop2")
    (root / "loop2").symlink_to("loop1")
    os.mkfifo(root / "fifo")


def dump(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            what: object = oct(status.st_mode), status.st_nlink, status.st_size if stat.S_ISREG(status.st_mode) else 0
            if stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            found[os.path.relpath(path, root)] = what
    return found


LONGEST, TOO_LONG = "n" * 255, "n" * 256
CREATE, EXCLUSIVE = os.O_CREAT | os.O_WRONLY, os.O_CREAT | os.O_EXCL | os.O_WRONLY

CASES: list[tuple[str, Operation, int | None]] = [
    ("open a file", lambda t: t.open("file", os.O_RDONLY), None),
    ("open through a link", lambda t: t.open("link", os.O_RDWR), None),
    ("open nothing", lambda t: t.open("nothing", os.O_RDONLY), E.ENOENT),
    ("open in nothing", lambda t: t.open("nothing/x", os.O_RDONLY), E.ENOENT),
    ("open in a file", lambda t: t.open("file/x", os.O_RDONLY), E.ENOTDIR),
    ("open a file with a slash", lambda t: t.open("file/", os.O_RDONLY), E.ENOTDIR),
    ("open a directory", lambda t: t.open("dir", os.O_RDONLY), E.EISDIR),
    ("open a directory to write", lambda t: t.open("dir", os.O_WRONLY), E.EISDIR),
    ("create a directory", lambda t: t.open("dir", CREATE), E.EISDIR),
    ("create with a slash", lambda t: t.open("new/", CREATE), E.EISDIR),
    ("open a file as directory", lambda t: t.open("file", os.O_RDONLY | os.O_DIRECTORY), E.ENOTDIR),
    ("open a link, not followed", lambda t: t.open("link", os.O_RDONLY | os.O_NOFOLLOW), E.ELOOP),
    ("open a loop", lambda t: t.open("loop1", os.O_RDONLY), E.ELOOP),
    ("open below a loop", lambda t: t.open("loop1/x", os.O_RDONLY), E.ELOOP),
    ("open a dangling link", lambda t: t.open("dangling", os.O_RDONLY), E.ENOENT),
    ("create through a dangling link", lambda t: t.open("dangling", CREATE), None),
    ("create exclusively on a dangling link", lambda t: t.open("dangling", EXCLUSIVE), E.EEXIST),
    ("create exclusively on a file", lambda t: t.open("file", EXCLUSIVE), E.EEXIST),
    ("create exclusively on a directory", lambda t: t.open("dir", EXCLUSIVE), E.EEXIST),
    ("create exclusively", lambda t: t.open("new", EXCLUSIVE), None),
    ("create and truncate", lambda t: t.open("file", CREATE | os.O_TRUNC), None),
    ("create with the longest name", lambda t: t.open(LONGEST, CREATE), None),
    ("create with too long a name", lambda t: t.open(TOO_LONG, CREATE), E.ENAMETOOLONG),
    ("create in a directory of too long a name", lambda t: t.open(f"{TOO_LONG}/x", CREATE), E.ENAMETOOLONG),
    ("mkdir", lambda t: t.mkdir("new"), None),
    ("mkdir with a slash", lambda t: t.mkdir("new/"), None),
    ("mkdir through a link", lambda t: t.mkdir("dirlink/new"), None),
    ("mkdir on a directory", lambda t: t.mkdir("dir"), E.EEXIST),
    ("mkdir on a file", lambda t: t.mkdir("file"), E.EEXIST),
    ("mkdir on a dangling link", lambda t: t.mkdir("dangling"), E.EEXIST),
    ("mkdir on a dangling link with a slash", lambda t: t.mkdir("dangling/"), E.EEXIST),
    ("mkdir in nothing", lambda t: t.mkdir("nothing/x"), E.ENOENT),
    ("mkdir in a file", lambda t: t.mkdir("file/x"), E.ENOTDIR),
    ("mkdir in a loop", lambda t: t.mkdir("loop1/x"), E.ELOOP),
    ("mkdir of too long a name", lambda t: t.mkdir(TOO_LONG), E.ENAMETOOLONG),
    ("mkdir of a dot", lambda t: t.mkdir("dir/."), E.EEXIST),
    ("mkdir of two dots", lambda t: t.mkdir("dir/.."), E.EEXIST),
    ("rmdir", lambda t: t.rmdir("empty"), None),
    ("rmdir with slashes", lambda t: t.rmdir("empty///"), None),
    ("rmdir of a full directory", lambda t: t.rmdir("dir"), E.ENOTEMPTY),
    ("rmdir of a file", lambda t: t.rmdir("file"), E.ENOTDIR),
    ("rmdir of a link", lambda t: t.rmdir("dirlink"), E.ENOTDIR),
    ("rmdir of a link with a slash", lambda t: t.rmdir("dirlink/"), E.ENOTDIR),
    ("rmdir of nothing", lambda t: t.rmdir("nothing"), E.ENOENT),
    ("rmdir of a dot", lambda t: t.rmdir("empty/."), E.EINVAL),
    ("rmdir of two dots", lambda t: t.rmdir("empty/.."), E.ENOTEMPTY),
    ("unlink", lambda t: t.unlink("file"), None),
    ("unlink a link", lambda t: t.unlink("link"), None),
    ("unlink a fifo", lambda t: t.unlink("fifo"), None),
    ("unlink a directory", lambda t: t.unlink("dir"), E.EISDIR),
    ("unlink an empty directory", lambda t: t.unlink("empty"), E.EISDIR),
    ("unlink nothing", lambda t: t.unlink("nothing"), E.ENOENT),
    ("unlink in a file", lambda t: t.unlink("file/x"), E.ENOTDIR),
    ("unlink a file with a slash", lambda t: t.unlink("file/"), E.ENOTDIR),
    ("unlink a link with a slash", lambda t: t.unlink("dirlink/"), E.ENOTDIR),
    ("unlink two dots", lambda t: t.unlink("dir/.."), E.EISDIR),
    ("rename a file", lambda t: t.rename("file", "new"), None),
    ("rename a file over a file", lambda t: t.rename("file", "other"), None),
    ("rename a file to itself", lambda t: t.rename("file", "file"), None),
    ("rename a file over a link", lambda t: t.rename("file", "link"), None),
    ("rename a link", lambda t: t.rename("link", "new"), None),
    ("rename a directory", lambda t: t.rename("dir", "new"), None),
    ("rename a directory with slashes", lambda t: t.rename("dir/", "new/"), None),
    ("rename a directory over an empty one", lambda t: t.rename("dir", "empty"), None),
    ("rename a directory over a full one", lambda t: t.rename("empty", "dir"), E.ENOTEMPTY),
    ("rename a directory over a file", lambda t: t.rename("dir", "file"), E.ENOTDIR),
    ("rename a file over a directory", lambda t: t.rename("file", "empty"), E.EISDIR),
    ("rename a directory into itself", lambda t: t.rename("dir", "dir/new"), E.EINVAL),
    ("rename over an ancestor", lambda t: t.rename("dir/file", "dir"), E.ENOTEMPTY),
    ("rename nothing", lambda t: t.rename("nothing", "new"), E.ENOENT),
    ("rename into nothing", lambda t: t.rename("file", "nothing/x"), E.ENOENT),
    ("rename a file with a slash", lambda t: t.rename("file/", "new"), E.ENOTDIR),
    ("rename a file to one with a slash", lambda t: t.rename("file", "new/"), E.ENOTDIR),
    ("rename a dot", lambda t: t.rename("dir/.", "new"), E.EBUSY),
    ("rename to too long a name", lambda t: t.rename("file", TOO_LONG), E.ENAMETOOLONG),
    ("link a file", lambda t: t.link("file", "new"), None),
    ("link a link", lambda t: t.link("link", "new"), None),
    ("link a dangling link", lambda t: t.link("dangling", "new"), None),
    ("link a fifo", lambda t: t.link("fifo", "new"), None),
    ("link a directory", lambda t: t.link("dir", "new"), E.EPERM),
    ("link nothing", lambda t: t.link("nothing", "new"), E.ENOENT),
    ("link over a file", lambda t: t.link("file", "other"), E.EEXIST),
    ("link a directory over a file", lambda t: t.link("dir", "other"), E.EEXIST),
    ("link a file with a slash", lambda t: t.link("file/", "new"), E.ENOTDIR),
    ("link into nothing", lambda t: t.link("file", "nothing/x"), E.ENOENT),
    ("link two dots", lambda t: t.link("dir/..", "new"), E.EPERM),
    ("symlink", lambda t: t.symlink("any\nwhere/../x//", "new"), None),
    ("symlink over a file", lambda t: t.symlink("x", "file"), E.EEXIST),
    ("symlink over a dangling link", lambda t: t.symlink("x", "dangling"), E.EEXIST),
    ("symlink with an empty target", lambda t: t.symlink("", "new"), E.ENOENT),
    ("symlink with a slash", lambda t: t.symlink("x", "new/"), E.ENOENT),
    ("symlink with the longest target", lambda t: t.symlink("x" * 4095, "new"), None),
    ("symlink with too long a target", lambda t: t.symlink("x" * 4096, "new"), E.ENAMETOOLONG),
    ("mknod a fifo", lambda t: t.mknod("new", stat.S_IFIFO | 0o644), None),
    ("mknod a file", lambda t: t.mknod("new", stat.S_IFREG | 0o644), None),
    ("mknod a file without a type", lambda t: t.mknod("new", 0o600), None),
    ("mknod a socket", lambda t: t.mknod("new", stat.S_IFSOCK | 0o644), None),
    ("mknod a directory", lambda t: t.mknod("new", stat.S_IFDIR | 0o755), E.EPERM),
    ("mknod a link", lambda t: t.mknod("new", stat.S_IFLNK | 0o777), E.EINVAL),
    ("mknod over a file", lambda t: t.mknod("file", stat.S_IFIFO | 0o644), E.EEXIST),
    ("mknod with a slash", lambda t: t.mknod("new/", stat.S_IFIFO | 0o644), E.ENOENT),
    ("readlink", lambda t: t.readlink("link"), None),
    ("readlink a dangling link", lambda t: t.readlink("dangling"), None),
    ("readlink in a directory", lambda t: t.readlink("./loop1"), None),
    ("readlink a file", lambda t: t.readlink("file"), E.EINVAL),
    ("readlink a file in a directory", lambda t: t.readlink("dir/file"), E.EINVAL),
    ("readlink a directory", lambda t: t.readlink("dir"), E.EINVAL),
    ("readlink a link with a slash", lambda t: t.readlink("dirlink/"), E.EINVAL),
    ("readlink nothing", lambda t: t.readlink("nothing"), E.ENOENT),
    ("stat a link", lambda t: t.stat("link"), None),
    ("stat a link, not followed", lambda t: t.stat("link", follow_symlinks=False), None),
    ("stat a link with a slash, not followed", lambda t: t.stat("dirlink/", follow_symlinks=False), None),
    ("stat a dangling link", lambda t: t.stat("dangling"), E.ENOENT),
    ("stat a dangling link, not followed", lambda t: t.stat("dangling", follow_symlinks=False), None),
    ("stat a loop", lambda t: t.stat("loop1"), E.ELOOP),
    ("stat a file with a slash", lambda t: t.stat("file/"), E.ENOTDIR),
    ("stat a file with a dot", lambda t: t.stat("file/."), E.ENOTDIR),
    ("stat a file with two dots", lambda t: t.stat("file/.."), E.ENOTDIR),
    ("stat two dots", lambda t: t.stat("dir/.."), None),
    ("stat too long a name", lambda t: t.stat(TOO_LONG), E.ENAMETOOLONG),
    ("scandir", lambda t: t.scandir("dir"), None),
    ("scandir a link", lambda t: t.scandir("dirlink"), None),
    ("scandir a file", lambda t: t.scandir("file"), E.ENOTDIR),
    ("scandir nothing", lambda t: t.scandir("nothing"), E.ENOENT),
    ("scandir a loop", lambda t: t.scandir("loop1"), E.ELOOP),
    ("chmod", lambda t: t.chmod("file", 0o4711), None),
    ("chmod through a link", lambda t: t.chmod("link", 0o711), None),
    ("chmod a directory", lambda t: t.chmod("dir", 0o1777), None),
    ("chmod a fifo", lambda t: t.chmod("fifo", 0o622), None),
    ("chmod a dangling link", lambda t: t.chmod("dangling", 0o600), E.ENOENT),
    ("chown to nobody in particular", lambda t: t.chown("file", -1, -1), None),
    ("chown nothing", lambda t: t.chown("nothing", -1, -1), E.ENOENT),
    ("utime", lambda t: t.utime("file"), None),
    ("utime of a dangling link", lambda t: t.utime("dangling"), E.ENOENT),
    ("truncate down", lambda t: t.truncate("file", 3), None),
    ("truncate up, through a link", lambda t: t.truncate("link", 30000), None),
    ("truncate below nothing", lambda t: t.truncate("file", -1), E.EINVAL),
    ("truncate a directory", lambda t: t.truncate("dir", 0), E.EISDIR),
    ("truncate a fifo", lambda t: t.truncate("fifo", 0), E.EINVAL),
    ("truncate nothing", lambda t: t.truncate("nothing", 0), E.ENOENT),
    ("setxattr", lambda t: t.setxattr("file", "user.a", b"\0\xff"), None),
    ("setxattr, empty, through a link", lambda t: t.setxattr("link", "user.a", b""), None),
    ("setxattr, on a directory", lambda t: t.setxattr("dir", "user.a", b"1"), None),
    ("setxattr of one that is missing", lambda t: t.setxattr("file", "user.a", b"", os.XATTR_REPLACE), E.ENODATA),
    ("setxattr of no namespace", lambda t: t.setxattr("file", "a", b""), E.EOPNOTSUPP),
    ("setxattr of an empty name", lambda t: t.setxattr("file", "", b""), E.ERANGE),
    ("setxattr of too long a name", lambda t: t.setxattr("file", "user." + "n" * 300, b""), E.ERANGE),
    ("setxattr of too much", lambda t: t.setxattr("file", "user.a", b"x" * 65537), E.E2BIG),
    ("setxattr on a link", lambda t: t.setxattr("link", "user.a", b"", follow_symlinks=False), E.EPERM),
    ("setxattr on a fifo", lambda t: t.setxattr("fifo", "user.a", b""), E.EPERM),
    ("getxattr of one that is missing", lambda t: t.getxattr("file", "user.none"), E.ENODATA),
    ("getxattr of nothing", lambda t: t.getxattr("nothing", "user.none"), E.ENOENT),
    ("removexattr of one that is missing", lambda t: t.removexattr("file", "user.none"), E.ENODATA),
]


def outcome(operation: Operation, on: object) -> tuple[int | None, object]:
    try:
        return None, operation(on)
    except OSError as error:
        return error.errno, None


@pytest.mark.parametrize(("operation", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("base", ["disk"], indirect=True)
def test_as_the_kernel(directory: Path, tree: HostTree, operation: Operation, code: int | None) -> None:
    for name in ("tree", "kernel"):
        (directory / name).mkdir()
        furnish(directory / name)
    with HostTree(os.open(directory / "tree", os.O_RDONLY)) as rooted:
        got = outcome(operation, Through(rooted))
    expected = outcome(operation, Kernel(directory / "kernel"))
    assert got == expected
    assert got[0] == code
    assert dump(directory / "tree") == dump(directory / "kernel")
    assert os.listdir(directory) == os.listdir(f"/proc/self/fd/{tree.fileno()}")


def test_all_of_them_as_anyone_and_on_other_file_systems(directory: Path, identity: str) -> None:
    wrong = []
    for number, (name, operation, code) in enumerate(CASES):
        root = directory / str(number)
        root.mkdir()
        furnish(root)
        with HostTree(os.open(root, os.O_RDONLY)) as tree:
            got, _ = outcome(operation, Through(tree))
        if got != code:
            wrong.append((name, got and errno.errorcode[got], code and errno.errorcode[code]))
    assert wrong == []


ROOTS = ["", ".", "/", "//", "./", "/./."]


@pytest.mark.parametrize("root", ROOTS)
def test_the_root_stays_where_it_is(tree: HostTree, root: str) -> None:
    tree.write_bytes("file", b"")
    tree.mkdir("dir")
    tree.symlink("/", "slash")
    expected: list[tuple[Operation, int]] = [
        (lambda t: t.rmdir(root), E.EBUSY),
        (lambda t: t.unlink(root), E.EISDIR),
        (lambda t: t.mkdir(root), E.EEXIST),
        (lambda t: t.rename(root, "new"), E.EBUSY),
        (lambda t: t.rename("dir", root), E.EBUSY),
        (lambda t: t.rename("dir", root, flags=RenameFlag.NOREPLACE), E.EEXIST),
        (lambda t: t.link("file", root), E.EEXIST),
        (lambda t: t.link(root, "new"), E.EPERM),
        (lambda t: t.symlink("x", root), E.EEXIST),
        (lambda t: t.mknod(root, stat.S_IFIFO), E.EEXIST),
        (lambda t: t.readlink(root), E.EINVAL),
        (lambda t: t.truncate(root, 0), E.EISDIR),
        (lambda t: t.read_bytes(root), E.EISDIR),
        (lambda t: t.write_bytes(root, b""), E.EISDIR),
        (lambda t: t.open_raw(root, os.O_RDONLY), E.EISDIR),
    ]
    assert [outcome(operation, tree)[0] for operation, _ in expected] == [code for _, code in expected]
    assert sorted(tree.listdir(root)) == ["dir", "file", "slash"]
    assert tree.stat(root).st_ino == tree.stat("slash/").st_ino == os.fstat(tree.fileno()).st_ino
    tree.chmod(root, 0o700)
    tree.utime(root, ns=(1, 2))
    tree.setxattr(root, "user.root", b"1")
    assert tree.listxattr(root) == ["user.root"]
    status = tree.stat("slash/..")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o700, 2)


def test_rename_flags(tree: HostTree) -> None:
    tree.write_bytes("a", b"a")
    tree.mkdir("b")
    with pytest.raises(FileExistsError):
        tree.rename("a", "b", flags=RenameFlag.NOREPLACE)
    tree.rename("a", "b", flags=RenameFlag.EXCHANGE)
    assert tree.read_bytes("b") == b"a"
    assert tree.is_dir("a")
    tree.rename("b", "c", flags=RenameFlag.NOREPLACE)
    with pytest.raises(FileNotFoundError):
        tree.rename("a", "nothing", flags=RenameFlag.EXCHANGE)
    whiteout = RenameFlag(4)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        tree.rename("a", "b", flags=whiteout)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("path", ["dir/missing", b"dir/missing", Path("dir/missing"), "/dir//missing"])
def test_an_error_has_the_path_as_the_caller_gave_it(tree: HostTree, path: str | bytes | Path) -> None:
    tree.mkdir("dir")
    given = os.fspath(path)
    for operation in (tree.stat, tree.unlink, tree.read_bytes, tree.listxattr, tree.scandir, tree.readlink, tree.rmdir):
        with pytest.raises(FileNotFoundError) as caught:
            operation(path)
        assert caught.value.filename == given
        assert caught.value.filename2 is None
    with pytest.raises(FileNotFoundError) as caught:
        tree.rename(path, "dir")
    assert (caught.value.filename, caught.value.filename2) == (given, "dir")
    with pytest.raises(FileNotFoundError) as caught:
        tree.link(path, b"other")
    assert (caught.value.filename, caught.value.filename2) == (given, b"other")
    with pytest.raises(IsADirectoryError) as caught:
        tree.open("dir", "rb")
    assert caught.value.filename == "dir"


@pytest.mark.parametrize("path", ["a\0b", b"a\0b", "\0", "a" * 5000 + "\0"])
def test_no_path_has_a_nul(tree: HostTree, path: str | bytes) -> None:
    for operation in (tree.stat, tree.mkdir, tree.read_bytes, tree.scandir, tree.listxattr, tree.makedirs):
        with pytest.raises(ValueError, match="embedded null byte"):
            operation(path)
    with pytest.raises(ValueError, match="embedded null byte"):
        tree.symlink(path, "link")
    with pytest.raises(ValueError, match="embedded null byte"):
        tree.setxattr("", "user.\0", b"")
    assert tree.listdir() == []


@pytest.mark.parametrize("path", [3, None, 1.5, object()])
def test_a_path_is_text_or_bytes(tree: HostTree, path: Any) -> None:
    for operation in (tree.stat, tree.mkdir, tree.read_bytes, tree.scandir):
        with pytest.raises(TypeError):
            operation(path)
    with pytest.raises(TypeError):
        tree.open_raw(path, os.O_RDONLY)


def test_a_whiteout_cannot_be_made(tree: HostTree, identity: str) -> None:
    with pytest.raises(PermissionError) as caught:
        tree.mknod("whiteout", stat.S_IFCHR | 0o600, 0)
    assert caught.value.errno == errno.EPERM
    assert tree.listdir() == []


def test_a_mode_of_a_link_cannot_be_set(tree: HostTree) -> None:
    tree.write_bytes("file", b"")
    tree.symlink("file", "link")
    with pytest.raises(OSError, match="not supported") as caught:
        tree.chmod("link", 0o600, follow_symlinks=False)
    assert caught.value.errno == errno.EOPNOTSUPP
    tree.chmod("file", 0o600, follow_symlinks=False)
    assert stat.S_IMODE(tree.stat("file").st_mode) == 0o600
