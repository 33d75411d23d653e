"""An image with all that only root may make goes through every store, with and without root, and comes out the same."""

from __future__ import annotations

import ctypes
import io
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit import syscalls
from testkit.images import make_image, write_layout
from testkit.layer_model import archive, block, char, d, f, fifo, h, s, w
from testkit.layers import members
from testkit.loops import need_root, need_tool
from testkit.rich import run_as, run_in_child

import overlaykit
from overlaykit import linux
from overlaykit.linux import IdRange

if TYPE_CHECKING:
    from overlaykit.image import ImageStore
    from overlaykit.tree import Tree

pytestmark = pytest.mark.native

Outcome = tuple[tuple[str, ...], bytes, list[bytes]]

NS = 1_234_567_890_123_456_789
USER = 65534
CAPABILITY = "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
FOREIGN = 3_000_000_000
"""An owner that no user namespace of an ordinary user has."""

BASE = archive(
    [
        d("", mode=0o2751, uid=77, gid=88),
        d("bin"),
        f("bin/su", "x", mode=0o4755, gid=7),
        f("bin/ping", "x", mode=0o755, xattrs=(("security.capability", CAPABILITY), ("user.kept", "yes"))),
        h("bin/ping6", "bin/ping"),
        s("bin/link", "su", uid=9, gid=10),
        h("bin/same-link", "bin/link"),
        d("dev", xattrs=(("trusted.name", "x"),)),
        replace(char("dev/null", 1, 3), mode=0o666),
        replace(block("dev/loop", 7, 3), mode=0o660, gid=6, mtime=1_400_000_000.5),
        h("dev/loop-too", "dev/loop"),
        replace(fifo("dev/pipe"), mode=0o622, uid=1000),
        d("home", mode=0o3775, gid=50),
        f("home/file", "x", mode=0o600, uid=1000, gid=1000),
        f("home/foreign", "x", mode=0o6711, uid=FOREIGN, gid=FOREIGN),
        d("home/foreign-too", mode=0o500, uid=FOREIGN, gid=1),
        s("home/link-of-foreign", "file", uid=FOREIGN, gid=2),
        f("closed", "secret", mode=0),
    ]
)
UPPER = archive(
    [
        w("closed"),
        h("home/linked", "bin/ping"),
        s("bin/third-link", "su", uid=11, gid=12),
        replace(char("dev/zero", 1, 5), mode=0o640, uid=3),
        d("bin", mode=0o711, uid=5),
    ]
)


def _change(tree: Tree) -> None:
    tree.chown("home/file", 5, FOREIGN)
    tree.chmod("bin/su", 0o2711)
    tree.unlink("dev/null")
    tree.mknod("dev/random", stat.S_IFCHR | 0o644, os.makedev(1, 8))
    tree.chmod("dev/random", 0o644)
    tree.chown("dev/random", 4, 4)
    tree.mknod("dev/other", stat.S_IFBLK | 0o600, os.makedev(8, 1))
    tree.chmod("dev/other", 0o600)
    tree.mknod("dev/queue", stat.S_IFIFO | 0o600)
    tree.link("dev/random", "home/random")
    tree.chown("dev/loop", 12, 13)
    tree.chmod("dev/loop", 0o604)
    tree.chown("bin/link", FOREIGN, 1, follow_symlinks=False)
    tree.rename("bin/third-link", "home/third-link")
    tree.symlink("new", "bin/new-link")
    tree.chown("bin/new-link", 21, 22, follow_symlinks=False)
    tree.write_text("bin/new", "x")
    tree.chown("bin/new", 0, 0)
    tree.chmod("bin/new", 0o755)
    tree.setxattr("bin/new", "security.capability", CAPABILITY.encode())
    tree.setxattr("home", "trusted.mine", b"\0")
    tree.removexattr("dev", "trusted.name")
    for path in ("dev/queue", "dev/other", "bin/new-link"):
        tree.chown(path, 0, 0, follow_symlinks=False)
    paths = [entry.path for _, directories, rest in tree.walk() for entry in (*directories, *rest)]
    for number, path in enumerate([*sorted(paths, reverse=True), ""]):
        tree.utime(path, ns=(NS, NS + number), follow_symlinks=False)


def _through(store: ImageStore, layout: Path) -> Outcome:
    """Take an image in, change it in a container, and return the new image's layers and its whole tree."""
    [image] = store.load(layout)
    with store.container(image) as box:
        _change(box.tree)
        made = box.commit("made:1", compression="none", epoch=2_000_000_000)
    layers = []
    above = {info.parent: info.key for info in store.layer_snapshots()}
    key = None
    while (key := above.get(key)) is not None:
        buffer = io.BytesIO()
        store.diff(key, buffer, compression="none")
        layers.append(buffer.getvalue())
    flat = io.BytesIO()
    with store.container(made) as box:
        assert list(box.changes()) == []
        store.export(box.name, flat)
    target = io.BytesIO()
    assert store.save("made:1", target)
    return store.config(made).diff_ids, flat.getvalue(), layers


def _check(found: Outcome, expected: Outcome) -> None:
    # What is told apart by its members says more than bytes do.
    for one, other in zip((found[1], *found[2]), (expected[1], *expected[2]), strict=True):
        assert _lines(one) == _lines(other)
    assert found == expected


def _lines(data: bytes) -> list[str]:
    return [
        f"{m.name} {m.type!r} {m.mode:o} {m.size} {m.mtime} {m.uid}:{m.gid} {m.devmajor},{m.devminor} {m.linkname} "
        f"{[*m.pax_headers.items()]}"
        for m in members(data)
    ]


def _layout(tmp_path: Path) -> Path:
    layout = write_layout(tmp_path / "layout", {"app:1": make_image([BASE, UPPER])})
    for directory in (tmp_path, layout, layout / "blobs", layout / "blobs/sha256"):
        directory.chmod(0o755)
    return layout


@pytest.fixture
def expected(tmp_path: Path) -> Outcome:
    """What comes out of the store that may do everything."""
    with overlaykit.open_store(driver="memory") as store:
        return _through(store, _layout(tmp_path))


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_with_and_without_root(place: Path, tmp_path: Path, expected: Outcome, driver: str) -> None:
    def act(root: Path) -> None:
        with overlaykit.open_store(root / "store", driver=driver, durability="none") as store:
            _check(_through(store, tmp_path / "layout"), expected)

    run_as("own", place / "own", act)
    run_as("nobody", place / "nobody", act)


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_in_a_user_namespace(place: Path, tmp_path: Path, expected: Outcome, driver: str) -> None:
    need_root()
    need_tool("newuidmap")
    ranges = tmp_path / "ranges"
    ranges.write_text(f"{USER}:200000:65536\n")

    def work(root: Path) -> None:
        with overlaykit.open_store(root / "store", driver=driver, durability="none") as store:
            _check(_through(store, tmp_path / "layout"), expected)

    def act() -> None:
        syscalls.private_mount_namespace()
        for name in ("subuid", "subgid"):
            syscalls.mount(str(ranges), f"/etc/{name}", flags=syscalls.MS_BIND)
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as after a login
        assert linux.subordinate_ids() == (IdRange(200_000, 65_536),)
        linux.enter_user_namespace()
        work(place / "user")

    # What is imported here, the user may not be able to reach.
    run_as("own", place / "own", work)
    (place / "user").mkdir()
    os.chown(place / "user", USER, USER)
    run_in_child(act)
    # Owners are real, ids of the user's range.
    assert {path.lstat().st_uid for path in (place / "user").rglob("dev/pipe")} == {200_000 + 999}
    assert {stat.S_IFMT(path.lstat().st_mode) for path in (place / "user").rglob("dev/loop")} == {stat.S_IFREG}
