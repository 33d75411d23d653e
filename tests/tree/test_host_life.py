"""A HostTree's descriptor, its files, and what it does when it is closed, sealed, read-only, forked or dropped."""

from __future__ import annotations

import errno
import io
import mmap
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from overlaykit import linux
from overlaykit.errors import LayerInUseError, StoreClosedError
from overlaykit.tree import HostTree, RenameFlag

pytestmark = pytest.mark.native

WRITES: dict[str, Callable[[HostTree], object]] = {
    "mkdir": lambda t: t.mkdir("new"),
    "rmdir": lambda t: t.rmdir("dir"),
    "unlink": lambda t: t.unlink("file"),
    "rename": lambda t: t.rename("file", "new"),
    "exchange": lambda t: t.rename("file", "dir", flags=RenameFlag.EXCHANGE),
    "link": lambda t: t.link("file", "new"),
    "symlink": lambda t: t.symlink("file", "new"),
    "mknod": lambda t: t.mknod("new", stat.S_IFIFO),
    "chmod": lambda t: t.chmod("file", 0o600),
    "chown": lambda t: t.chown("file", -1, -1),
    "utime": lambda t: t.utime("file"),
    "truncate": lambda t: t.truncate("file", 0),
    "setxattr": lambda t: t.setxattr("file", "user.a", b""),
    "removexattr": lambda t: t.removexattr("file", "user.b"),
    "write_bytes": lambda t: t.write_bytes("file", b""),
    "write_text": lambda t: t.write_text("new", ""),
    "open to write": lambda t: t.open("file", "w"),
    "open to append": lambda t: t.open("file", "ab"),
    "open to update": lambda t: t.open("file", "r+"),
    "open to create": lambda t: t.open_raw("new", os.O_RDONLY | os.O_CREAT),
    "open to truncate": lambda t: t.open_raw("file", os.O_RDONLY | os.O_TRUNC),
    "open a temporary file": lambda t: t.open_raw("dir", os.O_RDWR | os.O_TMPFILE),
    "makedirs": lambda t: t.makedirs("dir/a/b"),
    "rmtree": lambda t: t.rmtree("dir"),
}
READS: dict[str, Callable[[HostTree], object]] = {
    "stat": lambda t: t.stat("file"),
    "lstat": lambda t: t.lstat("file"),
    "stat the root": lambda t: t.stat(),
    "scandir": lambda t: list(t.scandir()),
    "listdir": lambda t: t.listdir("dir"),
    "readlink": lambda t: t.readlink("link"),
    "read_bytes": lambda t: t.read_bytes("file"),
    "read_text": lambda t: t.read_text("link"),
    "open": lambda t: t.open("file").close(),
    "getxattr": lambda t: t.getxattr("file", "user.b"),
    "listxattr": lambda t: t.listxattr("file"),
    "statvfs": lambda t: t.statvfs(),
    "walk": lambda t: list(t.walk()),
    "exists": lambda t: t.exists("file"),
    "is_dir": lambda t: t.is_dir("file"),
}


def furnish(tree: HostTree) -> None:
    tree.mkdir("dir")
    tree.write_bytes("file", b"content")
    tree.symlink("file", "link")
    tree.setxattr("file", "user.b", b"1")


# -- closed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [*READS, *WRITES])
def test_nothing_can_be_done_with_a_closed_tree(tree: HostTree, operation: str) -> None:
    furnish(tree)
    tree.close()
    with pytest.raises(StoreClosedError) as caught:
        ({**READS, **WRITES}[operation])(tree)
    assert caught.value.errno == errno.EBADF
    assert "closed" in str(caught.value)


def test_nothing_can_be_done_with_a_closed_read_only_tree(directory: Path) -> None:
    tree = HostTree(os.open(directory, os.O_RDONLY), readonly=True)
    tree.close()
    for operation in (*READS.values(), *WRITES.values()):
        with pytest.raises(StoreClosedError):
            operation(tree)
    for use in (tree.fileno, lambda: tree.host_path):
        with pytest.raises(StoreClosedError):
            use()


def test_closing(tree: HostTree) -> None:
    tree.write_bytes("file", b"content")
    assert not tree.closed
    fd = tree.fileno()
    with tree.open("file", "rb") as file:
        tree.close()
        tree.close()
        assert tree.closed
        assert "closed" in repr(tree)
        assert file.read() == b"content"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_leaving_the_context_closes(directory: Path) -> None:
    with pytest.raises(KeyError), HostTree(os.open(directory, os.O_PATH)) as tree:
        raise KeyError
    assert tree.closed


def test_a_dropped_tree_is_told_of_and_closed(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    tree = HostTree(fd)
    with pytest.warns(ResourceWarning, match=f"unclosed tree <HostTree fd={fd}>"):
        del tree
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_operation_never_meets_a_recycled_descriptor(directory: Path, base: Path) -> None:
    """Close under running operations, and put the descriptor of another directory in the number's place."""
    (directory / "file").write_bytes(b"inside")
    (directory / "dir").mkdir()
    (base / "file").write_bytes(b"outside")
    (base / "dir").mkdir()
    wrong: list[bytes] = []
    done: list[int] = []

    def use(tree: HostTree, started: threading.Barrier) -> None:
        started.wait()
        count = 0
        try:
            while True:
                content = tree.read_bytes("dir/../file" if count % 2 else "file")
                if content != b"inside":
                    wrong.append(content)
                count += 1
        except StoreClosedError:
            done.append(count)

    for _ in range(100):
        tree = HostTree(os.open(directory, os.O_RDONLY))
        number = tree.fileno()
        started = threading.Barrier(3)
        threads = [threading.Thread(target=use, args=(tree, started)) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        tree.read_bytes("file")
        tree.close()
        others = [os.open(base, os.O_RDONLY) for _ in range(4)]
        for thread in threads:
            thread.join()
        others += [os.open(base, os.O_RDONLY)]
        assert number in others, "the descriptor was not closed"
        for other in others:
            os.close(other)
    assert wrong == []
    assert len(done) == 200


def test_no_failure_leaves_a_descriptor(tree: HostTree, identity: str) -> None:
    furnish(tree)
    long = "/".join(["d" * 200] * 30)
    tree.makedirs(long)
    before = os.listdir("/proc/self/fd")
    kept = []
    for path in ("nothing/", "file/x", "dir/..", long, f"{long}/nothing", f"{long}/x/y", "n" * 5000, "link/"):
        for operation in (
            tree.rmdir,
            tree.unlink,
            tree.readlink,
            tree.read_bytes,
            tree.scandir,
            lambda p: tree.open_raw(p, os.O_RDONLY | os.O_DIRECTORY),
            lambda p: tree.open(p, "w").close(),
            lambda p: tree.open(p, "rb", encoding="no-such"),
            lambda p: tree.open("file", encoding="no-such"),
            lambda p: tree.rename(p, f"{long}/x/y"),
            lambda p: tree.link(p, "file"),
            lambda p: tree.chown(p, 1 << 40, 0),
            lambda p: tree.truncate(p, 1 << 70),
            lambda p: tree.setxattr(p, "nonsense", b""),
            lambda p: tree.getxattr(p, "user.none"),
        ):
            try:
                operation(path)
            except (OSError, LookupError, ValueError, OverflowError) as error:
                kept.append(error)  # with the frames that raised it
    assert len(kept) > 80
    assert os.listdir("/proc/self/fd") == before
    iterator = tree.scandir()
    next(iterator)
    assert os.listdir("/proc/self/fd") == before


# -- read-only and sealed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", WRITES)
def test_a_read_only_tree_takes_no_write(directory: Path, tree: HostTree, operation: str) -> None:
    furnish(tree)
    with HostTree(os.open(directory, os.O_RDONLY), readonly=True) as view:
        assert view.readonly
        with pytest.raises(OSError, match="Read-only") as caught:
            WRITES[operation](view)
        assert caught.value.errno == errno.EROFS
        for read in READS.values():
            read(view)
        view.open_raw("file", os.O_RDONLY | os.O_CREAT).close()
    assert sorted(tree.listdir()) == ["dir", "file", "link"]
    assert tree.read_bytes("file") == b"content"


def test_sealing_a_tree_that_others_see_refuses_only_its_own_writes(directory: Path, tree: HostTree) -> None:
    tree.seal()
    tree.seal()
    assert tree.readonly
    with pytest.raises(OSError, match="Read-only"):
        tree.mkdir("dir")
    (directory / "file").write_text("from outside")
    assert tree.read_text("file") == "from outside"
    tree.unseal()
    assert not tree.readonly
    tree.mkdir("dir")


def test_a_read_only_tree_is_not_unsealed(directory: Path) -> None:
    with HostTree(os.open(directory, os.O_RDONLY), readonly=True) as tree:
        tree.seal()
        tree.unseal()
        assert tree.readonly


def test_a_mount_of_its_own_is_sealed_by_the_kernel(base: Path) -> None:
    with HostTree(linux.clone_directory(base, readonly=False)) as tree:
        tree.mkdir("dir")
        with tree.open("dir/held open", "wb") as file:
            with pytest.raises(LayerInUseError, match="held open") as caught:
                tree.seal()
            assert caught.value.errno == errno.EBUSY
            assert any(f"process {os.getpid()}" in user for user in caught.value.users)
            assert not tree.readonly
            file.write(b"goes on")
        tree.seal()
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("x", dir_fd=tree.fileno())
        assert tree.read_bytes("dir/held open") == b"goes on"
        tree.unseal()
        os.mkdir("x", dir_fd=tree.fileno())
        tree.rmdir("x")


def test_a_mapping_keeps_a_tree_from_being_sealed(base: Path) -> None:
    with HostTree(linux.clone_directory(base, readonly=False)) as tree:
        with tree.open("file", "w+b") as file:
            file.write(b"content")
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0)
        with pytest.raises(LayerInUseError, match="/file"):
            tree.seal()
        mapped.close()
        tree.seal()


def test_another_process_keeps_a_tree_from_being_sealed(base: Path) -> None:
    with HostTree(linux.clone_directory(base, readonly=False)) as tree:
        command = ["sh", "-c", 'exec 3>"$0/file"; echo ready; read line', tree.host_path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            with pytest.raises(LayerInUseError, match=f"/file .process {writer.pid}, descriptor 3"):
                tree.seal()
            writer.communicate(b"\n")
        tree.seal()


# -- the host's view ---------------------------------------------------------------------------------------------


def test_the_host_path_is_for_other_processes_too(tree: HostTree) -> None:
    tree.write_bytes("file", b"content")
    assert Path(tree.host_path, "file").read_bytes() == b"content"
    done = subprocess.run(["cat", f"{tree.host_path}/file"], capture_output=True, check=True)
    assert done.stdout == b"content"
    done = subprocess.run(["ls"], capture_output=True, check=True, cwd=tree.host_path)
    assert done.stdout == b"file\n"


def test_a_fork_has_a_host_path_of_its_own(tree: HostTree) -> None:
    tree.write_bytes("file", b"content")
    parent = tree.host_path
    child = os.fork()
    if child == 0:
        code = 1
        try:
            right = tree.host_path != parent and Path(tree.host_path, "file").read_bytes() == b"content"
            code = 0 if right else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert tree.read_bytes("file") == b"content"


def test_without_the_native_module_it_says_so() -> None:
    code = """
import sys
sys.modules["overlaykit._native"] = None
from overlaykit.errors import UnsupportedError
from overlaykit.tree import HostTree
try:
    HostTree(0)
except UnsupportedError as error:
    assert "native module" in str(error)
    print("said")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "said\n"
    assert done.stderr == ""


# -- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1 << 20])
def test_whole_files(tree: HostTree, size: int, identity: str) -> None:
    content = os.urandom(size)
    for data in (content, bytearray(content), memoryview(content)):
        assert tree.write_bytes("file", data) == size
        assert tree.read_bytes("file") == content
    assert tree.write_bytes("file", memoryview(b"abcdefgh").cast("I")) == 8
    assert tree.read_bytes("file") == b"abcdefgh"


def test_a_text_and_its_file(tree: HostTree) -> None:
    with tree.open("file", "w") as file:
        assert file.write("ünï\n") == 4
        assert (file.name, file.mode, file.encoding) == ("file", "w", "utf-8")
    with tree.open(b"file", "a+b") as binary:
        assert isinstance(binary, io.BufferedRandom)
        binary.write(b"more")
        binary.seek(0)
        assert binary.read() == "ünï\nmore".encode()
        assert binary.name == b"file"
    with tree.open("file", "r+", buffering=1) as update:
        assert update.readline() == "ünï\n"
    raw = tree.open("file", "rb", buffering=0)
    assert isinstance(raw, io.FileIO)
    assert os.fstat(raw.fileno()).st_size == raw.seek(0, 2)
    assert not os.get_inheritable(raw.fileno())
    raw.close()
    with pytest.raises(FileExistsError):
        tree.open("file", "x")
    with tree.open("other", "xb", permissions=0o640) as fresh:
        assert stat.S_IMODE(os.fstat(fresh.fileno()).st_mode) == 0o640


def test_an_unnamed_file_gets_a_name(tree: HostTree) -> None:
    with tree.open_raw("", os.O_RDWR | os.O_TMPFILE, 0o600) as file:
        file.write(b"content")
        assert tree.listdir() == []
        os.link(f"/proc/self/fd/{file.fileno()}", "file", dst_dir_fd=tree.fileno(), follow_symlinks=True)
    assert tree.read_bytes("file") == b"content"


def test_the_umask_applies(tree: HostTree) -> None:
    old = os.umask(0o027)
    try:
        tree.write_bytes("file", b"")
        tree.mkdir("dir")
        tree.mknod("fifo", stat.S_IFIFO | 0o666)
        tree.open_raw("raw", os.O_CREAT | os.O_WRONLY, 0o777).close()
    finally:
        os.umask(old)
    modes = {name: stat.S_IMODE(tree.stat(name).st_mode) for name in tree.listdir()}
    assert modes == {"file": 0o640, "dir": 0o750, "fifo": 0o640, "raw": 0o750}


def test_a_signal_is_handled_while_an_open_waits(tree: HostTree) -> None:
    tree.mknod("fifo", stat.S_IFIFO | 0o600)
    handled = []

    def handle(number: int, frame: object) -> None:
        handled.append(number)
        if len(handled) == 2:
            raise InterruptedError("enough")

    old = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        for operation in (tree.read_bytes, lambda p: tree.open_raw(p, os.O_WRONLY)):
            handled.clear()
            with pytest.raises(InterruptedError, match="enough"):
                operation("fifo")
            assert len(handled) == 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_pipe_is_read_and_written_to_its_end(tree: HostTree) -> None:
    tree.mknod("fifo", stat.S_IFIFO | 0o600)
    content = os.urandom(300_000)
    thread = threading.Thread(target=tree.write_bytes, args=("fifo", content))
    thread.start()
    assert tree.read_bytes("fifo") == content
    thread.join()


def test_all_attributes_are_the_kernels(tree: HostTree, directory: Path) -> None:
    furnish(tree)
    tree.truncate("file", 1 << 30)
    tree.utime("file", ns=(-1, 1_234_567_890_123_456_789))
    for path in ("file", "dir", "link", "dir/../file", ""):
        for follow in (True, False):
            got = tree.stat(path, follow_symlinks=follow)
            expected = os.stat(directory / path, follow_symlinks=follow or path == "")
            assert got == expected
            for name in (name for name in dir(expected) if name.startswith("st_")):
                assert getattr(got, name) == getattr(expected, name), name
    assert tree.stat("file").st_atime_ns == -1
    assert tree.stat("file").st_blocks < 100
    assert tree.statvfs().f_namemax == 255


def test_a_listing_has_every_name_once_with_its_type(tree: HostTree) -> None:
    names = {f"file{number}" for number in range(5000)} | {"ü" * 120, "\udcff"}
    for name in names:
        tree.mknod(name, stat.S_IFREG | 0o600)
    others = {"dir": stat.S_IFDIR, "link": stat.S_IFLNK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}
    tree.mkdir("dir")
    tree.symlink("dir", "link")
    tree.mknod("fifo", stat.S_IFIFO)
    tree.mknod("socket", stat.S_IFSOCK)
    entries = {entry.name: entry for entry in tree.scandir()}
    assert len(list(tree.scandir())) == len(entries) == len(names) + 4
    assert entries.keys() == names | others.keys() == set(tree.listdir())
    assert {entries[name].format for name in names} == {stat.S_IFREG}
    assert {name: entries[name].format for name in others} == others
    link = entries["link"]
    assert link.is_symlink()
    assert link.is_dir()
    assert not link.is_dir(follow_symlinks=False)
    assert not link.is_file()
    assert entries["fifo"].inode() == tree.stat("fifo").st_ino == entries["fifo"].stat().st_ino
    assert entries["file7"].is_file()


class Hiding(HostTree):
    """A tree as a driver makes one that keeps notes in attributes."""

    def _visible_xattr(self, name: str) -> bool:
        return not name.startswith("user.private.")


def test_a_driver_hides_its_own_attributes(directory: Path, tree: HostTree) -> None:
    tree.write_bytes("file", b"")
    tree.setxattr("file", "user.private.note", b"1")
    tree.setxattr("file", "user.public", b"2")
    with Hiding(os.open(directory, os.O_RDONLY)) as hiding:
        assert hiding.listxattr("file") == ["user.public"]
        with pytest.raises(OSError, match="No data") as caught:
            hiding.getxattr("file", "user.private.note")
        assert caught.value.errno == errno.ENODATA
        for write in (
            lambda: hiding.setxattr("file", "user.private.note", b""),
            lambda: hiding.removexattr("file", "user.private.note"),
        ):
            with pytest.raises(PermissionError):
                write()
    assert tree.getxattr("file", "user.private.note") == b"1"


def test_permissions_are_the_callers(tree: HostTree, identity: str) -> None:
    tree.write_bytes("file", b"")
    tree.chmod("file", 0)
    tree.mkdir("dir", 0)
    allowed = os.geteuid() == 0
    for operation in (
        lambda: tree.read_bytes("file"),
        lambda: tree.mkdir("dir/x"),
        lambda: tree.listdir("dir"),
        lambda: tree.chown("file", 1, 1),
    ):
        if allowed:
            operation()
        else:
            with pytest.raises(PermissionError):
                operation()
