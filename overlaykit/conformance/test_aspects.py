"""Aspects: what of a path differs, each found alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._change_base import TIME, base, same_root_time, still
from overlaykit.conformance._describe import DIR, FIFO, File, Fresh, Link, Symlink, apply
from overlaykit.conformance._rig import added, deleted, modified
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Aspect, Capability

if TYPE_CHECKING:
    from overlaykit.conformance._describe import Spec
    from overlaykit.conformance._rig import Rig


class TestAspects(Suite):
    """What changes() says of a path."""

    def test_mode_alone(self, rig: Rig) -> None:
        """A changed mode is a change, of a file, a directory and the root, setuid and sticky bits too."""
        box = rig.over(base)
        box.tree.chmod("d/f", 0o4700)
        box.tree.chmod("d/e", 0o1777)
        box.tree.chmod("", 0o711)
        assert box.changes() == modified(Aspect.MODE, "d/f", "d/e", ".")

    def test_mtime_alone(self, rig: Rig) -> None:
        """A modification time that differs by one nanosecond is a change, of any type of file."""
        box = rig.over(base)
        paths = ["d/f", "d", "l", "p", "."]
        for path in paths:
            box.tree.utime(path, ns=(TIME, TIME + 1), follow_symlinks=False)
        assert box.changes() == modified(Aspect.MTIME, *paths)

    def test_atime_does_not_count(self, rig: Rig) -> None:
        """Access times are no change."""
        box = rig.over(base)
        for path in ("d/f", "d", "l", "."):
            box.tree.utime(path, ns=(7, TIME), follow_symlinks=False)
        assert box.changes() == {}

    def test_xattr_alone(self, rig: Rig) -> None:
        """An xattr added, changed or removed is a change, without any other."""
        box = rig.over(base)
        box.tree.setxattr("k", "user.new", b"")
        box.tree.setxattr("d", "user.new", b"1")
        box.tree.setxattr("d/f", "user.x", b"2")
        assert box.changes() == modified(Aspect.XATTRS, "k", "d", "d/f")
        box.tree.removexattr("d/f", "user.x")
        assert box.changes() == modified(Aspect.XATTRS, "k", "d", "d/f")

    def test_target(self, rig: Rig) -> None:
        """A symbolic link with another target, even of the same length, is a change."""
        box = rig.over(base)
        box.tree.unlink("l")
        box.tree.symlink("d/g", "l")
        still(box.tree, "l", "")
        assert box.changes() == modified(Aspect.TARGET, "l")

    @pytest.mark.parametrize("new", ["file", DIR, Symlink("x")], ids=["file", "directory", "symlink"])
    def test_type_to_what_has_no_children(self, rig: Rig, new: Spec) -> None:
        """A change of type stands alone, whatever else differs."""
        box = rig.over({"n": FIFO})
        apply(box.tree, {"n": Fresh(new)})
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == modified(Aspect.TYPE, "n")

    def test_type_from_a_directory(self, rig: Rig) -> None:
        """A directory replaced by a file lists nothing of what was in it."""
        box = rig.over({"n/a": "1", "n/b/c": "2"})
        box.tree.rmtree("n")
        box.tree.write_bytes("n", b"file")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == modified(Aspect.TYPE, "n")

    def test_type_to_a_directory(self, rig: Rig) -> None:
        """A file replaced by a directory lists what is in the directory as added."""
        box = rig.over({"n": "file"})
        box.tree.unlink("n")
        box.tree.makedirs("n/b")
        box.tree.write_bytes("n/b/c", b"1")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == {**modified(Aspect.TYPE, "n"), **added("n/b", "n/b/c")}

    def test_hard_link_added(self, rig: Rig) -> None:
        """A further name of a lower file is added, and its other names are no change."""
        box = rig.over(base)
        box.tree.link("k", "k2")
        still(box.tree, "")
        assert box.changes() == added("k2")

    def test_hard_link_removed(self, rig: Rig) -> None:
        """A name of a lower file removed is deleted, and its other names are no change."""
        box = rig.over(base)
        box.tree.unlink("h3")
        still(box.tree, "")
        assert box.changes() == deleted("h3")

    def test_hard_link_broken(self, rig: Rig) -> None:
        """A name that is no longer a link of the same file differs in its links alone."""
        box = rig.over(base)
        mode = box.tree.stat("h3").st_mode & 0o7777
        box.tree.unlink("h3")
        box.tree.write_bytes("h3", b"hard")
        box.tree.chmod("h3", mode)
        still(box.tree, "h3", "")
        assert box.changes() == modified(Aspect.LINKS, "h3")

    def test_hard_link_joined(self, rig: Rig) -> None:
        """A name that became a link of another file with the same content differs in its links alone."""
        box = rig.over({"a": File("same", 0o644, TIME), "b": File("same", 0o644, TIME)})
        box.tree.unlink("b")
        box.tree.link("a", "b")
        same_root_time(rig, box.tree, box.parent)
        assert box.changes() == modified(Aspect.LINKS, "b")

    def test_hard_link_regrouped(self, rig: Rig) -> None:
        """Names that change from one file's links to another's are listed by the smallest name of each group."""
        box = rig.over({"a": File("x", 0o644, TIME), "b": Link("a"), "c": File("x", 0o644, TIME), "d": Link("c")})
        box.tree.unlink("b")
        box.tree.link("c", "b")
        same_root_time(rig, box.tree, box.parent)
        # The file of b, c and d is now first called b; it was first called a, or c.
        assert box.changes() == modified(Aspect.LINKS, "b", "c", "d")

    def test_write_to_a_hard_link(self, rig: Rig) -> None:
        """A write through one name of a lower file is a change of every name, and breaks no link."""
        box = rig.over(base)
        box.tree.write_bytes("h2", b"new!")
        still(box.tree, "h2")
        assert box.changes() == modified(Aspect.CONTENT, "h1", "h2", "h3")

    @pytest.mark.parametrize("size", [0, 1, 4096, 100_000, (1 << 20) + 3])
    def test_last_byte(self, rig: Rig, size: int) -> None:
        """A file that differs in its last byte alone, with size and time as before, is a change."""
        box = rig.over({"f": File(b"x" * size + b"1", 0o644, TIME)})
        with box.tree.open_raw("f", os.O_WRONLY) as file:
            file.seek(size)
            file.write(b"2")
        still(box.tree, "f")
        assert box.changes() == modified(Aspect.CONTENT, "f")

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_owner_alone(self, rig: Rig) -> None:
        """A changed owner or group is a change, of any type of file."""
        box = rig.over(base)
        box.tree.chown("d/f", 1001, -1)
        box.tree.chown("d", -1, 1002)
        box.tree.chown("l", 1003, 1004, follow_symlinks=False)
        assert box.changes() == modified(Aspect.OWNER, "d/f", "d", "l")

    @pytest.mark.capability(Capability.DEVICE_NODES)
    def test_device(self, rig: Rig) -> None:
        """A device node with another number is a change."""
        number = os.makedev(1, 3)
        box = rig.over(lambda tree: tree.mknod("n", 0o020644, number), lambda tree: still(tree, "n", ""))
        box.tree.unlink("n")
        box.tree.mknod("n", 0o020644, os.makedev(1, 5))
        still(box.tree, "n", "")
        assert box.changes() == modified(Aspect.DEVICE, "n")

    @pytest.mark.capability(Capability.ACL)
    def test_acl(self, rig: Rig) -> None:
        """A changed ACL is a change of the xattrs."""
        acl = bytes.fromhex("0200000001000600ffffffff02000400e903000004000400ffffffff10000400ffffffff20000400ffffffff")
        box = rig.over(base)
        box.tree.chmod("d/f", 0o644)
        before = box.changes()
        box.tree.setxattr("d/f", "system.posix_acl_access", acl)
        kind, aspects = box.changes()["d/f"]
        assert (kind, aspects & ~before.get("d/f", (kind, Aspect.NONE))[1]) == (kind, Aspect.XATTRS)

    @pytest.mark.capability(Capability.TRUSTED_XATTRS)
    def test_trusted_xattr(self, rig: Rig) -> None:
        """A changed trusted xattr is a change."""
        box = rig.over(base)
        box.tree.setxattr("d/f", "trusted.x", b"1")
        assert box.changes() == modified(Aspect.XATTRS, "d/f")
