"""Who asks: Basic and Bearer against a real registry, credentials from where other programs keep them, never shown."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest
from testkit.loops import need_tool
from testkit.registries import Quiet, Tokens, run_registry, serving, signing_key, token_server

from overlaykit import errors
from overlaykit.image.registry import Credentials, Options, find_credentials, pull, push, tags
from overlaykit.image.registry._auth import parse_challenges
from overlaykit.image.registry._client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.image import ImageStore

NAME = "someone"
SECRET = "pass:word-of-tests"
IDENTITY = "identity-of-tests"


def write_config(path: Path, document: object) -> None:
    (path / "docker").mkdir(exist_ok=True)
    (path / "docker" / "config.json").write_text(json.dumps(document))


def auth(name: str = NAME, secret: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{secret}".encode()).decode()}


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with htpasswd."""
    path = tmp_path_factory.mktemp("basic")
    line = subprocess.run(
        [need_tool("htpasswd"), "-nbB", NAME, SECRET], check=True, capture_output=True, timeout=30
    ).stdout
    (path / "htpasswd").write_bytes(line)
    with run_registry(path, auth=f"  htpasswd:\n    realm: tests\n    path: {path}/htpasswd\n") as host:
        yield host


@pytest.fixture(scope="module")
def bearer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Tokens]]:
    """A registry with tokens, and the server that gives them."""
    path = tmp_path_factory.mktemp("bearer")
    certificate, key = signing_key(path)

    def allow(name: str, password: str, identity: str) -> bool:
        return (name, password) == (NAME, SECRET) or identity == IDENTITY

    with token_server(certificate, key, allow) as tokens:
        settings = {"realm": tokens.realm, "service": "registry", "issuer": "tests", "rootcertbundle": certificate}
        lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
        with run_registry(path / "registry", auth=f"  token:\n{lines}") as host:
            yield host, tokens


@pytest.fixture
def tokens(bearer: tuple[str, Tokens]) -> Tokens:
    bearer[1].asked.clear()
    return bearer[1]


def test_basic(source: ImageStore, store: ImageStore, basic: str, tmp_path: Path) -> None:
    write_config(tmp_path, {"auths": {basic: auth()}})
    push(source, "app:1", f"{basic}/app:1")
    assert pull(store, f"{basic}/app:1").image.layers == 3


def test_bearer(
    source: ImageStore, store: ImageStore, bearer: tuple[str, Tokens], tokens: Tokens, tmp_path: Path
) -> None:
    host = bearer[0]
    write_config(tmp_path, {"auths": {f"https://{host}/v1/": auth()}})
    push(source, "app:1", f"{host}/app:1", options=Options(parallel=1))
    assert len(tokens.asked) == 1
    assert tokens.asked[0][0]["scope"] == ["repository:app:pull,push"]
    assert pull(store, f"{host}/app:1").image.layers == 3
    assert tokens.asked[-1][0]["scope"] == ["repository:app:pull"]
    store.tag(f"{host}/app:1", f"{host}/other:1")
    sent = push(store, f"{host}/app:1", f"{host}/third:1")
    assert sent.moved == 0
    assert ["repository:third:pull,push", "repository:app:pull"] in [one[0]["scope"] for one in tokens.asked]


def test_an_identity_token(source: ImageStore, bearer: tuple[str, Tokens], tokens: Tokens, tmp_path: Path) -> None:
    write_config(tmp_path, {"auths": {bearer[0]: {"identitytoken": IDENTITY}}})
    push(source, "app:1", f"{bearer[0]}/identity:1")
    assert tokens.asked[0][0]["grant_type"] == ["refresh_token"]
    assert tokens.asked[0][1] == ""


def test_tokens_that_are_over_are_asked_for_anew(
    source: ImageStore, bearer: tuple[str, Tokens], tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "seconds", 1)
    options = Options(credentials=Credentials(NAME, SECRET), parallel=1)
    push(source, "app:1", f"{bearer[0]}/short:1", options=options)
    assert len(tokens.asked) > 3


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("known", ["none", "wrong"])
def test_refusals_show_no_secret(
    source: ImageStore,
    store: ImageStore,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    known: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    found = request.getfixturevalue(kind)
    host = found if isinstance(found, str) else found[0]
    wrong = Credentials(NAME, "wrong-secret")
    options = Options(credentials=wrong if known == "wrong" else None)
    for call in (
        lambda: pull(store, f"{host}/app:1", options=options),
        lambda: push(source, "app:1", f"{host}/app:1", options=options),
    ):
        with pytest.raises(errors.RegistryAccessError, match="refuses" if known == "wrong" else "wants") as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(options) + repr(wrong)
        assert "wrong-secret" not in shown
        assert wrong.basic.partition(" ")[2] not in shown
        assert "\n" not in str(caught.value)


def test_a_message_that_echoes_the_secret(store: ImageStore) -> None:
    class Echo(Quiet):
        def get(self) -> None:
            told = self.headers.get("Authorization", "")
            if self.path != "/v2/" and not told:
                self.answer(401, WWW_Authenticate='Basic realm="r"')
                return
            secret = base64.b64decode(told.removeprefix("Basic ")).decode()
            body = json.dumps({"errors": [{"code": "X", "message": f"{told}\n{secret}"}]}).encode()
            self.answer(200 if self.path == "/v2/" else 418, body)

    with serving(Echo) as host, pytest.raises(errors.RegistryError) as caught:
        pull(store, f"{host}/app:1", options=Options(credentials=Credentials(NAME, SECRET)))
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert Credentials(NAME, SECRET).basic.partition(" ")[2] not in shown
    assert "***" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "realm",
    [
        "http://tokens.invalid/token",
        "file:///etc/passwd",
        "",
        "http://a:b@127.0.0.1/",
        "https://[::1/",
        "https://a:99999",
    ],
)
def test_credentials_go_to_no_strange_realm(store: ImageStore, realm: str) -> None:
    class Malicious(Quiet):
        def get(self) -> None:
            self.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')

    options = Options(credentials=Credentials(NAME, SECRET), retries=0)
    with serving(Malicious) as host, pytest.raises(errors.RegistryError, match="token server that is not safe"):
        pull(store, f"{host}/app:1", options=options)


def test_no_registry_elsewhere_sends_us_to_this_machine() -> None:
    client = Client("registry.example", "app", Options())
    with pytest.raises(errors.RegistryError, match="this machine itself"):
        client.location("https://registry.example/v2/", "https://localhost/x")
    with pytest.raises(errors.RegistryError, match="not safe"):
        client.location("https://registry.example/v2/", "http://registry.example/x")
    assert client.base == "https://registry.example"
    client.close()


def test_docker_hub() -> None:
    client = Client("docker.io", "library/debian", Options())
    assert client.url("manifests/12") == "https://registry-1.docker.io/v2/library/debian/manifests/12"
    client.close()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"token": 5}', b'{"token": "a\\r\\nb"}'])
def test_a_token_server_that_gives_none(store: ImageStore, body: bytes) -> None:
    class Bad(Quiet):
        def get(self) -> None:
            if self.path.startswith("/token"):
                self.answer(200, body)
            else:
                realm = f"http://{self.headers['Host']}/token"
                self.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')

    with serving(Bad) as host, pytest.raises(errors.RegistryError, match="gives no token"):
        pull(store, f"{host}/app:1")


def test_one_token_for_all_threads(source: ImageStore, bearer: tuple[str, Tokens], tokens: Tokens) -> None:
    push(source, "app:2", f"{bearer[0]}/once:1", options=Options(credentials=Credentials(NAME, SECRET), parallel=4))
    assert len(tokens.asked) == 1


@pytest.mark.parametrize("kind", ["registrytoken", "identitytoken"])
def test_tokens_of_docker_config(tmp_path: Path, kind: str) -> None:
    write_config(tmp_path, {"auths": {"r.example": {kind: IDENTITY}}})
    found = find_credentials("r.example")
    assert found is not None
    assert (found.token, found.identity) == ((IDENTITY, "") if kind == "registrytoken" else ("", IDENTITY))
    assert IDENTITY not in repr(found)
    assert IDENTITY in found.secrets


class Public(Quiet):
    """A registry whose token server gives tokens for everything but one repository, and is asked in some ways."""

    busy = 0
    old_fashioned = False
    asked: ClassVar[list[tuple[str, str]]] = []

    def token(self) -> None:
        cls = type(self)
        told = self.headers.get("Authorization", "")
        cls.asked.append((self.command, told))
        if cls.busy:
            cls.busy -= 1
            self.answer(503, Retry_After="3")
        elif self.command == "POST" and cls.old_fashioned:
            self.answer(404)
        elif "private" in self.path and not told:
            self.answer(401)
        else:
            self.answer(200, b'{"token": "for-everybody"}')

    def post(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.token()

    def get(self) -> None:
        if self.path.startswith("/token"):
            self.token()
        elif self.headers.get("Authorization", "").startswith("Bearer "):
            self.answer(200, b'{"tags": ["a"]}')
        else:
            self.answer(401, WWW_Authenticate=f'Bearer realm="http://{self.headers["Host"]}/token"')


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Public, "asked", [])
    monkeypatch.setattr(Public, "busy", 0)
    monkeypatch.setattr(Public, "old_fashioned", False)
    with serving(Public) as host:
        yield host


def test_a_token_server_that_is_busy(
    public: str, monkeypatch: pytest.MonkeyPatch, options: Options, waits: list[float]
) -> None:
    monkeypatch.setattr(Public, "busy", 2)
    assert tags(f"{public}/app", options=options) == ["a"]
    assert waits == [3.0, 3.0]
    monkeypatch.setattr(Public, "busy", 99)
    with pytest.raises(errors.RegistryUnavailableError, match="cannot give token now"):
        tags(f"{public}/app", options=options)


def test_a_token_server_of_the_older_way(public: str, monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    monkeypatch.setattr(Public, "old_fashioned", True)
    both = Credentials(NAME, SECRET, IDENTITY)
    assert tags(f"{public}/app", options=replace(options, credentials=both)) == ["a"]
    assert Public.asked == [("POST", ""), ("GET", both.basic)]


def test_a_token_that_is_sent_as_it_is(public: str, options: Options) -> None:
    assert tags(f"{public}/app", options=replace(options, credentials=Credentials(token="t"))) == ["a"]
    assert Public.asked == []


def test_a_helper_that_is_missing_is_in_the_way_of_what_is_private_alone(
    public: str, tmp_path: Path, options: Options
) -> None:
    write_config(tmp_path, {"credsStore": "not-installed"})
    assert tags(f"{public}/app", options=options) == ["a"]
    with pytest.raises(errors.RegistryAccessError, match="docker-credential-not-installed cannot be run"):
        tags(f"{public}/private", options=options)


def test_challenges() -> None:
    text = 'Basic realm="a, b", Bearer realm="https://t/\\"x",service=s , scope="r:a:pull,push", Negotiate'
    found = parse_challenges(text)
    assert [one.scheme for one in found] == ["basic", "bearer", "negotiate"]
    assert found[0].parameters == {"realm": "a, b"}
    assert found[1].parameters == {"realm": 'https://t/"x', "service": "s", "scope": "r:a:pull,push"}
    assert parse_challenges("=,,=") == []


def test_where_credentials_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_credentials("r.example") is None
    write_config(
        tmp_path,
        {
            "auths": {
                "r.example": auth("all"),
                "r.example/team": auth("team"),
                "https://index.docker.io/v1/": auth("hub"),
                "empty.example": {},
            }
        },
    )

    def name(registry: str, repository: str = "") -> str:
        found = find_credentials(registry, repository)
        return found.username if found is not None else ""

    assert name("r.example", "x/app") == "all"
    assert name("r.example", "team/app") == "team"
    assert name("docker.io", "library/debian") == "hub"
    assert name("empty.example") == ""
    assert name("other.example") == ""
    runtime = tmp_path / "run"
    (runtime / "containers").mkdir(parents=True)
    (runtime / "containers" / "auth.json").write_text(json.dumps({"auths": {"r.example": auth("podman")}}))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert name("r.example", "team/app") == "podman"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential helper, ``docker-credential-tests``."""
    program = tmp_path / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nread -r server\ncase $server in\n"
        f"""name.example) echo '{{"ServerURL": "x", "Username": "{NAME}", "Secret": "{SECRET}"}}' ;;\n"""
        f"""token.example) echo '{{"ServerURL": "x", "Username": "<token>", "Secret": "{IDENTITY}"}}' ;;\n"""
        f"bad.example) echo '{SECRET}' ;;\n"
        f"failing.example) echo '{SECRET}'; exit 3 ;;\n"
        "*) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.usefixtures("helper")
@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_helpers(tmp_path: Path, key: str) -> None:
    hosts = ("name.example", "token.example", "bad.example", "failing.example", "none.example")
    write_config(tmp_path, {key: "tests" if key == "credsStore" else dict.fromkeys(hosts, "tests")})
    assert find_credentials("name.example") == Credentials(NAME, SECRET)
    assert find_credentials("token.example") == Credentials(identity=IDENTITY)
    assert find_credentials("none.example") is None
    for host in ("bad.example", "failing.example"):
        with pytest.raises(errors.RegistryAccessError, match="docker-credential-tests") as caught:
            find_credentials(host)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        "[]",
        '{"auths": {"r.example": {"auth": "%%%"}}}',
        '{"auths": {"r.example": {"auth": "bm9jb2xvbg=="}}}',
        '{"credHelpers": {"r.example": "../../bin/sh"}}',
        '{"credHelpers": {"r.example": "not-installed"}}',
    ],
)
def test_damaged_files(tmp_path: Path, text: str) -> None:
    write_config(tmp_path, {})
    (tmp_path / "docker" / "config.json").write_text(text)
    with pytest.raises(errors.RegistryAccessError) as caught:
        find_credentials("r.example")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
