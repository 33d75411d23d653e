"""Files: opening, reading and writing, over lower files."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, FIFO, Symlink, see
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from overlaykit.conformance._rig import Rig

_SIZE = 4 << 20


class TestFiles(Suite):
    """Files that a tree opens."""

    def test_modes_of_open(self, rig: Rig) -> None:
        """r, r+, w, w+, a, a+ and x do on lower files what they do everywhere."""
        box = rig.over(dict.fromkeys(("r+", "w", "w+", "a", "a+"), "content"))
        tree = box.tree
        for mode in ("r+b", "wb", "w+b", "ab", "a+b", "xb"):
            with tree.open(mode.replace("b", ""), mode) as file:
                file.write(b"NEW")
        box.shows({"r+": "NEWtent", "w": "NEW", "w+": "NEW", "a": "contentNEW", "a+": "contentNEW", "x": "NEW"})

    def test_text(self, rig: Rig) -> None:
        """Text files are UTF-8, with universal newlines as open() has them."""
        box = rig.over({"t": "eins\r\nzwei\n"})
        with box.tree.open("t") as file:
            assert file.readlines() == ["eins\n", "zwei\n"]
        with box.tree.open("t", "w", newline="\r\n") as file:
            file.write("drei ☃\n")
        assert box.tree.read_bytes("t") == "drei ☃\r\n".encode()

    def test_file_objects(self, rig: Rig) -> None:
        """open() gives the objects of the io module: buffered, raw and text."""
        box = rig.over({"f": "content"})
        with box.tree.open("f", "rb") as buffered, box.tree.open("f", "r+b") as random:
            assert isinstance(buffered, io.BufferedReader)
            assert isinstance(random, io.BufferedRandom)
        with box.tree.open("f") as text, box.tree.open("f", "rb", 0) as raw:
            assert isinstance(text, io.TextIOWrapper)
            assert isinstance(raw, io.RawIOBase)

    def test_reads_and_seeks(self, rig: Rig) -> None:
        """A raw file reads, seeks and tells like a file of the system."""
        box = rig.over({"f": "0123456789"})
        with box.tree.open_raw("f", os.O_RDONLY) as file:
            assert (file.readable(), file.writable(), file.seekable()) == (True, False, True)
            assert (file.read(3), file.tell(), file.seek(-2, os.SEEK_END), file.read()) == (b"012", 3, 8, b"89")
            assert (file.read(1), file.seek(100), file.read(1)) == (b"", 100, b"")
            buffer = bytearray(4)
            file.seek(4)
            assert (file.readinto(buffer), bytes(buffer)) == (4, b"4567")

    def test_write_beyond_the_end(self, rig: Rig) -> None:
        """A write beyond the end of a lower file fills the gap with zeros."""
        box = rig.over({"f": "ab"})
        with box.tree.open_raw("f", os.O_RDWR) as file:
            file.seek(5)
            file.write(b"x")
        box.shows({"f": b"ab\0\0\0x"})

    def test_truncate_an_open_file(self, rig: Rig) -> None:
        """An open lower file can be cut and extended, and keeps its position."""
        box = rig.over({"f": "0123456789"})
        with box.tree.open_raw("f", os.O_RDWR) as file:
            file.seek(4)
            assert file.truncate() == 4
            assert file.truncate(6) == 6
            assert (file.tell(), file.read()) == (4, b"\0\0")
        box.shows({"f": b"0123\0\0"})

    def test_write_to_a_readonly_file(self, rig: Rig) -> None:
        """A file opened for reading cannot be written, one opened for writing cannot be read."""
        box = rig.over({"f": "1"})
        with box.tree.open_raw("f", os.O_RDONLY) as file, pytest.raises((OSError, io.UnsupportedOperation)):
            file.write(b"2")
        with box.tree.open_raw("f", os.O_WRONLY) as file, pytest.raises((OSError, io.UnsupportedOperation)):
            file.read(1)
        assert see(box.tree) == {"f": b"1"}

    def test_append_after_others_wrote(self, rig: Rig) -> None:
        """O_APPEND writes at the end as it is at that moment."""
        box = rig.over({"f": "1"})
        flags = os.O_WRONLY | os.O_APPEND
        with box.tree.open_raw("f", flags) as one, box.tree.open_raw("f", flags) as two:
            one.write(b"a")
            two.write(b"b")
            one.seek(0)
            one.write(b"c")
        assert box.tree.read_bytes("f") == b"1abc"

    def test_two_writers_see_each_other(self, rig: Rig) -> None:
        """Two descriptors of one file, opened after it was copied up, show one content."""
        box = rig.over({"f": "0000"})
        with box.tree.open_raw("f", os.O_RDWR) as one, box.tree.open_raw("f", os.O_RDWR) as two:
            one.write(b"11")
            assert two.read(4) == b"1100"

    def test_reader_opened_before_a_write(self, rig: Rig) -> None:
        """A file opened for reading before the first write to it shows what is written later through the same tree."""
        box = rig.over({"f": "old"})
        with box.tree.open_raw("f", os.O_RDONLY) as file:
            with box.tree.open_raw("f", os.O_WRONLY) as writer:
                writer.write(b"new")
            with box.tree.open_raw("f", os.O_RDONLY) as late:
                assert late.read() == b"new"
            assert file.read() in {b"old", b"new"}

    def test_unlinked_open_file(self, rig: Rig) -> None:
        """A lower file that is open can be deleted, and is read and written on."""
        box = rig.over({"f": "content"})
        with box.tree.open_raw("f", os.O_RDWR) as file:
            box.tree.unlink("f")
            assert file.read() == b"content"
            file.write(b"+more")
            file.seek(0)
            assert file.read() == b"content+more"
        box.shows({})

    def test_unlinked_open_reader(self, rig: Rig) -> None:
        """The same for a file that was only opened for reading."""
        box = rig.over({"f": "content"})
        with box.tree.open_raw("f", os.O_RDONLY) as file:
            box.tree.unlink("f")
            box.tree.write_bytes("f", b"another")
            assert file.read() == b"content"
        box.shows({"f": "another"})

    def test_replaced_open_file(self, rig: Rig) -> None:
        """A file that was replaced by a rename while it was open is read on, and the name shows the new one."""
        box = rig.over({"f": "old"})
        box.tree.write_bytes("g", b"new")
        with box.tree.open_raw("f", os.O_RDONLY) as file:
            box.tree.rename("g", "f")
            assert (file.read(), box.tree.read_bytes("f")) == (b"old", b"new")

    def test_exclusive_creation(self, rig: Rig) -> None:
        """O_EXCL refuses a name that only a lower layer has, and works where it was deleted."""
        box = rig.over({"f": "1"})
        with pytest.raises(FileExistsError):
            box.tree.open("f", "xb")
        box.tree.unlink("f")
        with box.tree.open("f", "xb") as file:
            file.write(b"2")
        box.shows({"f": "2"})

    def test_creation_through_a_dangling_symlink(self, rig: Rig) -> None:
        """Opening for creation follows a dangling symbolic link and makes its target."""
        box = rig.over({"l": Symlink("d/t"), "d": DIR})
        box.tree.write_bytes("l", b"1")
        box.shows({"l": Symlink("d/t"), "d": DIR, "d/t": "1"})

    def test_mode_at_creation(self, rig: Rig) -> None:
        """Files and directories get the mode they are made with, less the umask."""
        box = rig.over({"d": DIR})
        box.tree.open_raw("d/f", os.O_WRONLY | os.O_CREAT, 0o600).close()
        box.tree.mkdir("d/e", 0o700)
        assert [box.tree.stat(path).st_mode for path in ("d/f", "d/e")] == [0o100600, 0o040700]

    def test_setgid_directory(self, rig: Rig) -> None:
        """A directory made in a setgid directory is setgid too, and a file gets the directory's group."""
        box = rig.over({"d": DIR})
        box.tree.chmod("d", 0o2775)
        box.tree.mkdir("d/e")
        box.tree.write_bytes("d/f", b"")
        assert box.tree.stat("d/e").st_mode & 0o2000
        assert box.tree.stat("d/f").st_gid == box.tree.stat("d").st_gid

    def test_listing_while_changing(self, rig: Rig) -> None:
        """A directory can be changed while it is listed: no name comes twice, and what stays is listed."""
        box = rig.over({f"d/{number:03}": "" for number in range(200)})
        seen = []
        for number, entry in enumerate(box.tree.scandir("d")):
            seen.append(entry.name)
            box.tree.unlink(entry.path)
            box.tree.write_bytes(f"d/new{number % 5}", b"")
        assert len(seen) == len(set(seen))
        assert {f"{number:03}" for number in range(200)} <= set(seen)
        assert sorted(box.tree.listdir("d")) == [f"new{number}" for number in range(5)]

    def test_listing_knows_the_type(self, rig: Rig) -> None:
        """A listing gives each entry its type and inode number, those that stat gives."""
        box = rig.over({"f": "1", "d": DIR, "l": Symlink("f"), "p": FIFO}, {"g": "2"})
        found = {entry.name: (entry.format, entry.ino) for entry in box.tree.scandir("")}
        expected = {name: box.tree.lstat(name) for name in ("f", "d", "l", "p", "g")}
        assert found == {name: (at.st_mode & 0o170000, at.st_ino) for name, at in expected.items()}

    def test_unique_inodes(self, rig: Rig) -> None:
        """No two files of a tree have the same inode and device number, of whatever layer they are."""
        box = rig.over({"a": "1", "d/b": "1"}, {"c": "1", "d/e": "1"})
        box.tree.write_bytes("f", b"1")
        box.tree.write_bytes("a", b"2")
        attributes = [box.tree.stat(path) for path in ("", "a", "d", "d/b", "c", "d/e", "f")]
        assert len({(at.st_dev, at.st_ino) for at in attributes}) == len(attributes)

    def test_fifo_is_not_opened(self, rig: Rig) -> None:
        """A FIFO of a lower layer keeps its type through a chmod, which does not open it."""
        box = rig.over({"p": FIFO})
        box.tree.chmod("p", 0o600)
        assert box.tree.lstat("p").st_mode == 0o010600
        box.shows({"p": FIFO})

    def test_big_file(self, rig: Rig) -> None:
        """A file of 4 MiB changed in its middle keeps all the rest."""
        data = bytes(range(251)) * (_SIZE // 251 + 1)
        box = rig.over({"big": data[:_SIZE]})
        with box.tree.open("big", "r+b") as file:
            file.seek(_SIZE // 2)
            file.write(b"!" * 10)
        expected = bytearray(data[:_SIZE])
        expected[_SIZE // 2 : _SIZE // 2 + 10] = b"!" * 10
        assert box.reopen().read_bytes("big") == bytes(expected)

    def test_statvfs(self, rig: Rig) -> None:
        """statvfs of a tree says how much room there is for writing."""
        box = rig.over({"f": "1"})
        figures = box.tree.statvfs()
        assert figures.f_bsize > 0
        assert figures.f_blocks >= figures.f_bfree >= figures.f_bavail >= 0
        assert figures.f_namemax == 255

    def test_statvfs_of_a_view(self, rig: Rig) -> None:
        """statvfs of a read-only tree says that it is read-only, that of a container that it is not."""
        box = rig.over({"f": "1"})
        assert not box.tree.statvfs().f_flag & os.ST_RDONLY
        assert rig.view(box.commit()).statvfs().f_flag & os.ST_RDONLY

    @pytest.mark.capability(Capability.SPARSE)
    def test_sparse(self, rig: Rig) -> None:
        """A hole stays a hole: through a commit, a change by a container, and the next commit."""
        box = rig.box()
        with box.tree.open_raw("s", os.O_WRONLY | os.O_CREAT) as file:
            file.seek(16 << 20)
            file.write(b"end")
        child = rig.box(box.commit())
        assert child.tree.stat("s").st_blocks * 512 < 1 << 20
        with child.tree.open_raw("s", os.O_WRONLY) as file:
            file.write(b"start")
        view = rig.view(child.commit())
        attributes = view.stat("s")
        assert (attributes.st_size, attributes.st_blocks * 512 < 1 << 20) == ((16 << 20) + 3, True)
        with view.open("s", "rb") as file:
            assert file.read(6) == b"start\0"
            file.seek(16 << 20)
            assert file.read() == b"end"

    @pytest.mark.without(Capability.SPARSE)
    def test_sparse_keeps_its_bytes(self, rig: Rig) -> None:
        """Where it is not promised that holes are kept, their bytes are: through a change and a commit."""
        box = rig.over(lambda tree: (tree.write_bytes("s", b"start"), tree.truncate("s", 1 << 20)))
        with box.tree.open_raw("s", os.O_WRONLY) as file:
            file.seek(1 << 19)
            file.write(b"middle")
        content = rig.view(box.commit()).read_bytes("s")
        assert content == b"start".ljust(1 << 19, b"\0") + b"middle".ljust(1 << 19, b"\0")

    @pytest.mark.capability(Capability.TMPFILE)
    def test_tmpfile(self, rig: Rig) -> None:
        """O_TMPFILE in a lower directory gives a file without a name, which leaves no trace."""
        box = rig.over({"d/a": "1"})
        with box.tree.open_raw("d", os.O_TMPFILE | os.O_RDWR) as file:
            file.write(b"content")
            file.seek(0)
            assert file.read() == b"content"
            assert box.tree.listdir("d") == ["a"]
        box.shows({"d": DIR, "d/a": "1"})

    @pytest.mark.without(Capability.TMPFILE)
    def test_tmpfile_is_refused(self, rig: Rig) -> None:
        """Where O_TMPFILE is not declared it is EOPNOTSUPP."""
        box = rig.over({"d/a": "1"})
        with pytest.raises(OSError) as caught:
            box.tree.open_raw("d", os.O_TMPFILE | os.O_RDWR)
        assert caught.value.errno == errno.EOPNOTSUPP
