"""Owners, permissions and device nodes: what depends on who asks."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, Directory, File, Special, portrait, see
from overlaykit.conformance._suite import Suite
from overlaykit.conformance._user import NOBODY, run_as_somebody_else, somebody_else
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_NULL, _LOOP = os.makedev(1, 3), os.makedev(7, 0)
_CAPABILITY = "security.capability"
_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""cap_net_raw+ep as capabilities(7) keeps it: revision 2 with the effective bit, little endian."""
_FORBIDDEN = {
    "read": "cat secret",
    "write": "echo x > secret",
    "append": "echo x >> secret",
    "create": "echo x > closed/new",
    "mkdir": "mkdir closed/new",
    "unlink": "rm -f closed/f",
    "rename": "mv closed/f closed/g",
    "list": "ls hidden",
    "look-inside": "cat hidden/f",
}


def _guarded(tree: Tree) -> None:
    tree.write_bytes("secret", b"1")
    for directory in ("closed", "hidden"):
        tree.mkdir(directory)
        tree.write_bytes(f"{directory}/f", b"1")
    tree.chmod("secret", 0)
    tree.chmod("closed", 0o555)
    tree.chmod("hidden", 0)


class TestPrivileges(Suite):
    """What depends on the caller."""

    def test_own_files_belong_to_the_caller(self, rig: Rig) -> None:
        """What a container makes belongs to the caller, over a lower directory too."""
        box = rig.over({"d": DIR})
        box.tree.write_bytes("d/f", b"1")
        box.tree.mkdir("d/e")
        box.tree.symlink("f", "d/l")
        owners = {(at.st_uid, at.st_gid) for at in map(box.tree.lstat, ("d/f", "d/e", "d/l", "d"))}
        assert len(owners) == 1

    def test_chown_to_oneself(self, rig: Rig) -> None:
        """A file can always be given to the owner that it has; -1 leaves an owner as it is."""
        box = rig.over({"f": "1"})
        before = box.tree.stat("f")
        box.tree.chown("f", before.st_uid, before.st_gid)
        box.tree.chown("f", -1, -1)
        after = box.tree.stat("f")
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)

    def test_special_bits_survive_copy_up(self, rig: Rig) -> None:
        """setuid, setgid and sticky bits of lower files and directories survive what does not touch the content."""
        box = rig.over({"f": File("1", 0o6755), "d": Directory(0o3777)})
        box.tree.setxattr("f", "user.x", b"1")
        box.tree.utime("f", ns=(1, 1))
        box.tree.write_bytes("d/new", b"1")
        view = rig.view(box.commit())
        assert (view.stat("f").st_mode, view.stat("d").st_mode) == (0o106755, 0o043777)

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_chown(self, rig: Rig) -> None:
        """Owner and group of a lower file, directory, link and of the root can be set, and are kept."""
        box = rig.over({"f": "1", "d": DIR}, lambda tree: tree.symlink("f", "l"))
        box.tree.chown("f", 1001, 1002)
        box.tree.chown("d", 1003, -1)
        box.tree.chown("l", -1, 1004, follow_symlinks=False)
        box.tree.chown("", 1005, 1006)
        view = rig.view(box.commit())
        owners = {path: (node.uid, node.gid) for path, node in portrait(view).items()}
        own = (os.geteuid(), os.getegid())
        assert owners == {"f": (1001, 1002), "d": (1003, own[1]), "l": (own[0], 1004), ".": (1005, 1006)}

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_owner_survives_copy_up(self, rig: Rig) -> None:
        """A lower file of another owner keeps that owner when it is written, renamed or linked."""
        box = rig.over(lambda tree: [(tree.write_bytes(n, b"1"), tree.chown(n, 1001, 1002)) for n in "abc"])
        box.tree.write_bytes("a", b"2")
        box.tree.rename("b", "b2")
        box.tree.link("c", "c2")
        nodes = portrait(rig.view(box.commit()))
        assert {(nodes[path].uid, nodes[path].gid) for path in ("a", "b2", "c", "c2")} == {(1001, 1002)}

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_chown_clears_setuid(self, rig: Rig) -> None:
        """A chown takes setuid and setgid from an executable file, as Linux does, and nothing from a directory."""
        box = rig.over({"f": File("1", 0o6755), "d": Directory(0o2755)})
        box.tree.chown("f", 1001, 1001)
        box.tree.chown("d", 1001, 1001)
        assert (box.tree.stat("f").st_mode, box.tree.stat("d").st_mode) == (0o100755, 0o042755)

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_group_of_a_setgid_directory(self, rig: Rig) -> None:
        """What is made in a lower setgid directory gets its group."""
        box = rig.over(lambda tree: (tree.mkdir("d"), tree.chown("d", -1, 1007), tree.chmod("d", 0o2777)))
        box.tree.write_bytes("d/f", b"1")
        box.tree.mkdir("d/e")
        assert [box.tree.stat(path).st_gid for path in ("d/f", "d/e")] == [1007, 1007]
        assert box.tree.stat("d/e").st_mode & stat.S_ISGID

    @pytest.mark.capability(Capability.OWNERSHIP)
    def test_file_capability(self, rig: Rig) -> None:
        """A file capability of a lower file survives chmod, rename, link and commit; a write takes it away."""

        def fill(tree: Tree) -> None:
            for name in "abcd":
                tree.write_bytes(name, b"program")
                tree.setxattr(name, _CAPABILITY, _NET_RAW)

        box = rig.over(fill)
        box.tree.chmod("a", 0o755)
        box.tree.rename("b", "b2")
        box.tree.link("c", "c2")
        box.tree.write_bytes("d", b"other")
        view = rig.view(box.commit())
        assert {view.getxattr(path, _CAPABILITY) for path in ("a", "b2", "c", "c2")} == {_NET_RAW}
        assert view.listxattr("d") == []

    @pytest.mark.without(Capability.OWNERSHIP)
    def test_file_capability_is_refused(self, rig: Rig) -> None:
        """Where ownership is not declared, giving a file a capability is EPERM and changes nothing."""
        box = rig.over({"f": "1"})
        with pytest.raises(OSError) as caught:
            box.tree.setxattr("f", _CAPABILITY, _NET_RAW)
        assert caught.value.errno == errno.EPERM
        assert box.changes() == {}

    @pytest.mark.without(Capability.OWNERSHIP)
    def test_chown_is_refused(self, rig: Rig) -> None:
        """Where ownership is not declared, giving a file to somebody else is EPERM and changes nothing."""
        box = rig.over({"f": "1"})
        before = portrait(box.tree)
        for owner in ((box.tree.stat("f").st_uid + 1, -1), (0, 0)):
            with pytest.raises(OSError) as caught:
                box.tree.chown("f", *owner)
            assert caught.value.errno == errno.EPERM
        assert portrait(box.tree) == before
        assert box.changes() == {}

    @pytest.mark.capability(Capability.DEVICE_NODES)
    def test_device_nodes(self, rig: Rig) -> None:
        """Character and block devices of a lower layer keep type and number through chmod, rename and commit."""
        box = rig.over(lambda tree: (tree.mknod("null", 0o020666, _NULL), tree.mknod("loop", 0o060600, _LOOP)))
        box.tree.chmod("null", 0o600)
        box.tree.rename("loop", "moved")
        box.shows({"null": Special(stat.S_IFCHR, _NULL), "moved": Special(stat.S_IFBLK, _LOOP)})

    @pytest.mark.capability(Capability.DEVICE_NODES)
    def test_device_nodes_are_replaced(self, rig: Rig) -> None:
        """A device node of a lower layer is deleted and replaced like a file."""
        box = rig.over(lambda tree: (tree.mknod("a", 0o020666, _NULL), tree.mknod("b", 0o020666, _NULL)))
        box.tree.unlink("a")
        box.tree.unlink("b")
        box.tree.write_bytes("b", b"file")
        box.shows({"b": "file"})

    @pytest.mark.without(Capability.DEVICE_NODES)
    @pytest.mark.parametrize("mode", [0o020666, 0o060666], ids=["character", "block"])
    def test_device_nodes_are_refused(self, rig: Rig, mode: int) -> None:
        """Where device nodes are not declared, making one is EPERM."""
        box = rig.over({"d": DIR})
        with pytest.raises(OSError) as caught:
            box.tree.mknod("d/node", mode, _NULL)
        assert caught.value.errno == errno.EPERM
        assert see(box.tree) == {"d": DIR}

    @pytest.mark.capability(Capability.PERMISSIONS, Capability.HOST_PATH)
    @pytest.mark.parametrize("script", _FORBIDDEN.values(), ids=_FORBIDDEN)
    def test_permissions(self, rig: Rig, script: str) -> None:
        """Who may not read, write or search a lower file or directory gets EACCES, and nothing is copied up."""
        box = rig.over(_guarded)
        usage = rig.driver.usage(box.id)
        done = run_as_somebody_else(box.tree, script)
        assert done.returncode != 0
        assert b"Permission denied" in done.stderr
        assert rig.driver.usage(box.id) == usage

    @pytest.mark.capability(Capability.PERMISSIONS, Capability.HOST_PATH)
    def test_what_is_allowed(self, rig: Rig) -> None:
        """Who has no privilege reads and writes lower files where the bits allow it."""
        box = rig.over({"f": File("1", 0o666), "d": Directory(0o777), ".": Directory(0o755)})
        done = run_as_somebody_else(box.tree, "printf 2 > f && printf 3 > d/new && mkdir d/e")
        assert done.returncode == 0, done.stderr
        box.shows({"f": "2", "d": DIR, "d/new": "3", "d/e": DIR})

    @pytest.mark.capability(Capability.PERMISSIONS, Capability.OWNERSHIP, Capability.HOST_PATH)
    def test_owner_of_what_others_make(self, rig: Rig) -> None:
        """What somebody else makes belongs to that one, what they write stays its owner's, who alone may chmod it."""
        box = rig.over({"f": File("1", 0o666), "d": Directory(0o777), ".": Directory(0o755)})
        done = run_as_somebody_else(box.tree, "echo 2 > f; echo 3 > d/new; chmod 600 f")
        assert b"not permitted" in done.stderr
        assert (box.tree.stat("f").st_uid, box.tree.stat("d/new").st_uid) == (0, NOBODY)
        assert box.tree.stat("f").st_mode == 0o100666

    @pytest.mark.capability(Capability.PERMISSIONS, Capability.HOST_PATH)
    def test_write_clears_setuid(self, rig: Rig) -> None:
        """A write by who has no privilege takes setuid from a lower file."""
        box = rig.over({"f": File("1", 0o4777)})
        done = run_as_somebody_else(box.tree, "echo 2 >> f")
        assert (done.returncode, box.tree.stat("f").st_mode) == (0, 0o100777)

    @pytest.mark.without(Capability.PERMISSIONS)
    def test_permissions_do_not_bind(self, rig: Rig) -> None:
        """Where permissions are not enforced, every file can be read and written, and keeps its bits."""
        box = rig.over(_guarded)
        with somebody_else():
            assert box.tree.read_bytes("secret") == b"1"
            box.tree.write_bytes("hidden/f", b"2")
        assert box.tree.stat("secret").st_mode == 0o100000
