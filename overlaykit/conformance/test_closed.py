"""A closed tree: every operation is refused, and says why."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import see
from overlaykit.conformance._suite import Suite
from overlaykit.errors import StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_OPERATIONS: dict[str, Callable[[Tree], object]] = {
    "open_raw": lambda t: t.open_raw("f", os.O_RDONLY),
    "open": lambda t: t.open("f"),
    "stat": lambda t: t.stat("f"),
    "lstat": lambda t: t.lstat("f"),
    "scandir": lambda t: t.scandir(""),
    "listdir": lambda t: t.listdir(""),
    "mkdir": lambda t: t.mkdir("d"),
    "rmdir": lambda t: t.rmdir("d"),
    "unlink": lambda t: t.unlink("f"),
    "rename": lambda t: t.rename("f", "g"),
    "link": lambda t: t.link("f", "g"),
    "symlink": lambda t: t.symlink("f", "g"),
    "readlink": lambda t: t.readlink("f"),
    "chmod": lambda t: t.chmod("f", 0o600),
    "chown": lambda t: t.chown("f", -1, -1),
    "utime": lambda t: t.utime("f"),
    "truncate": lambda t: t.truncate("f", 0),
    "mknod": lambda t: t.mknod("g", 0o010644),
    "getxattr": lambda t: t.getxattr("f", "user.x"),
    "setxattr": lambda t: t.setxattr("f", "user.x", b""),
    "listxattr": lambda t: t.listxattr("f"),
    "removexattr": lambda t: t.removexattr("f", "user.x"),
    "statvfs": lambda t: t.statvfs(),
    "seal": lambda t: t.seal(),
    "read_bytes": lambda t: t.read_bytes("f"),
    "write_bytes": lambda t: t.write_bytes("f", b""),
    "exists": lambda t: t.exists("f"),
    "walk": lambda t: list(t.walk()),
    "rmtree": lambda t: t.rmtree(""),
}


class TestClosed(Suite):
    """After close()."""

    @pytest.mark.parametrize("operation", _OPERATIONS.values(), ids=_OPERATIONS)
    def test_operation_on_a_closed_tree(self, rig: Rig, operation: Callable[[Tree], object]) -> None:
        """Every operation on a closed tree is a StoreClosedError (EBADF), whatever the path."""
        box = rig.over({"f": "1"})
        box.tree.close()
        with pytest.raises(StoreClosedError) as caught:
            operation(box.tree)
        assert caught.value.errno == errno.EBADF
        assert see(box.reopen()) == {"f": b"1"}

    def test_close_ends_one_tree_only(self, rig: Rig) -> None:
        """Closing one tree of a snapshot leaves its other trees open."""
        box = rig.over({"f": "1"})
        other = rig.view(box.id)
        box.tree.close()
        assert (box.tree.closed, other.closed) == (True, False)
        assert other.read_bytes("f") == b"1"

    def test_with_statement_closes(self, rig: Rig) -> None:
        """Leaving a tree's with statement closes it."""
        with rig.driver.tree(rig.layer({"f": "1"}), readonly=True) as tree:
            assert not tree.closed
        assert tree.closed
