"""Directories listed with the attributes of what is in them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.linux import FileStatus, list_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.native


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _status(path: str | bytes) -> FileStatus:
    return FileStatus(*(getattr(os.lstat(path), name) for name in FileStatus._fields))


def test_names_come_in_the_order_of_their_bytes_with_what_lstat_says(top: int, tmp_path: Path) -> None:
    place = tmp_path / "in/here"
    place.mkdir(parents=True)
    names = [b"a", b"a-b", b"a.c", b"\xff\xfe", "\u00e9".encode(), b"new\nline", b"B"]
    for name in names:
        with open(os.path.join(os.fsencode(place), name), "wb") as file:
            file.write(name * 3)
    (place / "link").symlink_to("nowhere")
    (place / "dir").mkdir()
    os.mkfifo(place / "fifo")
    os.utime(place / "B", ns=(1, -5_000_000_001))
    found = list_directory(top, "in/here")
    assert [os.fsencode(name) for name, _ in found] == sorted([*names, b"link", b"dir", b"fifo"])
    assert all(status == _status(os.path.join(os.fsencode(place), os.fsencode(name))) for name, status in found)
    assert list_directory(top, "in/here/dir") == []
    assert [name for name, _ in list_directory(top, ".")] == ["in"]


def test_many_names(top: int, tmp_path: Path) -> None:
    for number in range(3_000):
        (tmp_path / f"{number:0200}").touch()
    assert [name for name, _ in list_directory(top, ".")] == [f"{number:0200}" for number in range(3_000)]


def test_links_lead_nowhere_else(top: int, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/up").symlink_to("../../../..")
    (tmp_path / "root").symlink_to("/")
    assert [name for name, _ in list_directory(top, "root")] == ["in", "root"]
    assert [name for name, _ in list_directory(top, "in/up")] == ["in", "root"]


@pytest.mark.parametrize(("path", "number"), [("gone", errno.ENOENT), ("file", errno.ENOTDIR)])
def test_what_is_no_directory_is_an_error(top: int, tmp_path: Path, path: str, number: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        list_directory(top, path)
    assert (caught.value.errno, caught.value.filename) == (number, path)
