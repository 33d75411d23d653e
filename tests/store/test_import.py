"""Directories and archives become snapshots."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import socket
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from testkit.forks import forked
from testkit.loops import need_root

from overlaykit import errors
from overlaykit.store import open_store
from overlaykit.tree import HostTree, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.loops import MakeFilesystem

    from overlaykit.store import Store
    from overlaykit.tree import Tree

NS = 1_234_567_890_123_456_789


def _entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o644
    info.uid, info.gid = os.geteuid(), os.getegid()
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def _archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def load(store: Store, tmp_path: Path) -> Iterator[Callable[..., Tree]]:
    """Import an archive of these entries and open its tree."""
    trees = contextlib.ExitStack()

    def load(*entries: tuple[tarfile.TarInfo, bytes]) -> Tree:
        path = tmp_path / "a.tar"
        path.write_bytes(_archive(*entries))
        return trees.enter_context(store.tree(store.import_tree(path).key))

    with trees:
        yield load


def _make_source(place: Path) -> None:
    place.mkdir()
    (place / "file").write_bytes(b"x" * 3_000_000)
    (place / "empty").touch()
    (place / "dir").mkdir()
    (place / "dir" / "inner").write_text("inner")
    (place / "dir" / ".wh.file").write_text("a plain name")
    os.link(place / "file", place / "dir" / "hard")
    (place / "link").symlink_to("/etc/passwd")
    os.link(place / "link", place / "hardlink", follow_symlinks=False)
    os.mkfifo(place / "fifo")
    with open(place / "sparse", "wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
        file.truncate(9_000_000)
    name = b"not utf-8 \xff\n"
    with open(os.path.join(os.fsencode(place), name), "wb") as file:
        file.write(b"odd")
    os.setxattr(place / "file", "user.colour", b"green\0\xff")
    os.setxattr(place / "dir", "user.empty", b"")
    os.chmod(place / "file", 0o4751)
    os.chmod(place / "dir" / "inner", 0)
    if os.geteuid() == 0:
        os.chown(place / "dir" / "inner", 12, 34)
        os.mknod(place / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for path, _, files in os.walk(place, topdown=False):
        for file_name in files:
            os.utime(os.path.join(path, file_name), ns=(NS, NS), follow_symlinks=False)
        os.utime(path, ns=(NS + 1, NS + 1))
    os.chmod(place / "dir", 0o500)


@pytest.mark.native
def test_a_directory_arrives_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    _make_source(source)
    figures: list[tuple[int, int]] = []
    info = store.import_tree(source, "base", labels={"from": "disk"}, progress=lambda *now: figures.append(now))
    assert dict(info.labels) == {"from": "disk"}
    assert info.parent is None
    assert figures[-1][0] == sum(1 + len(files) for _, _, files in os.walk(source))
    with (
        store.tree("base") as tree,
        HostTree(os.open(source, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as original,
    ):
        assert list(compare(original, tree)) == []
        assert tree.stat("sparse").st_blocks * 512 < 1_000_000
        assert tree.stat("file").st_nlink == 2


def test_socket_nodes_are_kept(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "s"))
        info = store.import_tree(source)
    assert dict(info.labels) == {}
    with store.tree(info.key) as tree:
        assert stat.S_ISSOCK(tree.stat("s").st_mode)


def test_a_deep_directory_needs_few_descriptors(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(300):
        for name in ("a" * 40, "b"):
            os.mkdir(name, dir_fd=here)
        os.close(os.open("z", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("a" * 40, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
        assert number < 300
    os.close(here)
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    with open_store(driver="memory") as store:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, before[1]))
        try:
            info = store.import_tree(tmp_path / ("a" * 40))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        with store.tree(info.key) as tree:
            assert sum(len(files) for _, _, files in tree.walk()) == 299


@pytest.mark.native
@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz"])
def test_archives_arrive_whole(store: Store, tmp_path: Path, kind: str) -> None:
    source, path = tmp_path / "source", tmp_path / "a.tar"
    _make_source(source)
    (source / "hardlink").unlink()  # tarfile writes no hard links of symbolic links
    os.utime(source, ns=(NS, NS))
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:

        def keep(info: tarfile.TarInfo) -> tarfile.TarInfo:
            full = os.path.join(source, info.name)
            seconds, fraction = divmod(os.lstat(full).st_mtime_ns, 10**9)
            headers = info.pax_headers = {"mtime": f"{seconds}.{fraction:09}"}
            if not info.issym() and not info.islnk():
                for name in os.listxattr(full):
                    headers[f"SCHILY.xattr.{name}"] = os.getxattr(full, name).decode("utf-8", "surrogateescape")
            return info

        os.chdir(source)
        try:
            archive.add(".", filter=keep)
        finally:
            os.chdir("/")
    packers: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    path.write_bytes(packers[kind](path.read_bytes()))
    info = store.import_tree(path, "base")
    with (
        store.tree(info.key) as tree,
        HostTree(os.open(source, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as original,
    ):
        assert list(compare(original, tree)) == []


def test_gnu_sparse_files_keep_their_holes(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in" / "sparse", "wb") as file:
        file.seek(4_000_000)
        file.write(b"end")
        file.truncate(8_000_000)
    import subprocess

    subprocess.run(["tar", "-C", tmp_path / "in", "-S", "-cf", tmp_path / "a.tar", "sparse"], check=True)
    assert (tmp_path / "a.tar").stat().st_size < 100_000
    with store.tree(store.import_tree(tmp_path / "a.tar").key) as tree:
        assert tree.read_bytes("sparse") == bytes(4_000_000) + b"end" + bytes(3_999_997)
        assert tree.stat("sparse").st_blocks * 512 < 1_000_000


def test_nothing_leaves_the_root(load: Callable[..., Tree], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = load(
        _entry("../../up", data=b"1"),
        _entry("/absolute", data=b"2"),
        _entry("out", tarfile.SYMTYPE, linkname=str(outside)),
        _entry("out/file", data=b"3"),
        _entry("rel", tarfile.SYMTYPE, linkname="../../../../deep"),
        _entry("rel/file", data=b"4"),
        _entry("a/../../b", data=b"5"),
        _entry("hard", tarfile.LNKTYPE, linkname="../../../up"),
    )
    assert list(outside.iterdir()) == []
    assert tree.read_bytes("up") == tree.read_bytes("hard") == b"1"
    assert tree.read_bytes("absolute") == b"2"
    assert tree.read_bytes(f"{outside}/file") == tree.read_bytes("out/file") == b"3"
    assert tree.read_bytes("deep/file") == b"4"
    assert tree.read_bytes("b") == b"5"
    assert tree.readlink("out") == str(outside)


def test_a_link_out_of_the_archive_finds_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(_archive(_entry("hard", tarfile.LNKTYPE, linkname="/etc/passwd")))
    with pytest.raises(errors.ImportSourceError, match=r"'hard' is a hard link to '/etc/passwd'"):
        store.import_tree(path)
    assert list(store.walk()) == []


def test_the_last_of_one_path_wins(load: Callable[..., Tree]) -> None:
    tree = load(
        _entry("x", data=b"old"),
        _entry("x", data=b"new"),
        _entry("d", tarfile.DIRTYPE, mode=0o700),
        _entry("d/in", data=b"in"),
        _entry("d", tarfile.DIRTYPE, mode=0o511),
        _entry("f", tarfile.DIRTYPE),
        _entry("f/in", data=b"in"),
        _entry("f", data=b"file now"),
        _entry("e", data=b"file"),
        _entry("e", tarfile.DIRTYPE, mode=0o755),
        _entry("e/in", data=b"in"),
    )
    assert tree.read_bytes("x") == b"new"
    assert tree.read_bytes("d/in") == b"in"
    assert stat.S_IMODE(tree.stat("d").st_mode) == 0o511
    assert tree.read_bytes("f") == b"file now"
    assert tree.read_bytes("e/in") == b"in"


def test_missing_parents_are_made_and_the_root_has_attributes(load: Callable[..., Tree]) -> None:
    tree = load(
        _entry("./", tarfile.DIRTYPE, mode=0o711, mtime=5),
        _entry("a/b/c", data=b"1", mtime=7),
    )
    assert stat.S_IMODE(tree.stat().st_mode) == 0o711
    assert tree.stat().st_mtime == 5
    assert stat.S_IMODE(tree.stat("a/b").st_mode) == 0o755
    assert tree.stat("a/b/c").st_mtime == 7


@pytest.mark.parametrize(
    "entries",
    [
        [_entry("a", tarfile.SYMTYPE, linkname="b"), _entry("b", tarfile.SYMTYPE, linkname="a"), _entry("a/x")],
        [_entry("a"), _entry("a/x")],
        [_entry("w", tarfile.CHRTYPE, devmajor=0, devminor=0)],
        [_entry("odd", b"Z")],
        [_entry(".", data=b"x")],
        [_entry("x", pax_headers={"mtime": "noon"})],
        [_entry("d", tarfile.DIRTYPE), _entry("h", tarfile.LNKTYPE, linkname="d")],
    ],
    ids=["loop", "below-a-file", "whiteout", "type", "root-file", "time", "link-to-directory"],
)
def test_senseless_entries_are_refused(store: Store, tmp_path: Path, entries: list[Any]) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(_archive(_entry("before", data=b"1"), *entries))
    with pytest.raises(errors.ImportSourceError) as caught:
        store.import_tree(path, "base")
    assert "\n" not in str(caught.value)
    assert list(store.walk()) == []
    assert store._driver.ids() == set()


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _good() -> bytes:
    return _archive(*(_entry(f"f{number}", data=os.urandom(700)) for number in range(20)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"hello, this is no archive" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[: 5 * 1536],
        lambda data: data[: 1536 * 4 + 20] + b"\x55" * 40 + data[1536 * 4 + 60 :],
        lambda data: gzip.compress(data)[:-2000],
        lambda data: _flip(gzip.compress(data, 0), 8500),
        lambda data: bz2.compress(data)[:-100],
        lambda data: lzma.compress(data)[:-100],
        lambda data: lzma.compress(data)[:3000] + b"xxxx" + lzma.compress(data)[3004:],
        lambda data: b"\x28\xb5\x2f\xfd" + data,
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "cut-at-entry",
        "header",
        "gzip-cut",
        "gzip-sum",
        "bzip2-cut",
        "xz-cut",
        "xz-bad",
        "zstd",
    ],
)
def test_damaged_archives_are_refused(store: Store, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(damage(_good()))
    with pytest.raises(errors.ImportSourceError) as caught:
        store.import_tree(path, "base")
    assert "\n" not in str(caught.value)
    assert list(store.walk()) == []
    assert store._driver.ids() == set()


def test_what_is_not_there_and_taken_names(store: Store, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match="nothing to import"):
        store.import_tree(tmp_path / "nothing")
    store.prepare("base")
    with pytest.raises(errors.ExistsError):
        store.import_tree(tmp_path, "base")


def test_wh_names_are_names(load: Callable[..., Tree]) -> None:
    tree = load(_entry("a", data=b"1"), _entry(".wh.a", data=b"2"), _entry("d/.wh..wh..opq"))
    assert tree.read_bytes("a") == b"1"
    assert tree.read_bytes(".wh.a") == b"2"
    assert tree.exists("d/.wh..wh..opq")


@pytest.mark.native
@pytest.mark.parametrize("name", ["directory", "overlayfs"])
def test_the_real_drivers_take_a_directory_too(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    _make_source(source)
    try:
        store = open_store(tmp_path / "store", driver=name, durability="none")
    except errors.DriverUnavailableError as error:
        pytest.skip(str(error))
    with store:
        store.import_tree(source, "base")
        with (
            store.tree("base") as tree,
            HostTree(os.open(source, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as original,
        ):
            assert list(compare(original, tree)) == []


@pytest.mark.native
def test_what_the_user_may_not_make_is_counted(tmp_path: Path) -> None:
    need_root()
    source = tmp_path / "source"
    source.mkdir()
    (source / "mine").write_text("mine")
    (source / "roots").write_text("root's")
    os.chown(source / "mine", 65534, 65534)
    os.chown(source, 65534, 65534)
    os.setxattr(source / "mine", "security.test", b"x")
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for place in (tmp_path, *tmp_path.parents):
        if not place.stat().st_mode & 0o001:
            place.chmod(place.stat().st_mode | 0o011)
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)

    def child() -> dict[str, str]:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with open_store(tmp_path / "home" / "store", driver="plain", durability="none") as store:
            info = store.import_tree(source, "base")
            with store.tree("base") as tree:
                assert sorted(tree.listdir()) == ["mine", "roots"]
                assert tree.read_text("roots") == "root's"
            return dict(info.labels)

    left_out = forked(child)
    assert left_out == {
        "overlaykit.import.owners": "1",
        "overlaykit.import.devices": "1",
        "overlaykit.import.xattrs": "1",
    }


def test_a_whiteout_in_a_directory_is_refused(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "file").touch()
    os.mknod(source / "deep" / "gone", stat.S_IFCHR, 0)
    with pytest.raises(errors.ImportSourceError, match="'deep/gone' is a character device 0:0"):
        store.import_tree(source)
    assert list(store.walk()) == []
    assert store._driver.ids() == set()


def test_stopping_an_import_leaves_nothing(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(600):
        (source / str(number)).write_bytes(b"x" * 5000)

    def stop(entries: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.import_tree(source, "base", progress=stop)
    assert list(store.walk()) == []
    assert store._driver.ids() == set()


@pytest.mark.native
def test_an_import_that_cannot_fit_is_refused_before_it_begins(make_filesystem: MakeFilesystem, tmp_path: Path) -> None:
    place = make_filesystem("tmpfs", "2M")
    source, archive = tmp_path / "source", tmp_path / "a.tar"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(3_000_000))
    archive.write_bytes(_archive(_entry("big", data=bytes(3_000_000))))
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(archive.read_bytes()))
    with open_store(place / "store", driver="plain", durability="none") as store:
        for what, when in ((source, "left"), (archive, "left"), (packed, "does not fit")):
            with pytest.raises(errors.StoreFullError, match=when):
                store.import_tree(what)
        assert list(store.walk()) == []
        assert store._driver.ids() == set()
        store.prepare("work")
