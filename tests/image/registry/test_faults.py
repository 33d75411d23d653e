"""What goes wrong on the way is mended where it can be, and named where it cannot; nothing half is left."""

from __future__ import annotations

import io
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.registries import Fault, Quiet, free_port, serving
from testkit.waits import PATIENCE

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.image.registry import Options, pull, push

if TYPE_CHECKING:
    from testkit.registries import Front

    from overlaykit.image import ImageStore


def test_a_cut_download_goes_on(
    store: ImageStore, broken: Front, pushed: str, options: Options, waits: list[float]
) -> None:
    broken.faults.append(Fault("GET", "/blobs/", "cut", times=4))
    pull(store, f"{broken.host}/{pushed}:1", options=options)
    begun = [one["Range"] for one in broken.headers("GET", "/blobs/") if "Range" in one]
    assert begun
    assert all(one.startswith("bytes=") and one != "bytes=0-" for one in begun)
    assert waits


def test_a_server_without_ranges_is_read_anew(store: ImageStore, broken: Front, pushed: str, options: Options) -> None:
    class NoRanges(Quiet):
        def get(self) -> None:
            import http.client

            connection = http.client.HTTPConnection(broken.host, timeout=PATIENCE)
            connection.request("GET", self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.close_connection = True
            seen.append(self.path)
            cut = len(body) > 2_000_000 and seen.count(self.path) == 1
            self.wfile.write(body[:1_000_000] if cut else body)

    seen: list[str] = []
    with serving(NoRanges) as host:
        got = pull(store, f"{host}/{pushed}:1", options=options)
    assert got.image.layers == 3
    assert max(seen.count(path) for path in seen if "/blobs/" in path) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(
    store: ImageStore, broken: Front, pushed: str, options: Options, waits: list[float], status: int
) -> None:
    told = {"Retry-After": "7"}
    broken.faults.append(Fault("GET", "/manifests/", "status", times=2, status=status, headers=told))
    broken.faults.append(Fault("GET", "/blobs/", "status", times=2, status=status))
    pull(store, f"{broken.host}/{pushed}:1", options=options)
    assert waits[:2] == [7.0, 7.0]
    assert len(waits) == 4


def test_waiting_has_an_end(
    store: ImageStore, broken: Front, pushed: str, options: Options, waits: list[float]
) -> None:
    told = {"Retry-After": "86400"}
    broken.faults.append(Fault("GET", "/manifests/", "status", times=99, status=429, headers=told))
    with pytest.raises(errors.RegistryUnavailableError, match="status 429, X no") as caught:
        pull(store, f"{broken.host}/{pushed}:1", options=options)
    assert caught.value.status == 429
    assert waits == [60.0] * 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("action", ["corrupt", "truncate"])
def test_a_wrong_blob_is_refused(store: ImageStore, broken: Front, pushed: str, options: Options, action: str) -> None:
    broken.faults.append(Fault("GET", "/blobs/", action, times=9))
    with pytest.raises(errors.ImageFormatError):
        pull(store, f"{broken.host}/{pushed}:1", options=options)
    assert store.images() == []
    broken.faults.clear()
    assert pull(store, f"{broken.host}/{pushed}:1", options=options).image.layers == 3


def test_a_wrong_manifest_is_refused(
    source: ImageStore, store: ImageStore, broken: Front, pushed: str, options: Options
) -> None:
    broken.faults.append(Fault("GET", "/manifests/", "corrupt"))
    with pytest.raises(errors.DigestMismatchError):
        pull(store, f"{broken.host}/{pushed}@{source.image('app:1').digest}", options=options)
    wrong = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    broken.faults.append(Fault("GET", "/manifests/", "header", headers=wrong))
    with pytest.raises(errors.DigestMismatchError):
        pull(store, f"{broken.host}/{pushed}:1", options=options)


def test_a_slow_body_ends(store: ImageStore, broken: Front, pushed: str, options: Options) -> None:
    broken.faults.append(Fault("GET", "/blobs/", "slow", times=99))
    impatient = replace(options, timeout=0.3, retries=1)
    with pytest.raises(errors.RegistryUnavailableError, match="no progress"):
        pull(store, f"{broken.host}/{pushed}:1", options=impatient)
    assert store.images() == []


def test_a_cut_upload_is_sent_again(
    source: ImageStore, store: ImageStore, broken: Front, pushed: str, options: Options
) -> None:
    broken.faults.append(Fault("PUT", "/blobs/uploads/", "cut-upload", times=2, after=1_000_000))
    sent = push(source, "app:1", f"{broken.host}/{pushed}-cut:1", options=options)
    assert sent.moved >= 3_000_000
    assert pull(store, f"{broken.host}/{pushed}-cut:1").image.digest == sent.digest


def test_a_busy_upload_is_tried_again(source: ImageStore, broken: Front, pushed: str, options: Options) -> None:
    for method in ("HEAD", "POST", "PUT"):
        broken.faults.append(Fault(method, "/blobs/", "status", times=2))
    broken.faults.append(Fault("PUT", "/manifests/", "status", times=2, status=500))
    assert push(source, "app:1", f"{broken.host}/{pushed}-busy:1", options=options).moved > 3_000_000


def test_a_registry_that_never_takes_it(source: ImageStore, broken: Front, pushed: str, options: Options) -> None:
    broken.faults.append(Fault("PUT", "/blobs/uploads/", "status", times=999))
    with pytest.raises(errors.RegistryUnavailableError):
        push(source, "app:1", f"{broken.host}/{pushed}-never:1", options=options)
    assert broken.count("PUT", "/manifests/") == 0


def test_a_registry_that_resumes_gets_the_rest() -> None:
    from overlaykit.image import Descriptor
    from overlaykit.image.registry._blobs import Upload
    from overlaykit.image.registry._client import Client

    data = bytes(range(256)) * 8000
    kept = bytearray()
    ranges: list[str] = []

    class Resuming(Quiet):
        def post(self) -> None:
            self.answer(202, Location="/v2/r/blobs/uploads/1")

        def put(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if length and not kept:
                kept.extend(self.rfile.read(500_000))
                self.close_connection = True
                return
            kept.extend(self.rfile.read(length))
            self.answer(201)

        def patch(self) -> None:
            ranges.append(self.headers["Content-Range"])
            kept.extend(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(202, Location="/v2/r/blobs/uploads/3")

        def get(self) -> None:
            if self.path.endswith("/v2/"):
                self.answer(200)
                return
            self.send_response(204)
            self.send_header("Range", f"0-{len(kept) - 1}")
            self.send_header("Location", "/v2/r/blobs/uploads/2")
            self.send_header("Connection", "close")
            self.end_headers()

    def opened(offset: int) -> io.BytesIO:
        return io.BytesIO(data[offset:])

    with serving(Resuming) as host:
        client = Client(host, "r", Options(sleep=lambda _: None), push=True)
        descriptor = Descriptor.of("application/octet-stream", data)
        Upload(client, descriptor, opened, lambda _: None).run()
        client.close()
    assert bytes(kept) == data
    assert ranges == [f"500000-{len(data) - 1}"]


def test_nobody_is_there(store: ImageStore, options: Options, waits: list[float]) -> None:
    with pytest.raises(errors.RegistryUnavailableError, match="connection refused") as caught:
        pull(store, f"127.0.0.1:{free_port()}/app", options=options)
    assert len(waits) == 5
    assert "\n" not in str(caught.value)


def test_somebody_who_says_nothing(store: ImageStore, options: Options) -> None:
    impatient = replace(options, timeout=0.2, retries=0)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(errors.RegistryUnavailableError, match="no progress"),
    ):
        pull(store, f"127.0.0.1:{server.getsockname()[1]}/app", options=impatient)


@pytest.mark.parametrize("status", [403, 405, 501])
def test_what_cannot_say_whether_it_has_a_blob_gets_it(
    source: ImageStore, broken: Front, pushed: str, options: Options, status: int
) -> None:
    """As stores behind a registry, whose signed addresses are good for GET alone."""

    class Store(Quiet):
        def head(self) -> None:
            self.answer(status)

    with serving(Store) as elsewhere:
        to_there = {"Location": f"http://{elsewhere}/signed"}
        broken.faults.append(Fault("HEAD", "/blobs/", "status", times=99, status=307, headers=to_there))
        assert push(source, "app:1", f"{broken.host}/{pushed}-head:1", options=options).moved > 3_000_000


def test_an_upload_is_redirected_with_its_method(
    source: ImageStore, registry: str, broken: Front, pushed: str, options: Options
) -> None:
    class Moved(Quiet):
        """A registry that is at another place now."""

        def go(self) -> None:
            if self.path == "/v2/":
                self.answer(200)
                return
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(308, Location=f"http://{registry}{self.path}")

        get = head = post = put = patch = go

    with serving(Moved) as host:
        sent = push(source, "app:1", f"{host}/{pushed}-moved:1", options=options)
    assert sent.moved > 3_000_000
    assert broken.requests == []


_REDIRECTS = {
    "loop": "/v2/app/manifests/1",
    "nowhere": "",
    "file": "file:///etc/passwd",
    "plain": "http://registry.invalid/x",
    "user": "http://a:b@127.0.0.1/x",
    "port": "https://127.0.0.1:999999/x",
    "brackets": "https://[::1/x",
}


@pytest.mark.parametrize("kind", sorted(_REDIRECTS))
def test_redirects_that_are_not_followed(store: ImageStore, options: Options, kind: str) -> None:
    class Redirecting(Quiet):
        def get(self) -> None:
            if self.path == "/v2/":
                self.answer(200)
            else:
                self.answer(307, Location=_REDIRECTS[kind])

    with serving(Redirecting) as host, pytest.raises(errors.RegistryError, match=r"redirects more|not safe"):
        pull(store, f"{host}/app:1", options=options)


_ANSWERS: dict[str, tuple[str, bytes, type[Exception]]] = {
    "html": ("text/html", b"<html><body>Log in</body></html>", errors.RegistryError),
    "no json": ("application/octet-stream", b"\x00\x01", errors.ImageFormatError),
    "damaged": ("application/vnd.oci.image.manifest.v1+json", b'{"schemaVersion": 2, ', errors.ImageFormatError),
    "deep": ("application/json", b"[" * 100_000, errors.ImageFormatError),
    "huge": ("application/json", b" " * 200_001, errors.LimitError),
    "schema 1": ("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}", errors.MediaTypeError),
    "schema 1 untold": ("application/json", b'{"schemaVersion": 1, "fsLayers": []}', errors.MediaTypeError),
    "strange": ("application/vnd.cncf.helm+json", b'{"mediaType": "x"}', errors.MediaTypeError),
}


@pytest.mark.parametrize("kind", sorted(_ANSWERS))
def test_answers_that_are_no_manifests(store: ImageStore, options: Options, kind: str) -> None:
    content_type, body, error = _ANSWERS[kind]

    class Strange(Quiet):
        def get(self) -> None:
            self.answer(200, body, Content_Type=content_type)

    with serving(Strange) as host, pytest.raises(error) as caught:
        pull(store, f"{host}/app:1", options=options, limits=Limits(document=200_000))
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_authorization_stays_with_the_registry(store: ImageStore, broken: Front, pushed: str) -> None:
    """Blobs come from another host, which must not learn what the registry knows us by."""
    from overlaykit.image.registry import Credentials

    secret = "s3cret-of-the-tests"
    told: list[str] = []
    lock = threading.Lock()

    class Redirecting(Quiet):
        def get(self) -> None:
            with lock:
                told.append(self.headers.get("Authorization", ""))
            if "Authorization" not in self.headers:
                self.answer(401, WWW_Authenticate='Basic realm="r"')
            else:
                self.answer(307, Location=f"http://{broken.host}{self.path}")

    with serving(Redirecting) as host:
        options = Options(credentials=Credentials("me", secret))
        pull(store, f"{host}/{pushed}:1", options=options)
    assert any(told)
    assert broken.requests
    assert not [one for one in broken.requests if "Authorization" in one[2]]
