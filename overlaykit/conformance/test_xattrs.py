"""Extended attributes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import GONE, Directory, File, Fresh, portrait
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

# user::rw-, user:1001:r--, group::r--, mask::r--, other::r--
_ACL = bytes.fromhex("02000000 01000600ffffffff 02000400e9030000 04000400ffffffff 10000400ffffffff 20000400ffffffff")

_PRIVATE = ("user.overlay.opaque", "user.overlay.whiteout", "user.fuseoverlayfs.opaque", "user.overlay.redirect")


class TestXattrs(Suite):
    """What listxattr and its siblings show."""

    def test_set_on_a_lower_file(self, rig: Rig) -> None:
        """An xattr set on a lower file is there beside the lower ones."""
        box = rig.over({"f": File("1", xattrs={"user.old": b"o"})})
        box.tree.setxattr("f", "user.new", b"n")
        assert box.reopen().listxattr("f") == ["user.new", "user.old"]
        view = rig.view(box.commit())
        assert [view.getxattr("f", name) for name in ("user.new", "user.old")] == [b"n", b"o"]

    def test_removed_stays_removed(self, rig: Rig) -> None:
        """An xattr removed from a lower file is gone, here and in all layers above."""
        box = rig.over({"f": File("1", xattrs={"user.a": b"1", "user.b": b"2"})})
        box.tree.removexattr("f", "user.a")
        assert box.reopen().listxattr("f") == ["user.b"]
        assert rig.box(box.commit()).tree.listxattr("f") == ["user.b"]

    def test_removed_from_a_directory(self, rig: Rig) -> None:
        """The same for a lower directory and for the root."""
        box = rig.over({"d": Directory(xattrs={"user.a": b"1"}), ".": Directory(xattrs={"user.r": b"2"})})
        box.tree.removexattr("d", "user.a")
        box.tree.removexattr("", "user.r")
        tree = rig.box(box.commit()).tree
        assert [tree.listxattr(path) for path in ("d", "")] == [[], []]

    @pytest.mark.parametrize("value", [b"", b"\0", b"text", bytes(range(256)), b"x" * 2000])
    def test_value(self, rig: Rig, value: bytes) -> None:
        """A value is any bytes, none included, and comes back through a commit."""
        box = rig.over({"f": "1"})
        box.tree.setxattr("f", "user.v", value)
        assert rig.view(box.commit()).getxattr("f", "user.v") == value

    def test_names(self, rig: Rig) -> None:
        """Names are sorted, and may be of any case and hold any character but NUL."""
        names = ["user.A", "user.a", "user.dots.in.it", "user.ä", "user.with space", "user." + "n" * 250]
        box = rig.over({"f": "1"})
        for name in reversed(names):
            box.tree.setxattr("f", name, b"v")
        assert rig.box(box.commit()).tree.listxattr("f") == sorted(names)

    def test_many(self, rig: Rig) -> None:
        """A file carries 30 xattrs through copy-up and commit."""
        xattrs = {f"user.n{number:02}": str(number).encode() * 5 for number in range(30)}
        box = rig.over({"f": File("1", xattrs=xattrs)})
        box.tree.write_bytes("f", b"changed")
        assert portrait(rig.view(box.commit()))["f"].xattrs == tuple(sorted(xattrs.items()))

    def test_flags(self, rig: Rig) -> None:
        """XATTR_CREATE refuses a name that is there, XATTR_REPLACE one that is not, over lower files too."""
        box = rig.over({"f": File("1", xattrs={"user.a": b"1"})})
        with pytest.raises(FileExistsError):
            box.tree.setxattr("f", "user.a", b"2", 1)
        box.tree.setxattr("f", "user.a", b"3", 2)
        box.tree.setxattr("f", "user.b", b"4", 1)
        assert portrait(box.tree)["f"].xattrs == (("user.a", b"3"), ("user.b", b"4"))

    def test_copied_up_for_another_reason(self, rig: Rig) -> None:
        """chmod, utime, a write, a link and a rename each keep the xattrs of a lower file."""
        box = rig.over({name: File("1", xattrs={"user.x": name.encode()}) for name in ("c", "u", "w", "l", "r")})
        tree = box.tree
        tree.chmod("c", 0o600)
        tree.utime("u", ns=(1, 1))
        tree.write_bytes("w", b"2")
        tree.link("l", "l2")
        tree.rename("r", "r2")
        assert [tree.getxattr(name, "user.x") for name in ("c", "u", "w", "l", "l2", "r2")] == [
            b"c", b"u", b"w", b"l", b"l", b"r",
        ]  # fmt: skip

    def test_directory_keeps_its_xattrs(self, rig: Rig) -> None:
        """A lower directory keeps its xattrs when something in it changes."""
        box = rig.over({"d/f": "1", "d": Directory(xattrs={"user.x": b"1"})})
        box.tree.write_bytes("d/f", b"2")
        box.tree.write_bytes("d/g", b"3")
        assert portrait(rig.view(box.commit()))["d"].xattrs == (("user.x", b"1"),)

    def test_recreated_has_none(self, rig: Rig) -> None:
        """A name deleted in one layer and made again in the next has none of the old xattrs."""
        old = {"user.x": b"1"}
        box = rig.over({"f": File("1", xattrs=old), "d": Directory(xattrs=old)}, {"f": GONE, "d": Fresh(Directory())})
        box.tree.write_bytes("f", b"2")
        assert [box.tree.listxattr(path) for path in ("f", "d")] == [[], []]

    @pytest.mark.parametrize("name", _PRIVATE)
    def test_private_names_are_data(self, rig: Rig, name: str) -> None:
        """An xattr that overlay file systems use is refused, or kept as data; it is never an order."""
        box = rig.over({"d/old": "1", "f": "2"}, {"d/new": "3"})
        assert [_set_or_refused(box.tree, path, name) for path in ("d", "f")] == [True, True]
        child = rig.box(box.commit())
        assert sorted(child.tree.listdir("d")) == ["new", "old"]
        assert child.tree.read_bytes("f") == b"2"
        assert sorted(child.tree.listdir("")) == ["d", "f"]

    def test_what_is_listed_can_be_read(self, rig: Rig) -> None:
        """Every name that is listed has a value, on every path, after every kind of change."""
        box = rig.over({"d/a": "1", "d/b": "2", "d/e/f": "3", "x": "4"})
        tree = box.tree
        tree.unlink("d/a")
        tree.rmtree("d/e")
        tree.makedirs("d/e/g")
        tree.rename("x", "d/x")
        tree.setxattr("d/b", "user.x", b"1")
        assert {path: node.xattrs for path, node in portrait(tree).items() if node.xattrs} == {
            "d/b": (("user.x", b"1"),)
        }

    @pytest.mark.capability(Capability.ACL)
    def test_acl_survives_copy_up(self, rig: Rig) -> None:
        """An ACL of a lower file survives a write, a commit and a rename."""
        box = rig.over(lambda tree: (tree.write_bytes("f", b"1"), tree.setxattr("f", "system.posix_acl_access", _ACL)))
        box.tree.write_bytes("f", b"2")
        box.tree.rename("f", "g")
        assert rig.view(box.commit()).getxattr("g", "system.posix_acl_access") == _ACL

    @pytest.mark.capability(Capability.ACL)
    def test_acl_sets_the_mode(self, rig: Rig) -> None:
        """An ACL's mask is the group's bits of the mode, and a chmod changes the mask."""
        box = rig.over({"f": File("1", 0o600)})
        box.tree.setxattr("f", "system.posix_acl_access", _ACL)
        assert box.tree.stat("f").st_mode == 0o100644
        box.tree.chmod("f", 0o600)
        assert box.tree.getxattr("f", "system.posix_acl_access")[4 + 3 * 8 + 2 :][:2] == b"\0\0"

    @pytest.mark.capability(Capability.ACL)
    def test_default_acl(self, rig: Rig) -> None:
        """A default ACL of a lower directory is inherited by what is made in it."""
        box = rig.over(lambda tree: (tree.mkdir("d"), tree.setxattr("d", "system.posix_acl_default", _ACL)))
        box.tree.mkdir("d/e")
        box.tree.write_bytes("d/f", b"1")
        tree = rig.view(box.commit())
        assert tree.getxattr("d/e", "system.posix_acl_default") == _ACL
        assert "system.posix_acl_access" in tree.listxattr("d/f")

    @pytest.mark.capability(Capability.ACL)
    def test_acl_that_is_none(self, rig: Rig) -> None:
        """A value that is no ACL is refused."""
        box = rig.over({"f": "1"})
        with pytest.raises(OSError) as caught:
            box.tree.setxattr("f", "system.posix_acl_access", b"no acl")
        assert caught.value.errno in {errno.EINVAL, errno.EOPNOTSUPP}

    @pytest.mark.without(Capability.ACL)
    def test_acl_is_refused(self, rig: Rig) -> None:
        """Where ACLs are not declared they are EOPNOTSUPP."""
        box = rig.over({"f": "1", "d/x": "2"})
        for path, name in (("f", "system.posix_acl_access"), ("d", "system.posix_acl_default")):
            with pytest.raises(OSError) as caught:
                box.tree.setxattr(path, name, _ACL)
            assert caught.value.errno == errno.EOPNOTSUPP

    @pytest.mark.capability(Capability.TRUSTED_XATTRS)
    def test_trusted(self, rig: Rig) -> None:
        """A trusted xattr is set, listed, survives a copy-up and a commit, and is removed."""
        box = rig.over(lambda tree: (tree.write_bytes("f", b"1"), tree.setxattr("f", "trusted.x", b"1")))
        box.tree.write_bytes("f", b"2")
        child = rig.box(box.commit())
        assert child.tree.listxattr("f") == ["trusted.x"]
        child.tree.removexattr("f", "trusted.x")
        assert child.tree.listxattr("f") == []

    @pytest.mark.without(Capability.TRUSTED_XATTRS)
    def test_trusted_is_refused(self, rig: Rig) -> None:
        """Where trusted xattrs are not declared, setting one is EPERM."""
        box = rig.over({"f": "1"})
        with pytest.raises(OSError) as caught:
            box.tree.setxattr("f", "trusted.x", b"1")
        assert caught.value.errno == errno.EPERM


def _set_or_refused(tree: Tree, path: str, name: str) -> bool:
    try:
        tree.setxattr(path, name, b"y")
    except OSError as error:
        return error.errno in {errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL}
    return name not in tree.listxattr(path) or tree.getxattr(path, name) == b"y"
