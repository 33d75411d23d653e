"""Copy-up at its limits: a full file system, and files of more than 4 GiB."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from .support import base, child, driver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.tree import Tree

pytestmark = pytest.mark.native

LARGE = 4 << 20
BEYOND = (4 << 30) + 12_345


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.chmod("large", 0o600),
        lambda tree: tree.open_raw("large", os.O_WRONLY | os.O_APPEND),
        lambda tree: tree.truncate("large", LARGE - 1),
        lambda tree: tree.link("large", "other"),
    ],
    ids=["chmod", "append", "truncate", "link"],
)
def test_a_full_disk_at_copy_up(make_filesystem: Callable[..., Path], change: Callable[[Tree], object]) -> None:
    """The operation fails, the old content stays readable, and nothing of the copy is left."""
    place = make_filesystem("tmpfs", size="6M")
    content = os.urandom(LARGE)
    with driver(place / "driver") as made:
        bottom = base(made, fill=lambda tree: tree.write_bytes("large", content))
        box = child(made, bottom, "box")
        with made.tree(box, readonly=False) as tree:
            free = os.statvfs(place).f_bfree
            with pytest.raises(OSError, match="No space left") as caught:
                change(tree)
            assert caught.value.errno == errno.ENOSPC
            assert os.statvfs(place).f_bfree == free
            assert tree.read_bytes("large") == content
            assert tree.listdir() == ["large"]
        assert list(made.changes(box, bottom)) == []
        assert os.listdir(place / f"driver/snapshots/{box}/fs") == []


def test_a_file_beyond_4_gib(tmp_path: Path) -> None:
    """A sparse file beyond 32 bits keeps its size, its bytes and its holes when it is copied up."""
    with driver(tmp_path / "driver") as made:

        def fill(tree: Tree) -> None:
            with tree.open("sparse", "wb") as file:
                file.write(b"begin")
                file.seek(BEYOND)
                file.write(b"end")

        bottom = base(made, fill=fill)
        box = child(made, bottom, "box")
        with made.tree(box, readonly=False) as tree:
            with tree.open("sparse", "r+b") as file:
                file.seek(BEYOND - 5)
                file.write(b"?")
            status = tree.stat("sparse")
            assert status.st_size == BEYOND + 3
            assert status.st_blocks * 512 < 8 << 20
            with tree.open("sparse", "rb") as file:
                assert file.read(8) == b"begin\0\0\0"
                file.seek(BEYOND - 6)
                assert file.read() == b"\0?\0\0\0\0end"
        assert [change.path for change in made.changes(box, bottom)] == ["sparse"]
