"""The ways to a registry: proxies, connections that trickle, and those that are cut because all is over."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from testkit.registries import Fault, Quiet, serving
from testkit.waits import PATIENCE

from overlaykit import errors
from overlaykit.image.registry import Options, pull, push, tags
from overlaykit.image.registry._client import Client
from overlaykit.image.registry._connection import _Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from testkit.registries import Front

    from overlaykit.image import ImageStore, ProgressEvent

ELSEWHERE = "registry.invalid"


class Proxy:
    """A proxy of HTTP, that has one registry whatever it is asked for, and no tunnels."""

    def __init__(self, registry: str) -> None:
        asked: list[tuple[str, str, str]] = []
        self.asked = asked

        class Handler(Quiet):
            def connect(self) -> None:
                asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
                self.answer(502)

            def get(self) -> None:
                asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
                parts = urlsplit(self.path)
                connection = http.client.HTTPConnection(registry, timeout=PATIENCE)
                sent = {name: value for name, value in self.headers.items() if name in ("Accept", "Range")}
                connection.request(self.command, f"{parts.path}?{parts.query}", headers=sent)
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
                kept = ("Content-Type", "Docker-Content-Digest")
                self.answer(answer.status, body, **{name: value for name, value in answer.getheaders() if name in kept})

        self.handler = Handler


@pytest.fixture
def proxy(registry: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    one = Proxy(registry)
    with serving(one.handler) as host:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://me:p%40ss-of-tests@{host}")
        yield one


def test_a_proxy(store: ImageStore, pushed: str, proxy: Proxy) -> None:
    got = pull(store, f"{ELSEWHERE}/{pushed}:1", options=Options(insecure=True))
    assert got.image.layers == 3
    methods = {method for method, _, _ in proxy.asked}
    assert methods == {"CONNECT", "GET"}  # a tunnel for HTTPS, and what is plain as it is
    assert {told for _, _, told in proxy.asked} == {"Basic " + base64.b64encode(b"me:p@ss-of-tests").decode()}


def test_a_proxy_that_refuses(store: ImageStore, proxy: Proxy) -> None:
    with pytest.raises(errors.RegistryUnavailableError, match="proxy") as caught:
        pull(store, f"{ELSEWHERE}/app", options=Options(retries=0))
    assert "p@ss" not in str(caught.value)
    assert "p%40ss" not in str(caught.value)
    assert proxy.asked


def test_where_no_proxy_is_asked(
    store: ImageStore, registry: str, pushed: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pull(store, f"{registry}/{pushed}:1").image.layers == 3
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(errors.RegistryUnavailableError, match="name is not known"):
        pull(store, f"{ELSEWHERE}/app", options=Options(retries=0))
    assert proxy.asked == []


@pytest.mark.parametrize("value", ["socks5://me:secret@127.0.0.1:1", "http://", "http://[::1", "http://h:99999"])
def test_what_is_no_proxy(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("https_proxy", value)
    with pytest.raises(errors.RegistryError, match="none of HTTP") as caught:
        tags(f"{ELSEWHERE}/app", options=Options(retries=0))
    assert "secret" not in str(caught.value)


def test_a_proxy_without_a_scheme(
    store: ImageStore, pushed: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(proxy.handler) as host:
        monkeypatch.delenv("http_proxy")
        monkeypatch.delenv("https_proxy")
        monkeypatch.setenv("all_proxy", host)
        assert pull(store, f"{ELSEWHERE}/{pushed}:1", options=Options(insecure=True)).image.layers == 3


# -- trickling --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def trickling(before: bytes, piece: bytes) -> Iterator[str]:
    """Serve one answer after another to whatever is asked: a beginning, and then a little again and again."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def answer(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            request = one.recv(65536)
            if b"/v2/ " in request:
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            one.sendall(before)
            while not over.wait(0.05):
                one.sendall(piece)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = server.accept()
                threads.append(threading.Thread(target=answer, args=(one,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 ", b"2"),
    ],
    ids=["body", "chunks", "headers", "status"],
)
def test_what_trickles_ends(store: ImageStore, options: Options, before: bytes, piece: bytes) -> None:
    impatient = replace(options, timeout=0.5, slowest=1000, retries=1)
    with trickling(before, piece) as host, pytest.raises(errors.RegistryUnavailableError, match="no progress"):
        pull(store, f"{host}/app:1", options=impatient)


class Drops(io.RawIOBase):
    """Gives a little after each wait, and then no more."""

    left = 20

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self.left:
            return 0
        self.left -= 1
        time.sleep(0.01)
        memoryview(buffer)[:1000] = b"x" * 1000
        return 1000


def test_what_is_slow_and_not_too_slow() -> None:
    """However long all takes together, and however often it was waited for as long as is looked at."""
    with io.BufferedReader(_Watched(Drops(), patience=0.02, slowest=1)) as body:
        assert len(body.read()) == 20_000


# -- the end of all ---------------------------------------------------------------------------------------------------


class StoppedError(Exception):
    """Raised by the progress callback, as Ctrl-C would."""


@pytest.mark.parametrize("first", [0, 2])
def test_an_error_ends_downloads_that_hang(
    source: ImageStore, store: ImageStore, broken: Front, pushed: str, first: int
) -> None:
    """One download fails for good while another one waits for a server that says nothing more."""
    layers = source.manifest("app:1").layers
    broken.faults.append(Fault("GET", layers[1].digest, "slow", times=99, after=100))

    def fail(event: ProgressEvent) -> None:
        if event.action == "download" and event.digest == layers[first].digest:
            raise StoppedError

    with pytest.raises(StoppedError):  # or the test's own end, long before that timeout
        pull(store, f"{broken.host}/{pushed}:1", options=Options(timeout=3600), progress=fail)
    assert store.images() == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("overlaykit")] == []


def test_an_error_ends_uploads_that_hang(source: ImageStore, registry: str) -> None:
    class Hanging(Quiet):
        """Takes one of the uploads, refuses the other, and reads no further in the first."""

        def head(self) -> None:
            self.answer(404)

        def get(self) -> None:
            self.answer(200)

        def post(self) -> None:
            self.answer(202, Location="/v2/app/blobs/uploads/1")

        def put(self) -> None:
            length = int(self.headers["Content-Length"])
            if length > 1_000_000:
                hanging.set()
                over.wait(PATIENCE)
                self.close_connection = True
            else:
                hanging.wait(PATIENCE)
                self.answer(400, b'{"errors": [{"code": "X", "message": "no"}]}')

    hanging, over = threading.Event(), threading.Event()
    with serving(Hanging) as host:
        try:
            with pytest.raises(errors.RegistryError, match="status 400, X no"):
                push(source, "app:1", f"{host}/app:1", options=Options(timeout=3600))
            assert not over.is_set()
        finally:
            over.set()


def test_waits_end_too(registry: str) -> None:
    client = Client(registry, "app", Options(longest_wait=3600))
    threading.Timer(0.1, client.stop).start()
    with pytest.raises(errors.RegistryUnavailableError, match="ended"):
        client.wait(20)
    client.close()


def test_authorities_that_are_none(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(errors.RegistryError, match=r"none\.pem has no certificates"):
        pull(store, "registry.invalid/app", options=Options(ca=str(tmp_path / "none.pem")))
    with pytest.raises(errors.NotFoundError, match=r"there is no .*missing\.pem"):
        pull(store, "registry.invalid/app", options=Options(ca=str(tmp_path / "missing.pem")))
    with pytest.raises(errors.RegistryError, match="cannot be read"):
        pull(store, "registry.invalid/app", options=Options(ca=str(tmp_path)))


def test_a_blob_in_pieces(source: ImageStore, make_store: Callable[[], ImageStore], registry: str) -> None:
    """Something before the registry takes a million bytes in one request, and says so before it has read more."""

    class Small(Quiet):
        def forward(self) -> None:
            self.close_connection = True
            length = int(self.headers.get("Content-Length", 0))
            if length > 1_000_000:
                refused.append(length)
                self.rfile.read(length)
                self.answer(413)
                return
            connection = http.client.HTTPConnection(registry, timeout=PATIENCE)
            sent = {name: value for name, value in self.headers.items() if name != "Host"}
            connection.request(self.command, self.path, self.rfile.read(length) if length else None, headers=sent)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            if self.command == "PATCH":
                ranges.append(self.headers["Content-Range"])
            told = {name: value for name, value in answer.getheaders() if name in ("Docker-Content-Digest", "Range")}
            if place := answer.getheader("Location"):
                told["Location"] = place.replace(registry, self.headers["Host"])
            self.answer(answer.status, body, **told)

        get = head = put = post = patch = forward

    refused: list[int] = []
    ranges: list[str] = []
    with serving(Small) as host:
        push(source, "app:1", f"{host}/t/pieces:1", options=Options(parallel=1))
    assert len(ranges) >= 3
    assert ranges[0].startswith("0-")
    assert refused
    assert pull(make_store(), f"{registry}/t/pieces:1").image.digest == source.image("app:1").digest
