"""Archives of files are those that are made of the same members one by one."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlaykit.changeset import FilePacker, TarHeader
from overlaykit.changeset._tar_write import encode_header, padding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.native

SIZES = (0, 1, 511, 512, 513, 5_000, 100_000)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[int]:
    for size in SIZES:
        (tmp_path / f"of{size}").write_bytes(os.urandom(size))
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _drain(packer: FilePacker, room: int) -> bytes:
    made = bytearray()
    while not packer.done:
        buffer = bytearray(room)
        count = packer.fill(memoryview(buffer))
        assert count == room or packer.done
        made += buffer[:count]
    return bytes(made)


MEMBERS = st.tuples(
    st.text("ab/.\u00e9", min_size=1, max_size=8).map(lambda text: text.strip("/") or "x") | st.just("long" * 40),
    st.sampled_from([0o644, 0o4755, 0o7777, 0]),
    st.tuples(*[st.sampled_from([0, 1000, 0o7777777, 0o10000000, 2**32 - 2])] * 2),
    st.integers(-(10**18), 10**20) | st.sampled_from([0, 1, 10**9, 1_700_000_000_120_000_000]),
    st.sampled_from(SIZES),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MEMBERS, max_size=6), st.sampled_from([1, 100, 512, 4_096, 1 << 20]))
def test_an_archive_is_the_one_of_its_members(place: int, members: list[tuple], room: int) -> None:  # type: ignore[type-arg]
    expected = b""
    with FilePacker(place) as packer:
        for name, mode, owner, mtime, size in members:
            path, source = name.encode(), f"of{size}"
            packer.add_file(path, mode, owner, mtime, source.encode(), os.stat(source, dir_fd=place))
            header = TarHeader(path + b".d/", 0o40755, *owner, mtime)
            packer.add(header)
            data = os.read(fd := os.open(source, os.O_RDONLY, dir_fd=place), size)
            os.close(fd)
            expected += encode_header(TarHeader(path, 0o100000 | mode, *owner, mtime, size)) + data + padding(size)
            expected += encode_header(header)
        assert len(packer) == 2 * len(members)
        assert _drain(packer, room) == expected


def test_what_is_not_as_it_was_is_told(place: int, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("of512")
    status = os.stat(tmp_path / "of512")
    for source, number in ((b"of513", errno.ESTALE), (b"gone", errno.ENOENT), (b"link", errno.ELOOP)):
        with FilePacker(place) as packer:
            packer.add_file(b"first", 0o644, (0, 0), 0, b"of512", status)
            packer.add_file(b"path", 0o644, (0, 0), 0, source, status)
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                _drain(packer, 1 << 20)
            assert (caught.value.errno, packer.failed) == (number, source.decode())
    with FilePacker(place) as packer:
        packer.add_file(b"path", 0o644, (0, 0), 0, b"link", status, follow=True)
        assert _drain(packer, 1 << 20)[512:1024] == (tmp_path / "of512").read_bytes()
