"""What is found to be possible at a place is what trees there can do, for each caller."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.loops import MakeFilesystem, need_tool
from testkit.rich import run_as_nobody

from overlaykit.directories import probe_directory
from overlaykit.driver import Capability
from overlaykit.tree import HostTree, RenameFlag

pytestmark = pytest.mark.native

ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1)
FOR_ROOT = {Capability.DEVICE_NODES, Capability.OWNERSHIP, Capability.TRUSTED_XATTRS}


def _sparse(tree: HostTree) -> None:
    tree.truncate("a", 1 << 20)
    if tree.stat("a").st_blocks:
        raise OSError("blocks")


DEEDS: dict[Capability, Callable[[HostTree], object]] = {
    Capability.ACL: lambda tree: tree.setxattr("a", "system.posix_acl_access", ACL),
    Capability.DEVICE_NODES: lambda tree: tree.mknod("null", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    Capability.EXCHANGE: lambda tree: tree.rename("a", "b", flags=RenameFlag.EXCHANGE),
    Capability.OWNERSHIP: lambda tree: tree.chown("b", 12345, 12345),
    Capability.SPARSE: _sparse,
    Capability.TMPFILE: lambda tree: tree.open_raw("", os.O_TMPFILE | os.O_RDWR).close(),
    Capability.TRUSTED_XATTRS: lambda tree: tree.setxattr("b", "trusted.mine", b"1"),
}


def _done(root: Path) -> set[Capability]:
    """Do everything in a new directory, and return what could be done."""
    root.mkdir()
    done = set()
    with HostTree(os.open(root, os.O_RDONLY | os.O_DIRECTORY)) as tree:
        tree.write_bytes("a", b"")
        tree.write_bytes("b", b"")
        for capability, deed in DEEDS.items():
            with contextlib.suppress(OSError):
                deed(tree)
                done.add(capability)
    return done


@pytest.mark.parametrize("privileged", [True, False])
def test_what_is_found_is_what_can_be_done(place: Path, privileged: bool) -> None:
    place.chmod(0o777)

    def action() -> None:
        before = place.stat().st_ctime_ns
        found = probe_directory(place)
        assert place.stat().st_ctime_ns == before
        assert (found.usable, found.reason, found.fix) == (True, "directories can be made", "")
        assert found.capabilities == _done(place / "made")
        assert found.capabilities & FOR_ROOT == (FOR_ROOT if os.geteuid() == 0 else set())

    if privileged:
        action()
    else:
        run_as_nobody(action)


def test_a_file_system_without_access_lists(make_filesystem: MakeFilesystem) -> None:
    root = make_filesystem("btrfs", options="noacl")
    found = probe_directory(root).capabilities
    assert Capability.ACL not in found
    assert found == _done(root / "made")


_IN_A_NAMESPACE = """
import os, sys
from pathlib import Path
from overlaykit.directories import probe_directory
assert os.geteuid() == 0
print(*sorted(probe_directory(Path(sys.argv[1])).capabilities))
"""


def test_root_of_a_user_namespace_is_not_root(reachable: Path) -> None:
    reachable.chmod(0o777)
    command = [need_tool("unshare"), "-Ur", sys.executable, "-c", _IN_A_NAMESPACE, reachable]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    # Nor can anybody be named in an access list who is nobody there.
    assert found == ["exchange", "sparse", "tmpfile"]


def test_why_not(tmp_path: Path, make_filesystem: MakeFilesystem) -> None:
    found = probe_directory(None)
    assert (found.usable, found.fix) == (False, "give the store a path")
    assert "No such file" in probe_directory(tmp_path / "missing").reason
    (tmp_path / "file").touch()
    assert "Not a directory" in probe_directory(tmp_path / "file").reason
    root = make_filesystem("tmpfs", options="ro")
    assert probe_directory(root).reason == f"{root} is on a read-only file system"


def test_a_directory_of_somebody_else(reachable: Path) -> None:
    reachable.chmod(0o555)

    def action() -> None:
        found = probe_directory(reachable)
        assert (found.usable, found.reason) == (False, f"no permission to write in {reachable}")
        assert "chown" in found.fix

    run_as_nobody(action)
    reachable.chmod(0o755)


def test_a_place_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert probe_directory(tmp_path / "link") == probe_directory(tmp_path)
