"""Times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import FIFO, Directory, File, Symlink
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._describe import Layer
    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_TIME = 1_400_000_000_111_222_333

_ENTRIES: dict[str, Callable[[Tree], object]] = {
    "create": lambda tree: tree.write_bytes("d/new", b""),
    "mkdir": lambda tree: tree.mkdir("d/new"),
    "unlink": lambda tree: tree.unlink("d/f"),
    "rmdir": lambda tree: tree.rmdir("d/e"),
    "symlink": lambda tree: tree.symlink("x", "d/new"),
    "link": lambda tree: tree.link("d/f", "d/new"),
    "rename": lambda tree: tree.rename("d/f", "d/new"),
}


class TestTimes(Suite):
    """Modification times to the nanosecond."""

    @pytest.mark.parametrize("moment", [0, 1, 999_999_999, _TIME, 4_000_000_000_123_456_789, -1_500_000_000])
    def test_nanoseconds(self, rig: Rig, moment: int) -> None:
        """A modification time is kept to the nanosecond, before 1970 and after 2038, through a commit."""
        box = rig.over({"f": "1"})
        box.tree.utime("f", ns=(moment, moment))
        assert rig.view(box.commit()).stat("f").st_mtime_ns == moment

    def test_access_and_modification(self, rig: Rig) -> None:
        """utime sets both times of a lower file."""
        box = rig.over({"f": "1"})
        box.tree.utime("f", ns=(_TIME, _TIME + 5))
        attributes = box.tree.stat("f")
        assert (attributes.st_atime_ns, attributes.st_mtime_ns) == (_TIME, _TIME + 5)

    def test_now(self, rig: Rig) -> None:
        """utime without times sets the present."""
        box = rig.over({"f": File("1", 0o644, _TIME)})
        before = time.time_ns()
        box.tree.utime("f")
        after = time.time_ns()
        # A file system may round to its own ticks, up to 10 ms.
        assert before - 20_000_000 <= box.tree.stat("f").st_mtime_ns <= after + 20_000_000

    def test_every_type(self, rig: Rig) -> None:
        """Files, directories, links, FIFOs and the root keep their times through a commit and below a container."""
        paths = ["f", "d", "l", "p", ""]
        layer: Layer = {"f": "1", "d/x": "1", "l": Symlink("f"), "p": FIFO}
        box = rig.over(
            layer,
            lambda tree: [tree.utime(p, ns=(_TIME, _TIME + n), follow_symlinks=False) for n, p in enumerate(paths)],
        )
        assert [box.tree.lstat(path).st_mtime_ns for path in paths] == [_TIME + n for n in range(5)]
        view = rig.view(box.commit())
        assert [view.lstat(path).st_mtime_ns for path in paths] == [_TIME + n for n in range(5)]

    def test_metadata_changes_keep_the_time(self, rig: Rig) -> None:
        """chmod, an xattr and a link on a lower file do not change its modification time."""
        box = rig.over({"f": File("1", 0o644, _TIME), "d": Directory(0o755, _TIME)})
        for path in ("f", "d"):
            box.tree.chmod(path, 0o700)
            box.tree.setxattr(path, "user.x", b"1")
        box.tree.link("f", "g")
        assert [box.tree.stat(path).st_mtime_ns for path in ("f", "g", "d")] == [_TIME] * 3

    def test_rename_keeps_the_time(self, rig: Rig) -> None:
        """A rename of a lower file or directory does not change its own modification time."""
        box = rig.over({"f": File("1", 0o644, _TIME), "d/x": "1", "d": Directory(0o755, _TIME)})
        box.tree.rename("f", "g")
        box.tree.rename("d", "e")
        assert [box.tree.stat(path).st_mtime_ns for path in ("g", "e")] == [_TIME] * 2

    @pytest.mark.parametrize("change", _ENTRIES.values(), ids=_ENTRIES)
    def test_directory_feels_its_entries(self, rig: Rig, change: Callable[[Tree], object]) -> None:
        """Whatever adds or removes a name in a lower directory changes that directory's modification time."""
        box = rig.over({"d/f": "1", "d/e": Directory(), "d": Directory(0o755, _TIME)})
        change(box.tree)
        assert box.tree.stat("d").st_mtime_ns > _TIME

    def test_write_changes_the_time(self, rig: Rig) -> None:
        """A write and a truncate change a lower file's modification time; reading does not."""
        box = rig.over({name: File("content", 0o644, _TIME) for name in ("w", "t", "r")})
        with box.tree.open("w", "r+b") as file:
            file.write(b"x")
        box.tree.truncate("t", 1)
        box.tree.read_bytes("r")
        times = [box.tree.stat(name).st_mtime_ns for name in ("w", "t", "r")]
        assert [moment > _TIME for moment in times] == [True, True, False]

    def test_change_time_moves_on(self, rig: Rig) -> None:
        """The change time of a lower file is not older after a chmod than before."""
        box = rig.over({"f": "1"})
        before = box.tree.stat("f").st_ctime_ns
        box.tree.chmod("f", 0o600)
        assert box.tree.stat("f").st_ctime_ns >= before
