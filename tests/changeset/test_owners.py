"""A store without root keeps owners, modes, devices and attributes: a round trip through it loses nothing."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING

import pytest
from testkit.dump import differences, dump_tree
from testkit.layers import apply_layer, members
from testkit.rich import ACL_ACCESS, NAMED_USER, run_as

from overlaykit.store import open_store
from overlaykit.tree import Change, ChangeKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.store import Store
    from overlaykit.tree import Tree

NS = 1_234_567_890_123_456_789
OVERRIDE = "user.containers.override_stat"
CAPABILITY = b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"


def _settle(tree: Tree) -> None:
    paths = [entry.path for _, directories, rest in tree.walk() for entry in (*directories, *rest)]
    for number, path in enumerate([*sorted(paths, reverse=True), ""]):
        tree.utime(path, ns=(NS, NS + number), follow_symlinks=False)


def _base(tree: Tree) -> None:
    """Put into a tree what only root may."""
    tree.makedirs("home/user")
    tree.makedirs("dev")
    tree.write_text("home/user/file", "x")
    tree.write_text("ping", "x")
    tree.write_text("closed", "secret")
    tree.write_text("plain", "x")
    tree.symlink("user/file", "home/link")
    tree.symlink("user/file", "home/other")
    tree.link("home/link", "home/user/same-link")
    tree.link("ping", "ping-too")
    tree.mknod("dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    tree.mknod("dev/loop", stat.S_IFBLK | 0o660, os.makedev(7, 3))
    tree.mknod("dev/pipe", stat.S_IFIFO | 0o622)
    for _, directories, rest in tree.walk():
        for entry in (*directories, *rest):
            tree.chown(entry.path, 0, 0, follow_symlinks=False)
    for path in ("home/user", "home/user/file", "dev/pipe", "home/link", "home/user/same-link"):
        tree.chown(path, 1000, 2000, follow_symlinks=False)
    tree.chown("dev/loop", 0, 6)
    tree.chown("ping", 7, 0)
    tree.chmod("ping", 0o4755)
    tree.chmod("closed", 0)
    tree.chmod("home/user", 0o500)
    tree.chmod("dev/null", 0o666)
    tree.chmod("dev/loop", 0o660)
    tree.chmod("dev/pipe", 0o622)
    tree.chmod("home", 0o3775)
    tree.setxattr("ping", "security.capability", CAPABILITY)
    tree.setxattr("ping", "user.kept", b"yes")
    tree.setxattr("home", "trusted.name", b"\0")
    tree.setxattr("home/other", "trusted.of-a-link", b"x", follow_symlinks=False)
    tree.setxattr("plain", ACL_ACCESS, NAMED_USER)
    tree.chmod("", 0o2751)
    tree.chown("", 77, 88)
    _settle(tree)


def _layer(store: Store, key: str) -> bytes:
    buffer = io.BytesIO()
    store.diff(key, buffer, compression="none")
    return buffer.getvalue()


def _reference() -> tuple[bytes, dict[str, object]]:
    """Return the layer and the tree as a store shows them that may do everything: the memory's."""
    with open_store(driver="memory") as store, store.snapshot() as working:
        _base(working.tree)
        working.commit("base")
        with store.tree("base") as tree:
            return _layer(store, "base"), dict(dump_tree(tree))


def _load(store: Store, data: bytes) -> None:
    with store.snapshot(labels={"overlaykit.owners": "override"}) as working:
        apply_layer(data, working.tree)
        working.commit("base")


def _as_both(place: Path, act: Callable[[Path], None]) -> None:
    """Call a function as the test's own user, which also imports what nobody may not reach, and then as nobody."""
    run_as("own", place / "own", act)
    run_as("nobody", place / "nobody", act)


@pytest.mark.native
@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_a_round_trip_loses_nothing(place: Path, driver: str) -> None:
    def act(root: Path) -> None:
        data, expected = _reference()
        with open_store(root / "store", driver=driver, durability="none") as store:
            _load(store, data)
            with store.tree("base") as tree:
                assert dict(dump_tree(tree)) == expected
            assert _layer(store, "base") == data
            with store.snapshot("base") as working:
                assert dict(dump_tree(working.tree)) == expected
                assert list(working.changes()) == []
            store.view("view", "base")
            with store.tree("view") as tree:
                assert dict(dump_tree(tree)) == expected
            assert store.stat("view").labels["overlaykit.owners"] == "override"

    _as_both(place, act)


@pytest.mark.native
@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_layers_are_applied_with_their_owners(place: Path, driver: str) -> None:
    def change(tree: Tree) -> None:
        tree.chown("plain", 5, 6)
        tree.unlink("closed")
        tree.unlink("home/link")
        tree.symlink("new", "home/link")
        tree.write_text("home/user/file", "changed")
        tree.link("home/other", "dev/too")
        _settle(tree)

    def act(root: Path) -> None:
        data, expected = _reference()
        with open_store(driver="memory") as reference:
            reference.apply(io.BytesIO(data), None, "base")
            with reference.snapshot("base") as working:
                change(working.tree)
                working.commit("changed")
            upper = _layer(reference, "changed")
            with reference.tree("changed") as tree:
                after = dump_tree(tree)
        with open_store(root / "store", driver=driver, durability="none") as store:
            base = store.apply(io.BytesIO(data), None, "base")
            assert (base.snapshot.labels.get("overlaykit.owners") == "override") is (os.geteuid() != 0)
            with store.tree("base") as tree:
                assert dict(dump_tree(tree)) == expected
            store.apply(io.BytesIO(upper), "base", "changed")
            with store.tree("changed") as tree:
                assert dump_tree(tree) == after
            assert _layer(store, "base") == data
            assert _layer(store, "changed") == upper
            with store.snapshot("changed") as working:
                assert dump_tree(working.tree) == after

    _as_both(place, act)


@pytest.mark.native
@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_changes_in_a_container(place: Path, driver: str) -> None:
    def change(tree: Tree) -> None:
        tree.chown("plain", 5, 6)
        tree.chown("home/other", 9, 9, follow_symlinks=False)
        tree.chmod("ping", 0o755)
        tree.write_text("home/user/file", "changed")
        tree.rename("home/link", "dev/link")
        tree.unlink("dev/null")
        tree.write_text("dev/null", "a file now")
        tree.unlink("dev/loop")
        tree.mknod("dev/zero", stat.S_IFCHR | 0o640, os.makedev(1, 5))
        tree.chmod("dev/zero", 0o640)
        tree.removexattr("home", "trusted.name")
        tree.chmod("dev/null", 0o600)
        _settle(tree)

    def act(root: Path) -> None:
        data, _ = _reference()
        found = []
        for name, path in ((driver, root / "store"), ("memory", None)):
            with open_store(path, driver=name, durability="none") as store:
                _load(store, data)
                with store.tree("base") as tree:
                    before = dump_tree(tree)
                with store.snapshot("base") as working:
                    change(working.tree)
                    working.commit("changed")
                with store.tree("changed") as tree:
                    after = dump_tree(tree)
                changes = list(store.changes("changed"))
                assert changes == differences(before, after)
                found.append((after, changes, _layer(store, "changed")))
                with store.snapshot("base") as working:
                    apply_layer(found[-1][2], working.tree)
                    assert dump_tree(working.tree) == after
        assert found[0] == found[1]

    _as_both(place, act)


@pytest.mark.native
@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_what_a_process_changes_for_real(place: Path, driver: str) -> None:
    def act(root: Path) -> None:
        data, _ = _reference()
        with open_store(root / "store", driver=driver, durability="none") as store:
            _load(store, data)
            with store.snapshot("base") as working:
                tree = working.tree
                path = tree.host_path
                os.chmod(f"{path}/home/user/file", 0o751)
                with open(f"{path}/new", "w") as file:
                    file.write("x")
                status = tree.lstat("home/user/file")
                assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o751, 1000)
                assert (tree.lstat("new").st_uid, tree.lstat("new").st_gid) == (0, 0)
                assert os.lstat(f"{path}/dev/null").st_size == 0
                assert stat.S_ISREG(os.lstat(f"{path}/dev/null").st_mode)
                with pytest.raises(OSError, match="No such device or address"):
                    tree.read_bytes("dev/null")
                kinds = {change.path: change.kind for change in working.changes()}
                assert kinds["new"] is ChangeKind.ADDED
                assert kinds["home/user/file"] is ChangeKind.MODIFIED

    _as_both(place, act)


@pytest.mark.native
def test_the_form_is_that_of_other_engines(place: Path) -> None:
    def act(root: Path) -> None:
        data, _ = _reference()
        with open_store(root / "store", driver="directory", durability="none") as store:
            _load(store, data)
            with store.snapshot("base") as working:
                path = working.tree.host_path
                found = {name: os.getxattr(f"{path}/{name}", OVERRIDE) for name in ("home/user", "ping", "dev/null")}
                found |= {name: os.getxattr(f"{path}/{name}", OVERRIDE) for name in ("dev/loop", "dev/pipe")}
                modes = {name: stat.S_IMODE(os.lstat(f"{path}/{name}").st_mode) for name in ("ping", "closed", "home")}
        assert found == {
            "home/user": b"1000:2000:0500:dir",
            "ping": b"7:0:4755:file",
            "dev/null": b"0:0:0666:char-1-3",
            "dev/loop": b"0:6:0660:block-7-3",
            "dev/pipe": b"1000:2000:0622:pipe",
        }
        assert modes == {"ping": 0o755, "closed": 0o600, "home": 0o775}

    _as_both(place, act)


@pytest.mark.native
def test_attributes_of_that_name_are_data(place: Path) -> None:
    def act(root: Path) -> None:
        with open_store(root / "store", driver="directory", durability="none") as store:
            with store.snapshot(labels={"overlaykit.owners": "override"}) as working:
                tree = working.tree
                tree.write_text("file", "x")
                tree.setxattr("file", OVERRIDE, b"1:2:7777:char-1-3")
                tree.setxattr("file", "user.overlaykit.links", b"x")
                assert tree.lstat("file").st_uid == 0
                assert stat.S_ISREG(tree.lstat("file").st_mode)
                assert tree.listxattr("file") == [OVERRIDE, "user.overlaykit.links"]
                assert tree.getxattr("file", OVERRIDE) == b"1:2:7777:char-1-3"
                working.commit("base")
            names = [member.name for member in members(_layer(store, "base"))]
            assert names == [".", "file"]
            with store.snapshot("base") as working:
                working.tree.removexattr("file", OVERRIDE)
                assert [(change.kind, change.path) for change in working.changes()] == [(ChangeKind.MODIFIED, "file")]
                assert all(isinstance(change, Change) for change in working.changes())

    _as_both(place, act)


@pytest.mark.native
def test_other_snapshots_are_shown_as_they_are(place: Path) -> None:
    def act(root: Path) -> None:
        with open_store(root / "store", driver="directory", durability="none") as store, store.snapshot() as working:
            working.tree.write_text("file", "x")
            assert working.tree.lstat("file").st_uid == os.geteuid()
            assert not working.info.labels

    _as_both(place, act)
