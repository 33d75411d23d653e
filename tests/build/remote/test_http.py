"""ADD of files by HTTP, from servers that are well, and from such that are not."""

from __future__ import annotations

import base64
import hashlib
import threading
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from testkit.registries import Quiet, serving

from overlaykit import errors, open_store
from overlaykit.build._control import Control, StoppedError
from overlaykit.build.remote import Downloads
from overlaykit.image.registry import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit.build import BuildStore

CONTENT = b"content of the file\n" * 100
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclass
class Server:
    """What a server does next, and what it was asked.

    :param answers: taken off one by one; without any it gives the file.
    """

    host: str = ""
    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Callable[[Quiet], None]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    conditions: bool = True

    def give(self, request: Quiet) -> None:
        """Answer as a good server does."""
        for name, condition in (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")):
            if self.conditions and name in self.headers and request.headers.get(condition) == self.headers[name]:
                request.answer(304)
                return
        request.answer(200, self.content, **{name.replace("-", "_"): value for name, value in self.headers.items()})


def status(code: int, **headers: str) -> Callable[[Quiet], None]:
    return lambda request: request.answer(code, b"no", **headers)


def cut(request: Quiet) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[:500])


def drop(request: Quiet) -> None:
    request.connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()

    class Handler(Quiet):
        def get(self) -> None:
            one.asked.append({"path": self.path, **self.headers})
            action = one.answers.pop(0) if one.answers else one.give
            action(self)
            self.close_connection = True

    with serving(Handler) as host:
        one.host = f"http://{host}"
        yield one


@pytest.fixture
def store() -> Iterator[BuildStore]:
    with open_store(driver="memory") as store:
        yield store


@dataclass
class Getter:
    store: BuildStore
    said: list[str] = field(default_factory=list)

    def __call__(self, address: str, checksum: str | None = None, **options: Any) -> tuple[str, bytes, int]:
        """Fetch as one build does, and return name, content and time."""
        self.said.clear()
        options.setdefault("sleep", lambda _: None)
        downloads = Downloads(self.store.content, self.store.build_downloads, Options(**options), Control())
        try:
            found = downloads.get(address, checksum, self.said.append)
        finally:
            downloads.close()
        return found.name, self.store.content.read(found.digest, 1 << 30), found.modified


@pytest.fixture
def get(store: BuildStore) -> Getter:
    return Getter(store)


def test_a_file_has_its_name_and_its_time(server: Server, get: Getter) -> None:
    server.headers["Last-Modified"] = MODIFIED
    assert get(f"{server.host}/a%20file?x=/y") == ("a file", CONTENT, 1445412480)
    assert get.said == ["2000/2000 bytes", "2000/2000 bytes"]
    del server.headers["Last-Modified"]
    assert get(f"{server.host}/other") == ("other", CONTENT, 0)


@pytest.mark.parametrize(("name", "value"), [("ETag", '"one"'), ("Last-Modified", MODIFIED)])
def test_what_is_here_is_asked_for_only_where_it_changed(server: Server, get: Getter, name: str, value: str) -> None:
    server.headers[name] = value
    first = get(f"{server.host}/x")
    assert get(f"{server.host}/x") == first
    assert get.said == []
    condition = "If-None-Match" if name == "ETag" else "If-Modified-Since"
    assert [one.get(condition) for one in server.asked] == [None, value]
    server.headers[name] = '"two"' if name == "ETag" else "Thu, 22 Oct 2015 07:28:00 GMT"
    server.content = b"new"
    assert get(f"{server.host}/x")[1] == b"new"
    assert get(f"{server.host}/x")[1] == b"new"
    assert len(server.asked) == 4


def test_a_server_that_heeds_no_condition_sends_only_what_is_new(server: Server, get: Getter) -> None:
    server.headers["ETag"] = 'W/"one"'
    server.conditions = False
    get(f"{server.host}/x")
    assert get(f"{server.host}/x")[1] == CONTENT
    assert get.said == []
    server.headers.clear()
    server.content = b"new"
    assert get(f"{server.host}/x")[1] == b"new"


def test_what_was_collected_is_fetched_again(server: Server, get: Getter) -> None:
    server.headers["ETag"] = '"one"'
    get(f"{server.host}/x")
    get.store.prune()
    assert get(f"{server.host}/x")[1] == CONTENT
    assert get.said == []
    get.store.content.remove(DIGEST)
    assert get(f"{server.host}/x")[1] == CONTENT
    assert get.said
    get.store.prune(build_cache=True)
    assert not get.store.content.exists(DIGEST)
    assert get.store.build_downloads.records() == []


def test_with_a_checksum_nobody_is_asked_for_what_is_here(server: Server, get: Getter) -> None:
    server.headers["ETag"] = '"one"'
    get(f"{server.host}/x", DIGEST)
    get(f"{server.host}/x", DIGEST)
    assert len(server.asked) == 1


def test_a_wrong_checksum_is_told_and_nothing_is_kept(server: Server, get: Getter) -> None:
    server.headers["ETag"] = '"one"'
    wrong = "sha256:" + "0" * 64
    with pytest.raises(errors.BuildError, match=f"/x has the digest {DIGEST} and should have {wrong}"):
        get(f"{server.host}/x", wrong)
    assert not get.store.content.exists(DIGEST)
    assert get.store.build_downloads.records() == []
    get(f"{server.host}/x")
    with pytest.raises(errors.BuildError, match="and should have"):
        get(f"{server.host}/x", wrong)
    for name in ("sha384", "sha512"):
        assert get(f"{server.host}/{name}", f"{name}:{hashlib.new(name, CONTENT).hexdigest()}")[1] == CONTENT
        with pytest.raises(errors.BuildError, match=f"should have {name}:00"):
            get(f"{server.host}/{name}", f"{name}:{'0' * hashlib.new(name).digest_size * 2}")


@pytest.mark.parametrize("fault", [status(500), status(503, Retry_After="1"), status(429), cut, drop])
def test_what_may_pass_is_tried_again(server: Server, get: Getter, fault: Callable[[Quiet], None]) -> None:
    server.answers = [fault, fault]
    assert get(f"{server.host}/x")[1] == CONTENT
    assert len(server.asked) == 3
    assert sum("trying again" in word for word in get.said) == 2


@pytest.mark.parametrize(
    ("fault", "tries", "message"),
    [
        (status(404), 1, "the server says 404 Not Found; check the address"),
        (status(403), 1, "the server says 403"),
        (status(500), 3, "the server says 500"),
        (cut, 3, "cannot be fetched: the connection was cut|reset"),
        (drop, 3, "cannot be fetched: "),
        (status(204), 1, "the server says 204"),
        (status(302), 1, "sends us to nothing that is HTTP"),
        (status(302, Location="file:///etc/passwd"), 1, "sends us to nothing that is HTTP"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    server: Server, get: Getter, fault: Callable[[Quiet], None], tries: int, message: str
) -> None:
    server.answers = [fault] * 10
    with pytest.raises(errors.BuildError, match=message) as raised:
        get(f"{server.host}/x", retries=2)
    assert "\n" not in str(raised.value)
    assert len(server.asked) == tries
    assert list(get.store.content.walk()) == []


def test_redirects_are_followed_to_an_end(server: Server, get: Getter) -> None:
    server.answers = [status(301, Location="/two"), status(308, Location=f"{server.host}/three")]
    assert get(f"{server.host}/one")[:2] == ("one", CONTENT)
    assert [one["path"] for one in server.asked] == ["/one", "/two", "/three"]
    server.answers = [status(302, Location="/again")] * 20
    with pytest.raises(errors.BuildError, match="leads on more than 10 times"):
        get(f"{server.host}/loop")


def test_nobody_there_is_told(server: Server, get: Getter) -> None:
    with serving(Quiet) as gone:
        pass
    with pytest.raises(errors.BuildError, match=r"cannot be fetched: connection refused"):
        get(f"http://{gone}/x", retries=1)


def test_a_server_that_stalls_is_given_up(server: Server, get: Getter) -> None:
    wait = threading.Event()

    def stall(request: Quiet) -> None:
        cut(request)
        request.wfile.flush()
        wait.wait(30)

    server.answers = [stall]
    try:
        with pytest.raises(errors.BuildError, match="no progress for too long"):
            get(f"{server.host}/x", retries=0, timeout=0.2)
    finally:
        wait.set()


def test_who_asks_is_told_to_the_server_that_was_named_alone(server: Server, get: Getter) -> None:
    other = Server()

    class Handler(Quiet):
        def get(self) -> None:
            other.asked.append({**self.headers})
            self.answer(404)

    told = "Basic " + base64.b64encode(b"me:s3cret").decode()
    with serving(Handler) as host:
        server.answers = [status(302, Location="/two"), status(302, Location=f"http://{host}/x")]
        with pytest.raises(errors.BuildError) as raised:
            get(server.host.replace("://", "://me:s3cret@") + "/one")
    assert "s3cret" not in str(raised.value)
    assert [one["Authorization"] for one in server.asked] == [told, told]
    assert "Authorization" not in other.asked[0]


def test_a_large_file_takes_little_memory(server: Server, get: Getter) -> None:
    piece = b"x" * (1 << 20)

    def large(request: Quiet) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(64 << 20))
        request.end_headers()
        for _ in range(64):
            request.wfile.write(piece)

    server.answers = [large]
    downloads = Downloads(get.store.content, get.store.build_downloads, Options(), Control())
    tracemalloc.start()
    try:
        found = downloads.get(f"{server.host}/large", None, lambda _: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        downloads.close()
    assert get.store.content.size(found.digest) == 64 << 20
    assert peak < 16 << 20


def test_a_build_that_ends_ends_a_download_at_once(server: Server, store: BuildStore) -> None:
    begun, wait = threading.Event(), threading.Event()

    def stall(request: Quiet) -> None:
        cut(request)
        begun.set()
        wait.wait(30)

    server.answers = [stall]
    control = Control()
    downloads = Downloads(store.content, store.build_downloads, Options(timeout=300), control)
    raised: list[BaseException] = []

    def fetch() -> None:
        try:
            downloads.get(f"{server.host}/x", None, lambda _: None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    try:
        assert begun.wait(30)
        control.stop()
        thread.join(30)
        assert not thread.is_alive()
    finally:
        wait.set()
        thread.join()
        downloads.close()
    assert [type(error) for error in raised] == [StoppedError]
