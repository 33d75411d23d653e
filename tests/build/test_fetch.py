"""ADD: what comes from addresses, and what is unpacked."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.build import _fetch
from overlaykit.build._fetch import fetch, is_address, unpacked
from overlaykit.image import open_store
from overlaykit.tree import HostTree

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = b"content of the file\n" * 100


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/a%20file")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) + (5 if self.path == "/cut" else 0)))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        self.wfile.write(CONTENT)


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def test_a_file_comes_with_its_time_and_is_for_its_owner_alone(server: str) -> None:
    fetched = fetch(f"{server}/a%20file?x=/y", None, lambda: None)
    assert (fetched.name, fetched.data, fetched.mode, fetched.modified) == ("a file", CONTENT, 0o600, 1445412480)
    with fetched.tree() as tree:
        assert tree.read_bytes("a file") == CONTENT
        assert tree.stat("a file").st_mtime == 1445412480


def test_a_redirect_is_followed_and_the_name_is_the_address_s(server: str) -> None:
    assert fetch(f"{server}/moved", None, lambda: None).name == "moved"


def test_a_checksum_is_checked(server: str) -> None:
    right = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    assert fetch(f"{server}/x", right, lambda: None).digest == right
    with pytest.raises(errors.BuildError, match=f"has the digest {right} and should have sha256:00"):
        fetch(f"{server}/x", "sha256:" + "0" * 64, lambda: None)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/cut", "was cut off after 2000 of 2005 bytes"),
        ("/missing", "the server says 404"),
        ("/a/..", "ends in no name"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(server: str, path: str, message: str) -> None:
    with pytest.raises(errors.BuildError, match=message) as raised:
        fetch(f"{server}{path}", None, lambda: None)
    assert "\n" not in str(raised.value)


def test_nobody_there_is_told(server: str) -> None:
    port = int(server.rpartition(":")[2])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as other:
        free = other.server_port
    assert free != port
    with pytest.raises(errors.BuildError, match=r"cannot be fetched: .*refused"):
        fetch(f"http://127.0.0.1:{free}/x", None, lambda: None)


def test_what_is_too_large_is_not_held(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fetch, "LARGEST", 1000)
    with pytest.raises(errors.BuildError, match="has more than 1000 bytes"):
        fetch(f"{server}/x", None, lambda: None)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a/b", False), ("http://h/x", True), ("https://h/x.git/y", True), ("HTTPS://h/x", True), ("a://b", False)],
)
def test_addresses_are_told_from_paths(source: str, expected: bool) -> None:
    assert is_address(source) is expected


@pytest.mark.parametrize(
    "source", ["git@h:x", "git://h/x", "ssh://h/x", "https://h/x.git", "https://h/x.git#v1:dir", "ftp://h/x"]
)
def test_repositories_are_refused_with_a_way_out(source: str) -> None:
    with pytest.raises(errors.BuildError, match="clone it into the context, or give its archive"):
        is_address(source)


def _tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        member = tarfile.TarInfo("dir/file")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    return data.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Callable[[bytes], str | None]]:
    with open_store(None, driver="memory") as store:

        def look(data: bytes) -> str | None:
            (tmp_path / "one").write_bytes(data)
            with (
                HostTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as tree,
                unpacked(store, tree, "one") as inside,
            ):
                return None if inside is None else inside.read_text("dir/file")

        yield look
        assert not list(store.walk())


@pytest.mark.parametrize("packer", PACKERS)
def test_archives_are_known_by_their_content(show: Callable[[bytes], str | None], packer: str) -> None:
    pack = PACKERS[packer]
    assert show(pack(_tar())) == "hello"
    assert show(pack(b"no archive, " * 200)) is None
    assert show(pack(b"")) is None
    if packer != "none":
        assert show(pack(b"short")[:12]) is None


def test_archives_from_before_posix_are_archives(show: Callable[[bytes], str | None]) -> None:
    header = bytearray(_tar(tarfile.GNU_FORMAT)[:1024])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert show(bytes(header) + bytes(1024)) == "hello"


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_archives_are_told(show: Callable[[bytes], str | None], packer: str) -> None:
    large = io.BytesIO()
    with tarfile.open(fileobj=large, mode="w") as tar:
        member = tarfile.TarInfo("dir/file")
        member.size = 3_000_000
        tar.addfile(member, io.BytesIO(os.urandom(member.size)))
    packed = PACKERS[packer](large.getvalue())
    with pytest.raises(errors.BuildError, match="'one' cannot be unpacked"):
        show(packed[: len(packed) * 2 // 3])
