"""Copy on write: changes go to the container, never to what lies below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, Directory, File, Symlink, portrait, see
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._describe import Layer
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_TIME = 1_000_000_000_123_456_789

# Each changes one of the paths of _base below; the rig's observer sees whether the layers felt it.
_WRITES: dict[str, Callable[[Tree], object]] = {
    "write": lambda tree: tree.write_bytes("d/f", b"new"),
    "write-in-place": lambda tree: _patch(tree, os.O_RDWR, b"NEW"),
    "append": lambda tree: _patch(tree, os.O_WRONLY | os.O_APPEND, b"more"),
    "open-truncating": lambda tree: tree.open_raw("d/f", os.O_WRONLY | os.O_TRUNC).close(),
    "truncate-down": lambda tree: tree.truncate("d/f", 2),
    "truncate-up": lambda tree: tree.truncate("d/f", 9000),
    "chmod": lambda tree: tree.chmod("d/f", 0o600),
    "chmod-directory": lambda tree: tree.chmod("d", 0o700),
    "chmod-root": lambda tree: tree.chmod("", 0o711),
    "utime": lambda tree: tree.utime("d/f", ns=(1, 2)),
    "utime-directory": lambda tree: tree.utime("d", ns=(1, 2)),
    "utime-root": lambda tree: tree.utime("", ns=(1, 2)),
    "utime-symlink": lambda tree: tree.utime("l", ns=(1, 2), follow_symlinks=False),
    "xattr": lambda tree: tree.setxattr("d/f", "user.new", b"1"),
    "xattr-directory": lambda tree: tree.setxattr("d", "user.new", b"1"),
    "xattr-root": lambda tree: tree.setxattr("", "user.new", b"1"),
    "remove-xattr": lambda tree: tree.removexattr("d/f", "user.x"),
    "link": lambda tree: tree.link("d/f", "d/g"),
    "write-a-new-link": lambda tree: (tree.link("d/f", "g"), tree.write_bytes("g", b"new")),
    "rename-file": lambda tree: tree.rename("d/f", "d/g"),
    "rename-directory": lambda tree: tree.rename("d", "g"),
    "rename-over": lambda tree: tree.rename("o", "d/f"),
    "unlink": lambda tree: tree.unlink("d/f"),
    "rmtree": lambda tree: tree.rmtree("d"),
    "mkdir": lambda tree: tree.mkdir("d/new"),
    "create": lambda tree: tree.write_bytes("d/new", b"1"),
    "symlink": lambda tree: tree.symlink("f", "d/new"),
    "mknod": lambda tree: tree.mknod("d/new", 0o010644),
    "write-through-symlink": lambda tree: tree.write_bytes("l", b"new"),
    "retarget-symlink": lambda tree: (tree.unlink("l"), tree.symlink("o", "l")),
}


def _patch(tree: Tree, flags: int, data: bytes) -> None:
    with tree.open_raw("d/f", flags) as file:
        file.write(data)


def _base(tree: Tree) -> None:
    tree.mkdir("d")
    tree.write_bytes("d/f", b"lower content")
    tree.setxattr("d/f", "user.x", b"1")
    tree.write_bytes("o", b"other")
    tree.symlink("d/f", "l")
    tree.chmod("d/f", 0o640)
    for path in ("d/f", "o", "l", "d", ""):
        tree.utime(path, ns=(_TIME, _TIME), follow_symlinks=False)


class TestCopyOnWrite(Suite):
    """What a container changes."""

    @pytest.mark.parametrize("change", _WRITES.values(), ids=_WRITES)
    def test_layer_below_never_changes(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """No operation in a container changes a layer below it, which a tree opened before keeps showing."""
        id = rig.layer(_base)
        view = rig.view(id)
        before = portrait(view)
        box = rig.box(id)
        change(box.tree)
        assert portrait(view) == before
        assert portrait(rig.view(id)) == before
        assert portrait(box.tree) != before, "the operation changed nothing at all"

    @pytest.mark.parametrize("change", _WRITES.values(), ids=_WRITES)
    def test_change_is_kept(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """What an operation did to lower files is the same after the tree is opened again, committed and built upon."""
        box = rig.over(_base)
        change(box.tree)
        after = portrait(box.tree)
        box.reopen()
        assert portrait(box.tree) == after
        id = box.commit()
        assert portrait(rig.view(id)) == after
        assert portrait(rig.box(id).tree) == after

    @pytest.mark.parametrize("change", _WRITES.values(), ids=_WRITES)
    def test_change_is_the_same_without_layers(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """An operation on lower files shows what it shows on files of the container's own, times aside."""
        flat = rig.box()
        _base(flat.tree)
        change(flat.tree)
        over = rig.over(_base)
        change(over.tree)
        assert see(over.tree) == see(flat.tree)
        assert [(path, node.mode, node.xattrs, node.links) for path, node in portrait(over.tree).items()] == [
            (path, node.mode, node.xattrs, node.links) for path, node in portrait(flat.tree).items()
        ]

    def test_write(self, rig: Rig) -> None:
        """A written lower file shows the new content."""
        box = rig.over({"a": "old content"})
        assert box.tree.write_bytes("a", b"new") == 3
        box.shows({"a": "new"})

    def test_write_in_the_middle(self, rig: Rig) -> None:
        """A write into the middle of a lower file keeps what is around it."""
        box = rig.over({"a": "0123456789"})
        with box.tree.open("a", "r+b") as file:
            file.seek(3)
            file.write(b"XY")
        box.shows({"a": "012XY56789"})

    def test_append(self, rig: Rig) -> None:
        """An append to a lower file keeps what it had."""
        box = rig.over({"a": "old"})
        with box.tree.open("a", "ab") as file:
            file.write(b"+new")
        box.shows({"a": "old+new"})

    def test_open_truncating(self, rig: Rig) -> None:
        """O_TRUNC on a lower file makes it empty at once."""
        box = rig.over({"a": "old"})
        with box.tree.open_raw("a", os.O_WRONLY | os.O_TRUNC):
            assert box.tree.stat("a").st_size == 0
        box.shows({"a": ""})

    @pytest.mark.parametrize(
        ("length", "expected"), [(0, b""), (4, b"0123"), (10, b"0123456789"), (14, b"0123456789\0\0\0\0")]
    )
    def test_truncate(self, rig: Rig, length: int, expected: bytes) -> None:
        """truncate cuts a lower file, or extends it with zeros."""
        box = rig.over({"a": "0123456789"})
        box.tree.truncate("a", length)
        box.shows({"a": expected})

    def test_open_for_writing_changes_nothing(self, rig: Rig) -> None:
        """A lower file that was opened for writing and not written is no change."""
        box = rig.over({"a": "old"})
        before = portrait(box.tree)
        box.tree.open_raw("a", os.O_RDWR).close()
        assert portrait(box.tree) == before
        assert box.changes() == {}

    def test_reading_changes_nothing(self, rig: Rig) -> None:
        """Reading, listing and stat'ing lower files is no change and takes no storage."""
        box = rig.over({"a": "old", "d/b": "2"})
        usage = rig.driver.usage(box.id)
        portrait(box.tree)
        assert box.changes() == {}
        assert rig.driver.usage(box.id) == usage

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1])
    def test_copy_up_is_exact(self, rig: Rig, size: int) -> None:
        """A lower file of any size keeps every byte when the container changes it by one."""
        data = bytes(n * 7 % 251 for n in range(256)) * (size // 256 + 1)
        box = rig.over({"a": data[:size]})
        with box.tree.open("a", "ab") as file:
            file.write(b"!")
        assert box.tree.read_bytes("a") == data[:size] + b"!"

    def test_attributes_survive_copy_up(self, rig: Rig) -> None:
        """A lower file written to keeps its mode, owner and xattrs; one whose mode changes keeps its time too."""
        box = rig.over(
            {"a": File("old", mode=0o6751, mtime=_TIME, xattrs={"user.x": b"1"}), "b": File("b", 0o640, _TIME)}
        )
        before = portrait(box.tree)
        box.tree.setxattr("a", "user.y", b"2")
        box.tree.chmod("b", 0o600)
        after = portrait(box.tree)
        assert (after["a"].mode, after["a"].mtime, after["a"].uid, after["a"].gid) == (
            before["a"].mode,
            _TIME,
            before["a"].uid,
            before["a"].gid,
        )
        assert after["a"].xattrs == (("user.x", b"1"), ("user.y", b"2"))
        assert (after["b"].mode, after["b"].mtime, after["b"].what) == (0o600, _TIME, b"b")

    def test_parents_keep_their_attributes(self, rig: Rig) -> None:
        """A change deep in lower directories leaves mode, time and xattrs of the directories above it as they were."""
        layer: Layer = {
            "a/b/c/f": "old",
            "a/b/c": Directory(0o700, _TIME, {"user.c": b"3"}),
            "a/b": Directory(0o750, _TIME + 1, {"user.b": b"2"}),
            "a": Directory(0o711, _TIME + 2, {"user.a": b"1"}),
        }
        box = rig.over(layer)
        before = portrait(box.tree)
        box.tree.write_bytes("a/b/c/f", b"new")
        after = portrait(box.reopen())
        assert {path: node for path, node in after.items() if path != "a/b/c/f"} == {
            path: node for path, node in before.items() if path != "a/b/c/f"
        }

    def test_create_changes_only_the_parents_time(self, rig: Rig) -> None:
        """A file made in a lower directory changes that directory's modification time, and nothing else above it."""
        box = rig.over({"a/b/f": "1", "a/b": Directory(0o700, _TIME), "a": Directory(0o711, _TIME)})
        before = box.tree.stat("")
        box.tree.write_bytes("a/b/new", b"2")
        assert box.tree.stat("a/b").st_mtime_ns > _TIME
        assert box.tree.stat("a/b").st_mode == 0o040700
        assert (box.tree.stat("a").st_mtime_ns, box.tree.stat("").st_mtime_ns) == (_TIME, before.st_mtime_ns)

    def test_directory_inode_is_stable(self, rig: Rig) -> None:
        """A lower directory keeps its inode number while the container changes it."""
        box = rig.over({"d/a": "1"})
        before = box.tree.stat("d").st_ino
        box.tree.write_bytes("d/b", b"2")
        box.tree.chmod("d", 0o700)
        box.tree.unlink("d/a")
        assert box.tree.stat("d").st_ino == before

    def test_file_inode_is_stable(self, rig: Rig) -> None:
        """A lower file keeps its inode and device number when the container changes it."""
        box = rig.over({"a": "1"})
        before = box.tree.stat("a")
        box.tree.write_bytes("a", b"2")
        after = box.tree.stat("a")
        assert (after.st_ino, after.st_dev) == (before.st_ino, before.st_dev)

    def test_retarget_a_symlink(self, rig: Rig) -> None:
        """A lower symbolic link deleted and made again points to its new target."""
        box = rig.over({"a": "1", "b": "2", "l": Symlink("a")})
        box.tree.unlink("l")
        box.tree.symlink("b", "l")
        assert box.tree.read_bytes("l") == b"2"
        box.shows({"a": "1", "b": "2", "l": Symlink("b")})

    def test_write_through_a_symlink(self, rig: Rig) -> None:
        """A write through a lower symbolic link changes its target and leaves the link a link."""
        box = rig.over({"d/a": "1", "l": Symlink("d/a")})
        box.tree.write_bytes("l", b"2")
        box.shows({"d": DIR, "d/a": "2", "l": Symlink("d/a")})

    def test_ten_generations(self, rig: Rig) -> None:
        """A file appended to in ten layers has all ten pieces, and each layer keeps its own state."""
        ids = []
        parent = None
        for number in range(10):
            parent = rig.layer(lambda tree, n=number: _append(tree, n), parent)  # type: ignore[misc]
            ids.append(parent)
        assert [rig.view(id).read_bytes("log") for id in ids] == [
            "".join(map(str, range(n + 1))).encode() for n in range(10)
        ]

    def test_chmod_over_many_commits(self, rig: Rig) -> None:
        """The mode of a file and of a directory, changed in each of eight layers, is the last one."""
        modes = [0o700, 0o755, 0o711, 0o4755, 0o1777, 0o500, 0o550, 0o751]
        layers: list[Layer] = [{"d": Directory(mode), "d/f": File("x", mode & 0o777 | 0o200)} for mode in modes]
        box = rig.over(*layers)
        assert (box.tree.stat("d").st_mode, box.tree.stat("d/f").st_mode) == (0o040751, 0o100751)


def _append(tree: Tree, number: int) -> None:
    with tree.open("log", "ab") as file:
        file.write(str(number).encode())
