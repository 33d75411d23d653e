"""Changes become layers: complete, minimal, the same bytes everywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.changes import changes, perform
from testkit.dump import dump_tree
from testkit.layers import apply_layer, members
from testkit.rich import ACL_ACCESS, NAMED_USER, run_as

from overlaykit import errors
from overlaykit.changeset import write_layer
from overlaykit.driver import Capability
from overlaykit.store import open_store
from overlaykit.tree import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.store import LayerDescriptor, Store
    from overlaykit.tree import Tree

NS = 1_234_567_890_123_456_789
ROOT = os.geteuid() == 0


def _settle(tree: Tree) -> None:
    """Give all times a value that does not depend on when this runs."""
    paths = [entry.path for _, directories, rest in tree.walk() for entry in (*directories, *rest)]
    for number, path in enumerate([*sorted(paths, reverse=True), ""]):
        tree.utime(path, ns=(NS, NS + number), follow_symlinks=False)


def _fill(tree: Tree) -> None:
    tree.makedirs("etc/deep/er")
    tree.makedirs("var/lib")
    for path in ("etc/passwd", "etc/deep/er/file", "var/lib/a", "var/lib/b", "gone"):
        tree.write_text(path, f"content of {path}\n")
        tree.chmod(path, 0o644)
    for path in ("", "etc", "etc/deep", "etc/deep/er", "var", "var/lib"):
        tree.chmod(path, 0o755)
    tree.link("var/lib/a", "var/lib/a2")
    tree.link("var/lib/a", "etc/a3")
    tree.symlink("../etc", "var/etc")
    tree.setxattr("etc/passwd", "user.kept", b"yes")
    _settle(tree)


def _change(tree: Tree) -> None:
    tree.unlink("gone")
    tree.rmtree("etc/deep")
    tree.write_text("etc/passwd", "root\n")
    tree.setxattr("etc/passwd", "user.empty", b"")
    tree.setxattr("etc/passwd", "user.binary", bytes(range(256)))
    tree.write_text("var/lib/new", "x" * 70_000)
    tree.write_text("var/lib/set-uid", "x")
    tree.chmod("var/lib/set-uid", 0o4755)
    tree.mknod("var/fifo", stat.S_IFIFO | 0o622)
    tree.chmod("var/fifo", 0o622)
    tree.mknod("var/socket", stat.S_IFSOCK | 0o600)
    tree.symlink("/nowhere/" * 30, "var/long-link")
    tree.write_bytes(b"etc/not-utf-8-\xff", b"x")
    long = "/".join(["directory-of-a-long-name" * 4] * 3)
    tree.makedirs(long)
    tree.write_text(f"{long}/file", "deep")
    for path in ("var/lib/new", b"etc/not-utf-8-\xff", f"{long}/file"):
        tree.chmod(path, 0o644)
    while long:
        tree.chmod(long, 0o755)
        long = long.rpartition("/")[0]
    _settle(tree)


def _layer(store: Store, key: str, **options: int | None) -> bytes:
    buffer = io.BytesIO()
    made = store.diff(key, buffer, compression="none", **options)  # type: ignore[arg-type]
    data = buffer.getvalue()
    assert made.size == made.uncompressed == len(data)
    assert made.digest == made.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert made.entries == len(members(data))
    return data


def _stack(store: Store, *steps: Callable[[Tree], None]) -> list[str]:
    names: list[str] = []
    for number, step in enumerate(steps):
        with store.snapshot(names[-1] if names else None) as working:
            step(working.tree)
            working.commit(f"layer-{number}")
        names.append(f"layer-{number}")
    return names


def _names(data: bytes) -> list[str]:
    return [member.name + ("/" if member.isdir() else "") for member in members(data)]


def _check_identity(store: Store, key: str) -> bytes:
    data = _layer(store, key)
    parent = store.stat(key).parent
    with store.snapshot(parent) as working:
        apply_layer(data, working.tree)
        copy = working.commit().key
    with store.tree(key, readonly=True) as expected, store.tree(copy, readonly=True) as actual:
        wanted = {path: node for path, node in dump_tree(expected).items() if node.format != stat.S_IFSOCK}
        assert dump_tree(actual) == wanted
    assert _layer(store, copy) == data
    if os.geteuid() == 0 or store.driver_name == "memory":
        applied = store.apply(io.BytesIO(data), parent).snapshot.key
        with store.tree(applied, readonly=True) as actual:
            assert dump_tree(actual) == wanted
        assert _layer(store, applied) == data
    return data


def test_identity(store: Store) -> None:
    for key in _stack(store, _fill, _change):
        _check_identity(store, key)


def test_the_same_bytes_in_every_driver(make_store: Callable[[str], Store]) -> None:
    layers = []
    for driver in ("overlayfs", "directory", "memory"):
        store = make_store(driver)
        layers.append([_layer(store, key) for key in _stack(store, _fill, _change)])
    assert layers[0] == layers[1] == layers[2]


def test_minimal_and_in_order(store: Store) -> None:
    def change(tree: Tree) -> None:
        tree.rmtree("etc/deep")
        tree.unlink("etc/passwd")
        tree.write_text("etc/.first", "x")
        tree.write_text("var/lib/b", "changed")
        tree.chmod("etc", 0o755)  # changes nothing

    _, key = _stack(store, _fill, change)
    names = _names(_layer(store, key))
    assert names == ["etc/", "etc/.wh.deep", "etc/.wh.passwd", "etc/.first", "var/", "var/lib/", "var/lib/b"]


def test_a_whiteout_has_no_attributes(store: Store) -> None:
    _, key = _stack(store, _fill, lambda tree: tree.unlink("gone"))
    (whiteout,) = (member for member in members(_layer(store, key)) if member.name == ".wh.gone")
    assert (whiteout.mtime, whiteout.uid, whiteout.gid, whiteout.size, whiteout.mode) == (0, 0, 0, 0, 0)
    assert not whiteout.pax_headers
    assert whiteout.isreg()


def test_nothing_changed(store: Store) -> None:
    _, key = _stack(store, _fill, lambda tree: tree.chmod("etc/passwd", 0o644))
    assert _layer(store, key) == bytes(1024)


def test_a_view_differs_in_nothing(store: Store) -> None:
    _stack(store, _fill)
    store.view("view", "layer-0")
    assert _layer(store, "view") == bytes(1024)


def test_the_root_is_in_the_lowest_layer(store: Store) -> None:
    (key,) = _stack(store, lambda tree: tree.utime("", ns=(1, -1_500_000_000)))
    data = _check_identity(store, key)
    (root,) = members(data)
    assert root.name == "."
    assert root.pax_headers["mtime"] == "-1.5"


def test_xattrs_alone_are_a_change(store: Store) -> None:
    def change(tree: Tree) -> None:
        tree.removexattr("etc/passwd", "user.kept")
        tree.setxattr("var", "user.new", b"\0=\n")

    _, key = _stack(store, _fill, change)
    assert _names(_check_identity(store, key)) == ["etc/", "etc/passwd", "var/"]


def test_acls(store: Store) -> None:
    def change(tree: Tree) -> None:
        tree.setxattr("etc/passwd", ACL_ACCESS, NAMED_USER)

    if Capability.ACL not in store.capabilities:
        pytest.skip("no ACLs here")
    _, key = _stack(store, _fill, change)
    _, member = members(_check_identity(store, key))
    assert os.fsencode(member.pax_headers[f"SCHILY.xattr.{ACL_ACCESS}"]) == NAMED_USER


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.opaque"])
def test_attributes_that_look_like_an_overlays(store: Store, name: str) -> None:
    def change(tree: Tree) -> None:
        try:
            tree.setxattr("etc", name, b"y")
        except OSError as error:
            pytest.skip(f"cannot be set here: {error}")

    _, key = _stack(store, _fill, change)
    (member,) = members(_check_identity(store, key))
    assert member.pax_headers[f"SCHILY.xattr.{name}"] == "y"


LINKS: dict[str, tuple[Callable[[Tree], object], list[str]]] = {
    "a new name": (
        lambda tree: tree.link("var/lib/a", "new"),
        ["etc/a3", "new>etc/a3", "var/lib/a>etc/a3", "var/lib/a2>etc/a3"],
    ),
    "a name less": (lambda tree: tree.unlink("var/lib/a"), [".wh.a"]),
    "the first name less": (lambda tree: tree.unlink("etc/a3"), [".wh.a3"]),
    "changed through one name": (
        lambda tree: tree.write_text("var/lib/a2", "changed"),
        ["etc/a3", "var/lib/a>etc/a3", "var/lib/a2>etc/a3"],
    ),
    "split": (
        lambda tree: (tree.write_bytes("x", tree.read_bytes("var/lib/a")), tree.rename("x", "var/lib/a")),
        ["var/lib/a"],
    ),
    "joined": (
        lambda tree: (tree.unlink("var/lib/b"), tree.link("var/lib/a", "var/lib/b")),
        ["etc/a3", "var/lib/a>etc/a3", "var/lib/a2>etc/a3", "var/lib/b>etc/a3"],
    ),
    "regrouped": (
        lambda tree: (
            tree.unlink("var/lib/a"),
            tree.link("var/lib/b", "var/lib/a"),
            tree.unlink("etc/a3"),
            tree.link("gone", "etc/a3"),
        ),
        ["etc/a3", "gone>etc/a3", "var/lib/a", "var/lib/a2", "var/lib/b>var/lib/a"],
    ),
    "a symbolic link's": (
        lambda tree: tree.link("var/etc", "etc/too"),
        ["etc/too", "var/etc>etc/too"],
    ),
    "renamed": (
        lambda tree: tree.rename("var/lib/a", "var/lib/z"),
        ["etc/a3", ".wh.a", "var/lib/a2>etc/a3", "var/lib/z>etc/a3"],
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_hard_links(store: Store, case: str) -> None:
    action, expected = LINKS[case]

    def change(tree: Tree) -> None:
        old = {path: tree.lstat(path).st_mtime_ns for path in ("", "etc", "var", "var/lib")}
        action(tree)
        for path, time in old.items():
            tree.utime(path, ns=(time, time))

    _, key = _stack(store, _fill, change)
    data = _check_identity(store, key)
    found = [
        (os.path.basename(member.name) if ".wh." in member.name else member.name)
        + (f">{member.linkname}" if member.islnk() else "")
        for member in members(data)
        if not member.isdir()
    ]
    assert found == expected


def test_kinds_change(store: Store) -> None:
    def change(tree: Tree) -> None:
        tree.rmtree("etc/deep")
        tree.write_text("etc/deep", "a file now")
        tree.unlink("etc/passwd")
        tree.mkdir("etc/passwd")
        tree.write_text("etc/passwd/inside", "x")
        tree.rmtree("var/lib")
        tree.symlink("../etc", "var/lib")
        tree.unlink("gone")
        tree.mknod("gone", stat.S_IFSOCK | 0o600)

    _, key = _stack(store, _fill, change)
    names = _names(_check_identity(store, key))
    assert names == ["./", ".wh.gone", "etc/", "etc/deep", "etc/passwd/", "etc/passwd/inside", "var/", "var/lib"]


def test_a_directory_made_again_is_compared(store: Store) -> None:
    def change(tree: Tree) -> None:
        tree.rmtree("var/lib")
        tree.mkdir("var/lib")
        tree.chmod("var/lib", 0o755)
        tree.write_text("var/lib/only", "x")

    _, key = _stack(store, _fill, change)
    names = _names(_check_identity(store, key))
    assert names == ["var/", "var/lib/", "var/lib/.wh.a", "var/lib/.wh.a2", "var/lib/.wh.b", "var/lib/only"]


@pytest.mark.parametrize("path", [".wh.name", "etc/.wh..wh..opq", ".wh.d/below"])
def test_names_of_whiteouts_are_refused(store: Store, path: str) -> None:
    def change(tree: Tree) -> None:
        tree.makedirs(os.path.dirname(path), exist_ok=True)
        tree.write_text(path, "x")

    _, key = _stack(store, _fill, change)
    with pytest.raises(errors.ChangesetError, match=r"\.wh\.") as caught:
        store.diff(key, io.BytesIO())
    assert str(caught.value.filename).startswith(path.split("/below")[0])


def test_an_attribute_that_no_archive_holds(store: Store) -> None:
    _, key = _stack(store, _fill, lambda tree: tree.setxattr("etc", "user.a=b", b"x"))
    with pytest.raises(errors.ChangesetError, match=r"user\.a=b"):
        store.diff(key, io.BytesIO())


def test_an_upper_bound_of_times(store: Store) -> None:
    _, key = _stack(store, _fill, _change)
    data = _layer(store, key, epoch=1_000)
    for member in members(data):
        assert member.mtime == (0 if ".wh." in member.name else 1_000), member.name
        assert "mtime" not in member.pax_headers
    assert _layer(store, key, epoch=NS) == _layer(store, key)


def test_ustar_where_it_is_enough(make_store: Callable[[str], Store]) -> None:
    def fill(tree: Tree) -> None:
        tree.makedirs("p" * 90)
        tree.write_text("p" * 90 + "/" + "n" * 100, "x")
        for path in ("", "p" * 90, "p" * 90 + "/" + "n" * 100):
            tree.utime(path, ns=(0, 7 * 10**9))

    store = make_store("memory")
    (key,) = _stack(store, fill)
    data = _layer(store, key)
    assert not any(member.pax_headers for member in members(data))
    assert len(data) == 512 * 4 + 1024
    assert [data[at + 257 : at + 265] for at in range(0, 1536, 512)] == [b"ustar\x0000"] * 3
    assert b"root" not in data


@pytest.mark.parametrize("length", [*range(95, 104), 155, 156, 157, 255])
def test_lengths_of_names(make_store: Callable[[str], Store], length: int) -> None:
    def fill(tree: Tree) -> None:
        tree.makedirs("d" * min(length, 255) + "/" + "e" * 98)
        tree.symlink("t" * length, "link" + "l" * (length - 4))
        tree.write_text("d" * min(length, 255) + "/" + "e" * 98 + "/" + "f" * length, "x")

    store = make_store("memory")
    (key,) = _stack(store, fill)
    _check_identity(store, key)


def test_large_owners_and_times(make_store: Callable[[str], Store]) -> None:
    def fill(tree: Tree) -> None:
        for number, (owner, time) in enumerate(
            [(0o7777777, 0o77777777777), (0o10000000, 0o100000000000), (2**32 - 2, -1)]
        ):
            tree.write_text(str(number), "x")
            tree.chown(str(number), owner, owner)
            tree.utime(str(number), ns=(0, time * 10**9))

    store = make_store("memory")
    try:
        (key,) = _stack(store, fill)
    except PermissionError:
        pytest.skip("owners are set by root alone here")
    _check_identity(store, key)


def test_compression(store: Store) -> None:
    _, key = _stack(store, _fill, _change)
    plain = _layer(store, key)
    made: list[tuple[LayerDescriptor, bytes]] = []
    for level in (None, None, 1, 6):
        buffer = io.BytesIO()
        made.append((store.diff(key, buffer, level=level), buffer.getvalue()))
    assert made[0] == made[1]
    for descriptor, data in made:
        assert gzip.decompress(data) == plain
        assert descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
        assert descriptor.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest()
        assert descriptor.digest == "sha256:" + hashlib.sha256(data).hexdigest()
        assert (descriptor.size, descriptor.uncompressed) == (len(data), len(plain))
        assert descriptor.skipped == 1
    with pytest.raises(errors.MediaTypeError, match="lzma"):
        store.diff(key, io.BytesIO(), compression="lzma")


def test_zstd(store: Store) -> None:
    _, key = _stack(store, _fill, _change)
    plain = _layer(store, key)
    found = []
    for _ in range(2):
        buffer = io.BytesIO()
        made = store.diff(key, buffer, compression="zstd")
        found.append(buffer.getvalue())
        assert made.media_type == "application/vnd.oci.image.layer.v1.tar+zstd"
        assert made.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest()
    assert found[0] == found[1]
    parent = store.stat(key).parent
    if ROOT or store.driver_name == "memory":
        copy = store.apply(io.BytesIO(found[0]), parent, diff_id=made.diff_id).snapshot.key
        assert _layer(store, copy) == plain


def test_an_active_snapshot(store: Store) -> None:
    _stack(store, _fill)
    with store.snapshot("layer-0") as working:
        working.tree.write_text("var/lib/b", "changed")
        assert _names(_layer(store, working.key)) == ["var/", "var/lib/", "var/lib/b"]


def test_a_file_that_gets_shorter_meanwhile(make_store: Callable[[str], Store]) -> None:
    store = make_store("memory")
    store.prepare("work")
    with store.tree("work") as tree:
        tree.write_bytes("file", bytes(3 << 20))
        tree.write_text("a", "x")

        class Out:
            def write(self, data: bytes) -> None:
                tree.truncate("file", 10)

        with pytest.raises(errors.ChangesetError, match="shorter"):
            write_layer(tree, compare(None, tree), Out())


def test_progress(store: Store) -> None:
    (key,) = _stack(store, lambda tree: [tree.write_text(f"file-{number}", "x") for number in range(600)])
    seen: list[tuple[int, int]] = []
    made = store.diff(key, io.BytesIO(), progress=lambda *figures: seen.append(figures))
    assert seen == sorted(seen)
    assert seen
    assert seen[-1][0] <= made.entries


def test_random_changes(store: Store, tmp_path: Path, make_store: Callable[[str], Store]) -> None:
    other = make_store("memory")
    reference = tmp_path / "reference"
    reference.mkdir()
    for number in range(60):
        directory = reference / f"d{number % 7}" / f"e{number % 3}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}").write_bytes(b"%d" % number * number)
        if number % 5 == 0:
            os.link(directory / f"file{number}", reference / f"hard{number}")
            (directory / f"link{number}").symlink_to("anywhere")
    for made in (store, other):
        made.import_tree(reference, "base")
    _check_identity(store, "base")
    for seed in range(3):
        copy = tmp_path / f"copy-{seed}"
        shutil.copytree(reference, copy, symlinks=True)
        steps = [
            replace(step, path=step.path.replace(".wh.", "wh."), other=step.other.replace(".wh.", "wh."))
            for step in changes(copy, seed=seed, count=90, superuser=ROOT)
        ]
        layers = []
        for made in (store, other):
            with made.snapshot("base") as working:
                for step in steps:
                    perform(working.tree, step)
                _settle(working.tree)
                working.commit(f"changed-{seed}")
            layers.append(_check_identity(made, f"changed-{seed}"))
        assert layers[0] == layers[1]


def test_gnu_tar_reads_it(store: Store, tmp_path: Path) -> None:
    key = _stack(store, _fill)[0]
    archive = tmp_path / "layer.tar"
    archive.write_bytes(_layer(store, key))
    target = tmp_path / "out"
    target.mkdir()
    done = subprocess.run(
        ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=user.*", "-xpf", archive, "-C", target],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (target / "var/lib/a").stat().st_ino == (target / "etc/a3").stat().st_ino
    assert (target / "etc/passwd").stat().st_mtime_ns // 10**9 == NS // 10**9
    assert os.getxattr(target / "etc/passwd", "user.kept") == b"yes"


def _as_both(place: Path, act: Callable[[Path], None]) -> None:
    """Call a function as the test's own user, which also imports what nobody may not reach, and then as nobody."""
    run_as("own", place / "own", act)
    run_as("nobody", place / "nobody", act)


def test_the_same_bytes_without_privileges(place: Path) -> None:
    """Owners aside, who is not root gets the bytes that root gets."""

    def layers(root: Path, driver: str) -> list[bytes]:
        with open_store(root / driver, driver=driver, durability="none") as store:
            return [_layer(store, key) for key in _stack(store, _fill, _change)]

    def act(root: Path) -> None:
        found = [layers(root, driver) for driver in ("overlayfs", "directory")]
        with open_store(driver="memory") as store:
            found.append([_layer(store, key) for key in _stack(store, _fill, _change)])
        assert found[0] == found[1] == found[2]

    _as_both(place, act)


def test_tarfile_agrees_on_every_header(store: Store) -> None:
    _, key = _stack(store, _fill, _change)
    data = _layer(store, key)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            assert not member.uname
            assert not member.gname
            assert {"atime", "ctime"}.isdisjoint(member.pax_headers)
            if member.isreg():
                assert archive.extractfile(member) is not None
