"""Open files: real binary files for anything in the standard library that takes one."""

from __future__ import annotations

import csv
import errno
import gc
import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from overlaykit.errors import LayerInUseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit_memory import MemoryTree

    Layered = Callable[[Callable[[MemoryTree], object]], MemoryTree]

RDWR = os.O_RDWR | os.O_CREAT


@pytest.mark.parametrize(
    ("flags", "mode", "readable", "writable"),
    [
        (os.O_RDONLY, "rb", True, False),
        (os.O_WRONLY, "wb", False, True),
        (os.O_RDWR, "rb+", True, True),
        (os.O_WRONLY | os.O_APPEND, "ab", False, True),
        (os.O_RDWR | os.O_APPEND, "ab+", True, True),
    ],
)
def test_what_a_file_says_of_itself(tree: MemoryTree, flags: int, mode: str, readable: bool, writable: bool) -> None:
    tree.write_bytes("f", b"1")
    with tree.open_raw("f", flags) as file:
        assert isinstance(file, io.RawIOBase)
        assert (file.name, file.mode, file.readable(), file.writable()) == ("f", mode, readable, writable)
        assert file.seekable()
        assert not file.isatty()
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
        if not readable:
            for read in (file.read, file.readall, lambda: file.readinto(bytearray(1))):
                with pytest.raises(io.UnsupportedOperation):
                    read()
        if not writable:
            for write in (lambda: file.write(b"1"), lambda: file.truncate(0)):
                with pytest.raises(io.UnsupportedOperation):
                    write()
    for use in (file.read, file.tell, file.readable, file.writable, file.seekable, lambda: file.write(b"1")):
        with pytest.raises(ValueError, match="closed"):
            use()
    file.close()
    assert file.closed


def test_random_access(tree: MemoryTree) -> None:
    with tree.open_raw("f", RDWR) as file:
        assert file.write(b"0123456789") == 10
        assert file.seek(-3, os.SEEK_END) == 7
        assert file.read(2) == b"78"
        assert file.seek(-1, os.SEEK_CUR) == 8
        assert file.write(memoryview(b"AB")) == 2
        buffer = bytearray(4)
        file.seek(7)
        assert (file.readinto(buffer), buffer) == (3, b"7AB\0")
        assert file.read(5) == b""
        assert file.truncate(3) == 3
        assert file.tell() == 10
        file.seek(0)
        assert file.readall() == b"012"
        for offset, whence in ((-1, os.SEEK_SET), (0, 99), (-4, os.SEEK_END)):
            with pytest.raises(OSError, match="Invalid") as caught:
                file.seek(offset, whence)
            assert caught.value.errno == errno.EINVAL


def test_writes_of_other_item_sizes_count_bytes(tree: MemoryTree) -> None:
    import array

    data = array.array("I", [1, 2, 3])
    with tree.open_raw("f", RDWR) as file:
        assert file.write(data) == 12
    assert tree.read_bytes("f") == data.tobytes()
    assert tree.write_bytes("f", memoryview(data)) == 12


def test_a_file_cannot_outgrow_ext4(tree: MemoryTree) -> None:
    with tree.open_raw("f", RDWR) as file:
        file.seek((1 << 44) - 4096)
        with pytest.raises(OSError, match="large") as caught:
            file.write(b"1")
        assert caught.value.errno == errno.EFBIG
        with pytest.raises(OSError, match="large"):
            file.truncate(1 << 45)


def test_readers_see_later_writes_through_a_copy_up(layered: Layered) -> None:
    tree = layered(lambda tree: tree.write_bytes("f", b"old"))
    with tree.open_raw("f", os.O_RDONLY) as reader:
        assert reader.read(1) == b"o"
        tree.write_bytes("f", b"new")
        assert reader.read() == b"ew"
        with tree.open_raw("f", os.O_WRONLY) as writer:
            writer.write(b"N")
        reader.seek(0)
        assert reader.read() == b"New"


@pytest.mark.parametrize("size", [3, 200_000])
def test_unlinked_files_stay_usable(layered: Layered, size: int) -> None:
    tree = layered(lambda tree: tree.write_bytes("f", b"x" * size))
    with tree.open_raw("f", os.O_RDONLY) as reader, tree.open_raw("f", os.O_RDWR) as writer:
        tree.unlink("f")
        tree.write_bytes("f", b"another")
        writer.write(b"yy")
        assert reader.read(3) == b"yyx"
        assert writer.seek(0, os.SEEK_END) == size
        tree.close()
        assert writer.write(b"end") == 3
        assert reader.seek(-3, os.SEEK_END) == size
        assert reader.read() == b"end"


def test_open_files_survive_rename_and_removal_of_the_snapshot(tree: MemoryTree) -> None:
    tree.write_bytes("f", b"1")
    with tree.open("f", "r+b") as file:
        tree.rename("f", "g")
        file.seek(0)
        file.write(b"2")
        file.flush()
        assert tree.read_bytes("g") == b"2"


def test_a_sealed_tree_waits_for_no_writer(tree: MemoryTree) -> None:
    with tree.open("sub", "w"), pytest.raises(LayerInUseError) as caught:
        tree.seal()
    assert caught.value.users == ("sub",)
    assert not tree.readonly
    with tree.open("sub", "r"):
        tree.seal()
    assert tree.readonly
    for write in (lambda: tree.write_bytes("sub", b""), lambda: tree.open("new", "w"), lambda: tree.mkdir("d")):
        with pytest.raises(OSError, match="Read-only") as error:
            write()
        assert error.value.errno == errno.EROFS
    tree.unseal()
    tree.write_bytes("sub", b"1")


def test_a_forgotten_writer_is_closed_by_the_collector(tree: MemoryTree) -> None:
    file = tree.open_raw("f", RDWR)
    file.cycle = file  # type: ignore[attr-defined]
    del file
    gc.collect()
    tree.seal()


def test_text_habits(tree: MemoryTree) -> None:
    with tree.open("f", "w", newline="\r\n", encoding="latin-1") as text:
        text.write("ä\nb\n")
    assert tree.read_bytes("f") == b"\xe4\r\nb\r\n"
    with tree.open("f", encoding="latin-1") as text:
        assert text.mode == "r"
        assert list(text) == ["ä\n", "b\n"]
    with tree.open("f", "x+", encoding="utf-8") if not tree.exists("f") else tree.open("g", "x+") as text:
        text.write("Ünï")
        text.seek(0)
        assert text.read() == "Ünï"
    with pytest.raises(FileExistsError):
        tree.open("g", "x")
    with tree.open("g", "a") as text:
        text.write("!")
    assert tree.read_text("g") == "Ünï!"
    with pytest.raises(ValueError, match="mode"):
        tree.open("g", "rw")


def test_the_standard_library_works_on_them(tree: MemoryTree) -> None:
    rows = [["a", "b"], ["1", "2"]]
    with tree.open("t.csv", "w", newline="") as text:
        csv.writer(text).writerows(rows)
    with tree.open("t.csv", newline="") as text:
        assert list(csv.reader(text)) == rows
    with tree.open("t.json", "w") as text:
        json.dump({"a": rows}, text)
    with tree.open("t.json") as text:
        assert json.load(text) == {"a": rows}
    with tree.open("t.pickle", "wb") as file:
        pickle.dump(rows * 50_000, file)
    with tree.open("t.pickle", "rb") as file:
        assert pickle.load(file) == rows * 50_000
    with tree.open("t.zip", "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", b"A" * 300_000)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("b", b"B")
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.read("a") == b"A" * 300_000
    with tree.open("t.tar.gz", "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        member = tarfile.TarInfo("m")
        member.size = 100_000
        tar.addfile(member, io.BytesIO(b"m" * 100_000))
    with tree.open("t.tar.gz", "rb") as file, tarfile.open(fileobj=file) as tar:
        extracted = tar.extractfile("m")
        assert extracted is not None
        assert extracted.read() == b"m" * 100_000
    with tree.open("t.pickle", "rb") as source, tree.open("copy", "wb") as target:
        shutil.copyfileobj(source, target)
    assert tree.read_bytes("copy") == tree.read_bytes("t.pickle")


def test_holes_stay_holes(layered: Layered) -> None:
    def fill(tree: MemoryTree) -> None:
        with tree.open_raw("sparse", RDWR) as file:
            file.write(b"head")
            file.seek(100 << 20)
            file.write(b"middle")
            file.truncate(1 << 30)

    tree = layered(fill)
    for _ in range(2):
        status = tree.stat("sparse")
        assert status.st_size == 1 << 30
        assert status.st_blocks * 512 == 8192
        with tree.open_raw("sparse", os.O_RDWR) as file:
            assert file.seek(0, os.SEEK_HOLE) == 4096
            assert file.seek(4096, os.SEEK_DATA) == 100 << 20
            assert file.seek((100 << 20) + 3, os.SEEK_DATA) == (100 << 20) + 3
            assert file.seek(100 << 20, os.SEEK_HOLE) == (100 << 20) + 4096
            with pytest.raises(OSError, match="No such device or address") as caught:
                file.seek(200 << 20, os.SEEK_DATA)
            assert caught.value.errno == errno.ENXIO
            with pytest.raises(OSError, match="No such device or address"):
                file.seek(1 << 30, os.SEEK_HOLE)
            file.seek((100 << 20) - 2)
            assert file.read(10) == b"\0\0middle\0\0"
            file.seek(0)
            file.write(b"h")  # for the second round: the same through a copy-up
    tree.truncate("sparse", 2)
    assert tree.read_bytes("sparse") == b"he"
    tree.truncate("sparse", 10)
    assert tree.read_bytes("sparse") == b"he" + bytes(8)


@pytest.mark.parametrize("make", ["fifo", "socket", "device"])
def test_special_files_do_not_open(tree: MemoryTree, make: str) -> None:
    import stat

    kind = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "device": stat.S_IFBLK}[make]
    tree.mknod("n", kind | 0o600, 77 if make == "device" else 0)
    for use in (lambda: tree.open("n", "rb"), lambda: tree.read_bytes("n"), lambda: tree.write_bytes("n", b"")):
        with pytest.raises(OSError, match="No such device or address") as caught:
            use()
        assert caught.value.errno == errno.ENXIO
    assert tree.stat("n").st_rdev == (77 if make == "device" else 0)


def test_flags_that_no_driver_without_tmpfile_takes(tree: MemoryTree) -> None:
    with pytest.raises(OSError, match="not supported") as caught:
        tree.open_raw("", os.O_TMPFILE | os.O_RDWR)
    assert caught.value.errno == errno.EOPNOTSUPP
    tree.write_bytes("f", b"")
    for flags in (3, os.O_CREAT | os.O_DIRECTORY):
        with pytest.raises(OSError, match="Invalid") as caught:
            tree.open_raw("f", flags)
        assert caught.value.errno == errno.EINVAL
