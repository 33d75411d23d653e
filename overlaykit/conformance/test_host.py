"""Trees as directories of the host: for every library and every program."""

from __future__ import annotations

import errno
import fcntl
import io
import mmap
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, File, Special, Symlink, see
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability
from overlaykit.errors import CapabilityError, StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._rig import Rig

_DEEP = "/".join(["d"] * 20)


class TestHost(Suite):
    """What a path and descriptors of the system add."""

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_path_shows_the_tree(self, rig: Rig) -> None:
        """The host path is an absolute path of a directory that shows what the tree shows."""
        box = rig.over({"f": "1", f"{_DEEP}/g": "2"}, {"h": "3"})
        path = box.tree.host_path
        assert path.startswith("/")
        assert sorted(os.listdir(path)) == sorted(box.tree.listdir(""))
        assert Path(path, _DEEP, "g").read_bytes() == b"2"
        assert os.stat(path).st_ino == box.tree.stat("").st_ino

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_writes_by_path(self, rig: Rig) -> None:
        """What is written by the host path is in the tree, copied up like anything else."""
        box = rig.over({"f": "1", "d/g": "2"})
        path = Path(box.tree.host_path)
        (path / "f").write_bytes(b"new")
        (path / "d" / "new").mkdir()
        (path / "d" / "g").unlink()
        box.shows({"f": "new", "d": DIR, "d/new": DIR})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_libraries_use_the_path(self, rig: Rig) -> None:
        """shutil and os.walk work on the host path."""
        box = rig.over({"a/b/c": "1", "a/d": "2"})
        path = box.tree.host_path
        shutil.copytree(f"{path}/a", f"{path}/copy")
        shutil.rmtree(f"{path}/a")
        assert sorted(name for _, names, _ in os.walk(path) for name in names) == ["b", "copy"]
        box.shows({"copy": DIR, "copy/b": DIR, "copy/b/c": "1", "copy/d": "2"})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_path_of_a_view_is_readonly(self, rig: Rig) -> None:
        """The host path of a committed snapshot refuses every write with EROFS, by whichever program."""
        view = rig.view(rig.layer({"f": "1", "d": DIR}))
        path = view.host_path
        operations: list[Callable[[], object]] = [
            lambda: os.open(f"{path}/f", os.O_WRONLY),
            lambda: os.mkdir(f"{path}/d/new"),
            lambda: os.unlink(f"{path}/f"),
            lambda: os.chmod(f"{path}/f", 0o600),
            lambda: os.utime(f"{path}/f", ns=(1, 1)),
            lambda: os.rename(f"{path}/f", f"{path}/g"),
        ]
        for operation in operations:
            with pytest.raises(OSError) as caught:
                operation()
            assert caught.value.errno == errno.EROFS

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_path_ends_with_the_commit(self, rig: Rig) -> None:
        """A directory descriptor kept from before the commit cannot write to the committed snapshot."""
        box = rig.over({"f": "1"})
        directory = os.open(box.tree.host_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            id = box.commit()
            for name, flags in (("f", os.O_WRONLY), ("new", os.O_WRONLY | os.O_CREAT)):
                with pytest.raises(OSError) as caught:
                    os.open(name, flags, dir_fd=directory)
                assert caught.value.errno == errno.EROFS
        finally:
            os.close(directory)
        assert see(rig.view(id)) == {"f": b"1"}

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_path_of_a_closed_tree(self, rig: Rig) -> None:
        """A closed tree has no path."""
        box = rig.over({"f": "1"})
        box.tree.close()
        with pytest.raises(StoreClosedError):
            _ = box.tree.host_path

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_descriptors(self, rig: Rig) -> None:
        """Files have descriptors of the system, and stat by them is stat by path."""
        box = rig.over({"f": "content"})
        with box.tree.open("f", "rb") as file:
            attributes = os.fstat(file.fileno())
            assert os.pread(file.fileno(), 4, 3) == b"tent"
        assert (attributes.st_ino, attributes.st_dev) == (box.tree.stat("f").st_ino, box.tree.stat("f").st_dev)

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_open_file_inode_is_stable(self, rig: Rig) -> None:
        """A file opened before the first write to it has the inode number that its path has after."""
        box = rig.over({"f": "content"})
        with box.tree.open("f", "rb") as file:
            before = os.fstat(file.fileno()).st_ino
            box.tree.write_bytes("f", b"new")
            assert {before, os.fstat(file.fileno()).st_ino} == {box.tree.stat("f").st_ino}

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_unlinked_file_has_no_links(self, rig: Rig) -> None:
        """A deleted lower file that is still open has no links left."""
        box = rig.over({"f": "content"})
        with box.tree.open("f", "r+b") as file:
            box.tree.unlink("f")
            assert os.fstat(file.fileno()).st_nlink == 0

    @pytest.mark.capability(Capability.HOST_PATH, Capability.TMPFILE)
    def test_tmpfile_gets_a_name(self, rig: Rig) -> None:
        """A file made by O_TMPFILE in a lower directory appears once it is linked, with all that was written."""
        box = rig.over({"d/a": "1"})
        directory = os.open(f"{box.tree.host_path}/d", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with box.tree.open_raw("d", os.O_TMPFILE | os.O_RDWR) as file:
                file.write(b"content")
                os.link(f"/proc/self/fd/{file.fileno()}", "new", dst_dir_fd=directory, follow_symlinks=True)
        finally:
            os.close(directory)
        box.shows({"d": DIR, "d/a": "1", "d/new": "content"})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_mmap_reads(self, rig: Rig) -> None:
        """A lower file can be mapped for reading."""
        box = rig.over({"f": b"0123456789" * 1000})
        with box.tree.open("f", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mapped[5000:5010] == b"0123456789"

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_mmap_writes(self, rig: Rig) -> None:
        """What is written to a shared mapping of a lower file is read from the file, and only in this container."""
        box = rig.over({"f": b"." * 8192})
        with box.tree.open("f", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[4096:4100] = b"here"
            mapped.flush()
            assert box.tree.read_bytes("f")[4090:4104] == b"......here...."
        assert box.reopen().read_bytes("f")[4096:4100] == b"here"

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_mmap_of_a_deleted_file(self, rig: Rig) -> None:
        """A mapping outlives the file's name and its tree."""
        box = rig.over({"f": b"x" * 8192})
        with box.tree.open("f", "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            box.tree.unlink("f")
            box.tree.close()
            assert mapped[8191:] == b"x"

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_working_directory(self, rig: Rig) -> None:
        """A subprocess whose working directory is the tree reads, writes and moves about in it."""
        box = rig.over({"d/f": "1"})
        script = "cat d/f; echo new > d/g; cd d; rm f; mkdir e; cd e; echo deep > h"
        done = subprocess.run(["sh", "-c", script], cwd=box.tree.host_path, capture_output=True, check=True)
        assert done.stdout == b"1"
        box.shows({"d": DIR, "d/g": "new\n", "d/e": DIR, "d/e/h": "deep\n"})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_directory_inode_in_a_process(self, rig: Rig) -> None:
        """A process in a lower directory sees the same directory after somebody else changed it."""
        box = rig.over({"d/f": "1"})
        inside = os.open(f"{box.tree.host_path}/d", os.O_RDONLY | os.O_DIRECTORY)
        try:
            box.tree.write_bytes("d/g", b"2")
            box.tree.chmod("d", 0o700)
            # What came after the directory was opened need not be listed before it is rewound (readdir(3p)).
            os.lseek(inside, 0, os.SEEK_SET)
            assert sorted(os.listdir(inside)) == ["f", "g"]
            assert os.fstat(inside).st_ino == box.tree.stat("d").st_ino
            os.close(os.open("h", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=inside))
        finally:
            os.close(inside)
        box.shows({"d": DIR, "d/f": "1", "d/g": "2", "d/h": ""})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_execution(self, rig: Rig) -> None:
        """A program of a lower layer runs from the tree."""
        box = rig.over({"bin/hello": File("#!/bin/sh\necho hello $1\n", 0o755)})
        done = subprocess.run([f"{box.tree.host_path}/bin/hello", "you"], capture_output=True, check=True)
        assert done.stdout == b"hello you\n"

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_path_in_another_process(self, rig: Rig) -> None:
        """The host path means the same in a subprocess, as long as the tree is open."""
        box = rig.over({"f": "1"})
        code = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); (p / 'g').write_bytes((p / 'f').read_bytes() * 2)"
        subprocess.run([sys.executable, "-S", "-c", code, box.tree.host_path], check=True)
        box.shows({"f": "1", "g": "11"})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_unix_socket(self, rig: Rig) -> None:
        """A UNIX socket can be bound in the tree and connected to."""
        box = rig.over({"run": DIR})
        path = f"{box.tree.host_path}/run/s"
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen()
            client.connect(path)
            connection, _ = server.accept()
            with connection:
                client.sendall(b"hello")
                assert connection.recv(5) == b"hello"
        box.shows({"run": DIR, "run/s": Special(0o140000)})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_locks(self, rig: Rig) -> None:
        """A lock taken on a lower file before it is copied up holds against who opens it after."""
        box = rig.over({"f": "1"})
        with box.tree.open("f", "rb") as first:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with box.tree.open("f", "r+b") as second, pytest.raises(BlockingIOError):
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_fsync(self, rig: Rig) -> None:
        """Files and directories of the tree can be synced."""
        box = rig.over({"d/f": "1"})
        with box.tree.open("d/f", "r+b") as file:
            file.write(b"2")
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(f"{box.tree.host_path}/d", os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        box.shows({"d": DIR, "d/f": "2"})

    @pytest.mark.capability(Capability.HOST_PATH)
    def test_relative_symlinks_by_path(self, rig: Rig) -> None:
        """Relative symbolic links lead by the host path where they lead in the tree."""
        box = rig.over({"d/f": "1", "l": Symlink("d/f"), "d/up": Symlink("../l")})
        assert Path(box.tree.host_path, "d", "up").read_bytes() == b"1"

    @pytest.mark.without(Capability.HOST_PATH)
    def test_path_is_refused(self, rig: Rig) -> None:
        """Where there is no path on the host, asking for it says which capability is missing."""
        box = rig.over({"f": "1"})
        with pytest.raises(CapabilityError) as caught:
            _ = box.tree.host_path
        assert caught.value.capability == "host-path"

    @pytest.mark.without(Capability.HOST_PATH)
    def test_descriptors_are_refused(self, rig: Rig) -> None:
        """Where files are not the system's, fileno() is an UnsupportedOperation, for every kind of file object."""
        box = rig.over({"f": "1"})
        for mode, buffering in (("rb", -1), ("rb", 0), ("r", -1), ("r+b", -1)):
            with box.tree.open("f", mode, buffering) as file, pytest.raises(io.UnsupportedOperation):
                file.fileno()
