"""What the driver does beyond the shared suite: shared mounts, hard links, crashes, failing renames, depth, options."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from overlaykit_overlayfs import _probe
from overlaykit_overlayfs._driver import OverlayfsDriver

from overlaykit import errors, linux
from overlaykit.driver import Capability, Durability, SnapshotId
from overlaykit.tree import HostTree, RenameFlag, tree_digest

from .support import base, child, descriptors, driver

pytestmark = pytest.mark.native

Run = Callable[[Callable[[Path], None]], None]


def digests(made: OverlayfsDriver, *ids: str) -> list[str]:
    found = []
    for name in ids:
        with made.tree(SnapshotId(name), readonly=True) as tree:
            found.append(tree_digest(tree))
    return found


# -- one mount for all trees of a snapshot -----------------------------------------------------------------------


def test_trees_of_one_snapshot_show_the_same_at_every_moment(run: Run) -> None:
    """Read-only trees opened before, during and after a writable one show what it writes, and refuse writes."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            before = descriptors()
            early = made.tree(name, readonly=True)
            with made.tree(name, readonly=False) as tree, made.tree(name, readonly=False) as second:
                tree.write_text("new", "1")
                assert early.read_text("new") == second.read_text("new") == "1"
                late = made.tree(name, readonly=True)
                second.write_text("new", "2")
                assert early.read_text("new") == late.read_text("new") == "2"
                for reader in (early, late):
                    with pytest.raises(OSError, match="Read-only"):
                        Path(reader.host_path, "other").touch()
            assert early.read_text("new") == late.read_text("new") == "2"
            with made.tree(name, readonly=False) as tree:
                tree.write_text("newer", "3")
                assert early.read_text("newer") == "3"
            early.close()
            assert late.listdir("a") != []
            late.close()
            assert descriptors() == before

    run(check)


def test_a_file_left_open_keeps_its_mount_and_refuses_the_commit(run: Run) -> None:
    """A file outlives its tree; the next tree sees its writes; a commit is refused until it is closed."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            with made.tree(name, readonly=False) as tree:
                file = tree.open("left", "wb", buffering=0)
            file.write(b"1")
            with made.tree(name, readonly=False) as tree:
                file.write(b"2")
                assert tree.read_bytes("left") == b"12"
            with pytest.raises(errors.LayerInUseError, match="/left") as caught:
                made.commit(name, SnapshotId("done"))
            assert len(caught.value.users) == 1
            file.write(b"3")
            file.close()
            made.commit(name, SnapshotId("done"))
            with made.tree(SnapshotId("done"), readonly=True) as tree:
                assert tree.read_bytes("left") == b"123"

    run(check)


def test_a_subprocess_that_writes_refuses_the_commit(run_here: Run) -> None:
    """A descriptor that a subprocess opened through the host path counts like our own."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            with made.tree(name, readonly=False) as tree:
                words = ["/bin/sh", "-c", "exec >out; echo started >&2; read line"]
                with subprocess.Popen(
                    words, cwd=tree.host_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
                ) as process:
                    assert process.stderr is not None
                    while process.stderr.readline() != b"started\n":
                        assert process.poll() is None
                    with pytest.raises(errors.LayerInUseError, match="/out"):
                        tree.seal()
                    process.communicate(b"\n")
                tree.seal()
            made.commit(name, SnapshotId("done"))

    run_here(check)


# -- hard links --------------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[HostTree], object]] = {
    "write": lambda tree: tree.write_text("a/one", "changed"),
    "append": lambda tree: append(tree, "a/b/one-too"),
    "truncate": lambda tree: tree.truncate("z-one", 3),
    "chmod": lambda tree: tree.chmod("a/one", 0o600),
    "utime": lambda tree: tree.utime("z-one", ns=(1, 2)),
    "setxattr": lambda tree: tree.setxattr("a/b/one-too", "user.x", b"y"),
    "link": lambda tree: tree.link("a/one", "d/one-more"),
    "rename": lambda tree: tree.rename("a/one", "d/one-moved"),
    "rename-directory": lambda tree: tree.rename("a", "moved"),
    "through-a-symlink": lambda tree: tree.write_text("a/link", "changed"),
    "unlink-one": lambda tree: tree.unlink("a/one"),
}


def append(tree: HostTree, path: str) -> None:
    with tree.open(path, "a") as file:
        file.write("more")


@pytest.mark.parametrize("change", CHANGES)
def test_hard_links_stay_one_file(run_here: Run, change: str) -> None:
    """Whatever is done through one name of a layer's file, the others remain names of the same file, later too."""

    def groups(tree: HostTree) -> list[list[str]]:
        found: dict[int, list[str]] = {}
        for directory, _, files in tree.walk():
            for entry in files:
                path = os.path.join(directory, entry.name)
                if entry.format == stat.S_IFREG:
                    found.setdefault(tree.lstat(path).st_ino, []).append(path)
        return sorted(sorted(names) for names in found.values() if len(names) > 1)

    def check(root: Path) -> None:
        host = root / "host"
        host.mkdir()
        (root / "store").mkdir()
        with driver(root / "store") as made:
            first = base(made)
            from overlaykit.tree import copy_tree

            name = child(made, first, "one")
            with HostTree(os.open(host, os.O_PATH)) as expected, made.tree(first, readonly=True) as tree:
                copy_tree(tree, expected)
                with made.tree(name, readonly=False) as tree:
                    CHANGES[change](tree)
                    CHANGES[change](expected)
                    assert groups(tree) == groups(expected)
                    one = next(names for names in groups(tree) if any("one" in path for path in names))
                    tree.write_text(one[0], "later")
                    assert {tree.read_text(path) for path in one} == {"later"}
                    assert not [path for path in tree.listdir("") if path.startswith(".")]
                made.commit(name, SnapshotId("done"))
                with made.tree(SnapshotId("done"), readonly=True) as tree:
                    assert groups(tree) == groups(expected)
            made.verify(first)

    run_here(check)


def test_links_are_found_again_in_a_store_that_was_copied(run_here: Run) -> None:
    """A copy of the store has other inode numbers: hard links still stay together, and verify() still holds."""

    def check(root: Path) -> None:
        (root / "store").mkdir()
        with driver(root / "store") as made:
            base(made)
            made.cleanup()
        subprocess.run(["/bin/cp", "-a", root / "store", root / "copy"], check=True)
        with driver(root / "copy") as made:
            made.verify(SnapshotId("base0"))
            name = child(made, "base0", "one")
            with made.tree(name, readonly=False) as tree:
                tree.write_text("z-one", "changed")
                assert tree.read_text("a/one") == "changed"
            os.utime(root / "copy/snapshots/base0/fs/top")
            with pytest.raises(errors.SnapshotDamagedError, match="top was modified"):
                made.verify(SnapshotId("base0"))

    run_here(check)


def test_names_that_could_not_follow_do_before_the_next_change(run_here: Run) -> None:
    """Where the disk is full in the middle of it, the write fails, and the next one still reaches every name."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            with made.tree(name, readonly=False) as tree:
                raw = tree._shared._raw = Failing(os.dup(tree.fileno()), "link", 2, times=2)
                with pytest.raises(OSError, match="No space left"):
                    tree.write_text("a/one", "lost")
                assert raw.left == 0
                assert tree.read_text("a/one").startswith("content")
                tree.write_text("a/one", "changed")
                assert {tree.read_text(path) for path in ("a/one", "a/b/one-too", "z-one")} == {"changed"}

    run_here(check)


# -- renaming directories ----------------------------------------------------------------------------------------


class Failing(HostTree):
    """Fails at the nth of some operations, as a full disk would."""

    def __init__(self, fd: int, operation: str, left: int, times: int = 1) -> None:
        super().__init__(fd)
        self.operation, self.left, self.times = operation, left, times

    def _count(self, operation: str) -> None:
        if operation == self.operation and self.times:
            self.left = max(0, self.left - 1)
            if self.left == 0:
                self.times -= 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def link(self, src, dst):  # type: ignore[no-untyped-def]
        self._count("link")
        super().link(src, dst)

    def mkdir(self, path, mode=0o777):  # type: ignore[no-untyped-def]
        self._count("mkdir")
        super().mkdir(path, mode)

    def unlink(self, path):  # type: ignore[no-untyped-def]
        self._count("unlink")
        super().unlink(path)

    def rmdir(self, path):  # type: ignore[no-untyped-def]
        self._count("rmdir")
        super().rmdir(path)

    def chmod(self, path, mode, *, follow_symlinks=True):  # type: ignore[no-untyped-def]
        self._count("chmod")
        super().chmod(path, mode, follow_symlinks=follow_symlinks)


@pytest.mark.parametrize("exchange", [False, True])
@pytest.mark.parametrize("operation", ["link", "mkdir", "unlink", "rmdir", "chmod"])
def test_a_failing_rename_leaves_everything_as_it_was(run_here: Run, operation: str, exchange: bool) -> None:
    """Whichever step of copying a directory fails, the tree is what it was: names, attributes, hard links, times."""

    def check(root: Path) -> None:
        with driver(root) as made:
            first = base(made)
            for nth in (1, 2, 3):  # each operation comes three times at least
                name = child(made, first, f"one{nth}")
                with made.tree(name, readonly=False) as tree:
                    shared = tree._shared
                    raw = shared._raw = Failing(os.dup(tree.fileno()), operation, nth)
                    flags = RenameFlag.EXCHANGE if exchange else RenameFlag.NONE
                    with pytest.raises(OSError, match="No space left") as caught:
                        tree.rename("a", "empty", flags=flags)
                    assert (caught.value.filename, caught.value.filename2) == ("a", "empty")
                    raw.operation = ""
                    assert list(made.changes(name, first)) == []
                    assert list_all(tree) == list_all_of(made, first)
                    assert not (root / "snapshots" / name / "journal").exists()
                    tree.rename("a", "empty", flags=flags)

    run_here(check)


def list_all(tree: HostTree) -> list[str]:
    return sorted(entry.path for _, directories, files in tree.walk() for entry in (*directories, *files))


def list_all_of(made: OverlayfsDriver, name: str) -> list[str]:
    with made.tree(SnapshotId(name), readonly=True) as tree:
        return list_all(tree)


class Killing(Failing):
    """Ends the process at the nth operation, as kill -9 would."""

    def _count(self, operation: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("exchange", [False, True])
def test_a_killed_rename_is_finished_or_undone(run_here: Run, exchange: bool) -> None:
    """Killed at any step, the next tree has the directory under one name, whole, and nothing that was passing."""

    def check(root: Path) -> None:
        with driver(root) as made:
            first = base(made)
            whole = sorted(path.removeprefix("a") for path in list_all_of(made, first) if path.startswith("a/"))
            outcomes = set()
            for nth in range(1, 60):
                name = child(made, first, f"one{nth}")
                process = os.fork()
                if process == 0:
                    tree = made.tree(name, readonly=False)
                    tree._shared._raw = Killing(os.dup(tree.fileno()), "", nth)
                    tree.rename("a", "empty", flags=RenameFlag.EXCHANGE if exchange else RenameFlag.NONE)
                    os._exit(0)
                _, status = os.waitpid(process, 0)
                with made.tree(name, readonly=False) as tree:
                    found = list_all(tree)
                    assert not [path for path in found if path.rpartition("/")[2].startswith(".")], nth
                    at = [
                        top
                        for top in ("a", "empty")
                        if sorted(p.removeprefix(top) for p in found if p.startswith(top + "/")) == whole
                    ]
                    assert len(at) == 1, (nth, found)
                    outcomes.add(at[0])
                    tree.write_text(at[0] + "/one", "x")
                    assert tree.read_text("z-one") == "x"
                assert not (root / "snapshots" / name / "journal").exists()
                if os.WIFEXITED(status):
                    break
            assert outcomes == {"a", "empty"}

    run_here(check)


# -- crashes, boots, commits -------------------------------------------------------------------------------------


def test_a_volatile_snapshot_outlives_a_killed_process_but_no_boot(run_here: Run) -> None:
    """In the same boot the upper is used again, after another one it is damaged: for reading it stays."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            process = os.fork()
            if process == 0:
                made.tree(name, readonly=False).write_text("new", "x")
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(process, 0)
            with made.tree(name, readonly=False) as tree:
                assert tree.read_text("new") == "x"
        with driver(root, Durability.COMMIT) as made:
            with made.tree(name, readonly=False) as tree:
                assert tree.read_text("new") == "x"
            path = root / "snapshots/one/layers"
            good = path.read_text()
            boot, rest = good.split("\n", 1)
            assert len(boot) == 36
            path.write_text("0" * 36 + "\n" + rest)
            with pytest.raises(errors.SnapshotDamagedError, match="before this machine started"):
                made.tree(name, readonly=False)
            with pytest.raises(errors.SnapshotDamagedError):
                made.commit(name, SnapshotId("done"))
            path.write_text(good)
            made.commit(name, SnapshotId("done"))
            assert (root / "snapshots/done/layers").read_text() == "-\n" + rest

    run_here(check)


def test_a_killed_prepare_leaves_nothing_after_cleanup(run_here: Run) -> None:
    """What a dead driver was making is no snapshot, and cleanup() deletes it; what a living one makes stays."""

    def check(root: Path) -> None:
        with driver(root) as made:
            base(made)
            process = os.fork()
            if process == 0:
                other = driver(root)
                os.makedirs(other._layout.stage("half") + "/fs")
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(process, 0)
            (Path(made._layout.stage("mine"))).mkdir()
            made.remove(child(made, "base0", "gone"))
            assert len(os.listdir(root / "staging")) == 2
            with driver(root) as second:
                second.cleanup()
            assert list(made.ids()) == ["base0"]
            assert [name.name for name in (root / "staging").iterdir()] == [os.path.basename(made._layout.staging)]
            assert Path(made._layout.stage("mine")).exists()
            assert os.listdir(root / "trash") == []
        assert os.listdir(root / "staging") == []

    run_here(check)


@pytest.mark.parametrize("durability", list(Durability))
def test_every_durability(run_here: Run, durability: Durability) -> None:
    """All levels do the same when nothing fails."""

    def check(root: Path) -> None:
        with driver(root, durability) as made:
            first = base(made)
            name = child(made, first, "one")
            with made.tree(name, readonly=False) as tree:
                tree.write_text("new", "x")
            made.commit(name, SnapshotId("two"))
            with made.tree(SnapshotId("two"), readonly=True) as tree:
                assert tree.read_text("new") == "x"
            made.remove(SnapshotId("two"))
            assert list(made.ids()) == ["base0"]

    run_here(check)


def test_verify_finds_what_was_changed_behind_the_drivers_back(run_here: Run) -> None:
    """Content with the old time, a mode, a new file, a missing one: each is found and named."""

    def check(root: Path) -> None:
        with driver(root) as made:

            def same_time(path: Path) -> None:
                status = path.stat()
                path.write_bytes(b"X" * status.st_size)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

            for number, (path, tamper) in enumerate(
                {
                    "top": same_time,
                    "a/two": lambda path: path.chmod(0o600),
                    "d/added": lambda path: path.touch(),
                    "f/seven": lambda path: path.unlink(),
                }.items()
            ):
                name = base(made, f"base{number}")
                made.verify(name)
                tamper(root / "snapshots" / name / "fs" / path)
                with pytest.raises(errors.SnapshotDamagedError, match=r"snapshot base\d was changed") as caught:
                    made.verify(name)
                assert caught.value.errno == errno.EUCLEAN
                assert os.path.dirname(path) in str(caught.value.filename)
            (root / "snapshots/base0/manifest").unlink()
            with pytest.raises(errors.SnapshotDamagedError, match="manifest"):
                made.verify(SnapshotId("base0"))

    run_here(check)


# -- depth, options, hosts ---------------------------------------------------------------------------------------


def test_five_hundred_layers_and_no_more(run_here: Run) -> None:
    """500 layers commit, show, and carry an active snapshot; the next commit says how deep and what to do."""

    def check(root: Path) -> None:
        with driver(root) as made:
            parent: SnapshotId | None = None
            for number in range(500):
                made.prepare(SnapshotId("active"), parent)
                (root / "snapshots/active/fs" / f"file{number}").write_text(str(number))
                made.commit(SnapshotId("active"), SnapshotId(f"c{number}"))
                parent = SnapshotId(f"c{number}")
            assert parent is not None
            with made.tree(parent, readonly=True) as tree:
                assert len(tree.listdir()) == 500
            top = child(made, parent, "top")
            with made.tree(top, readonly=False) as tree:
                tree.write_text("file0", "new")
            with made.tree(top, readonly=True) as tree:
                assert tree.read_text("file0") == "new"
                assert len(tree.listdir()) == 500
            assert [change.path for change in made.changes(top, parent)] == ["file0"]
            with pytest.raises(errors.UnsupportedError, match=r"501.*at most 500.*copy the tree"):
                made.commit(top, SnapshotId("c500"))
            made.remove(top)

    run_here(check)


def test_host_mounts(tmp_path: Path, mount_namespace: None) -> None:
    """What mounts() says, handed to mount(2), shows the tree, whatever characters the path has."""
    from testkit import syscalls

    root = tmp_path / "a,b:c\\d"
    root.mkdir()
    with driver(root, Durability.COMMIT) as made:
        first = base(made)
        name = child(made, first, "one")
        point = tmp_path / "point"
        point.mkdir()
        with made.tree(name, readonly=False) as tree:
            tree.write_text("new", "x")
        made.commit(name, SnapshotId("two"))
        for snapshot, readonly in ((first, True), (SnapshotId("two"), True), (child(made, "two", "three"), False)):
            (mount,) = made.mounts(snapshot, readonly=readonly)
            assert [mount] == list(made.mounts(snapshot, readonly=readonly))
            options = [option for option in mount.options if option not in ("ro", "rbind")]
            syscalls.mount(
                mount.source, str(point), mount.type, 0x1000 if mount.type == "bind" else 0, ",".join(options)
            )
            try:
                with made.tree(snapshot, readonly=True) as tree:
                    assert sorted(os.listdir(point)) == sorted(tree.listdir())
                if not readonly:
                    (point / "written").write_text("x")
            finally:
                subprocess.run(["/bin/umount", point], check=True)
        with made.tree(SnapshotId("three"), readonly=True) as tree:
            assert tree.read_text("written") == "x"


def test_probe_leaves_nothing_and_says_what_is_wrong(run_here: Run) -> None:
    """The probe agrees with the driver, leaves nothing, and where it fails it names a way out."""

    def check(root: Path) -> None:
        before = descriptors()
        found = _probe.probe(root)
        assert found.usable, found
        assert os.listdir(root) == []
        assert descriptors() == before
        with driver(root) as made:
            assert made.capabilities == found.capabilities
        assert (Capability.ACL in found.capabilities) == linux.is_mount_admin()
        assert (Capability.OWNERSHIP in found.capabilities) == linux.is_mount_admin()
        for path in (None, root / "missing", Path("/proc")):
            bad = _probe.probe(path)
            assert not bad.usable
            assert bad.reason
            assert bad.fix

    run_here(check)


def test_a_store_of_another_kind_is_refused(run_here: Run) -> None:
    """Damaged or newer stores, and layers that this user cannot read, are named as what they are."""

    def check(root: Path) -> None:
        driver(root).close()
        path = root / "format.json"
        good = path.read_text()
        path.write_text(good.replace('"format": 1', '"format": 2'))
        with pytest.raises(errors.StoreVersionError, match="install a newer"):
            driver(root)
        path.write_text("{}")
        with pytest.raises(errors.StoreFormatError, match="damaged"):
            driver(root)
        if not linux.is_mount_admin():
            path.write_text(good.replace('"userxattr": true', '"userxattr": false'))
            with pytest.raises(errors.UnsupportedError, match="made by root"):
                driver(root)
        with pytest.raises(ValueError, match="volatile"):
            driver(root, volatile="perhaps")

    run_here(check)


def test_a_missing_layer_is_named(run_here: Run) -> None:
    """When a lower layer was deleted by hand, opening says which directory is missing."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            os.rename(root / "snapshots/base0/fs", root / "elsewhere")
            for readonly in (False, True):
                with pytest.raises(OSError, match="lower layer") as caught:
                    made.tree(name, readonly=readonly)
                assert caught.value.errno == errno.ENOENT
                assert caught.value.filename.endswith("base0/fs")
            os.rename(root / "elsewhere", root / "snapshots/base0/fs")
            with made.tree(name, readonly=False) as tree:
                assert tree.read_text("top")

    run_here(check)


# -- at once -----------------------------------------------------------------------------------------------------


def test_threads_and_processes_at_once(run_here: Run) -> None:
    """Threads of several processes prepare, write, commit and remove over one parent, and do not see each other."""

    def work(made: OverlayfsDriver, mark: str) -> None:
        for turn in range(5):
            name = child(made, "base0", f"{mark}x{turn}")
            with made.tree(name, readonly=False) as tree:
                tree.write_text("a/one", mark)
                tree.rename("a", "moved")
                assert tree.read_text("z-one") == mark
                assert tree.read_text("moved/one") == mark
            if turn % 2:
                made.commit(name, SnapshotId(f"{mark}c{turn}"))
                made.verify(SnapshotId(f"{mark}c{turn}"))
                made.remove(SnapshotId(f"{mark}c{turn}"))
            else:
                made.remove(name)
            made.cleanup()

    def in_threads(made: OverlayfsDriver, mark: str) -> list[BaseException]:
        problems: list[BaseException] = []

        def guarded(number: int) -> None:
            try:
                work(made, f"{mark}t{number}")
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=guarded, args=[number]) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return problems

    def check(root: Path) -> None:
        with driver(root) as made:
            base(made)
            (before,) = digests(made, "base0")
            children = []
            for number in range(3):
                process = os.fork()
                if process == 0:
                    code = 1
                    try:
                        with driver(root) as other:
                            problems = in_threads(other, f"p{number}")
                        code = len(problems)
                        for problem in problems:
                            print(repr(problem))
                    finally:
                        os._exit(code)
                children.append(process)
            assert in_threads(made, "own") == []
            assert [os.waitpid(process, 0)[1] for process in children] == [0, 0, 0]
            assert list(made.ids()) == ["base0"]
            assert digests(made, "base0") == [before]
            made.verify(SnapshotId("base0"))

    run_here(check)


def test_usage_counts_what_the_snapshot_adds(run_here: Run) -> None:
    """A new file counts with its blocks, a hard link not again."""

    def check(root: Path) -> None:
        with driver(root) as made:
            name = child(made, base(made), "one")
            empty = made.usage(name)
            with made.tree(name, readonly=False) as tree:
                tree.write_bytes("new", b"x" * 100_000)
                tree.link("new", "newer")
            used = made.usage(name)
            assert used.inodes == empty.inodes + 1
            assert 100_000 <= used.bytes - empty.bytes < 120_000

    run_here(check)


def test_the_spec_is_data(run_here: Run) -> None:
    """The spec promises no less than the driver offers, and its plugin imports nothing of the driver."""

    def check(root: Path) -> None:
        from overlaykit_overlayfs.plugin import SPEC

        with driver(root) as made:
            assert made.capabilities <= SPEC.capabilities
        assert dataclasses.is_dataclass(SPEC)

    run_here(check)
