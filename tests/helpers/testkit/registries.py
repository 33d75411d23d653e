"""A real registry on loopback, a token server, and a front that breaks what passes through it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from testkit.loops import need_tool
from testkit.waits import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Fault", "Front", "Tokens", "free_port", "front", "run_registry", "serving", "signing_key", "token_server"]


def free_port() -> int:
    """Return a port of loopback that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def run_registry(path: Path, *, auth: str = "", tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Run ``docker-registry`` over a directory while the body runs.

    :param auth: YAML for its ``auth`` key, indented by two.
    :param tls: certificate and key.
    :returns: its host and port.
    """
    program = need_tool("docker-registry")
    path.mkdir(parents=True, exist_ok=True)
    port = free_port()
    more = f"  tls:\n    certificate: {tls[0]}\n    key: {tls[1]}\n" if tls else ""
    (path / "config.yml").write_text(
        f"version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n"
        f"storage:\n  filesystem:\n    rootdirectory: {path}/data\n  delete:\n    enabled: true\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{more}" + (f"auth:\n{auth}" if auth else "")
    )
    with (path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(path / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((path / "log").read_text())
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: that clients go away is what these tests are about."""


@contextlib.contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on loopback while the body runs."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    """Writes no log, and ends each connection, so that its thread ends too."""

    timeout = PATIENCE

    def __getattr__(self, name: str) -> Any:
        """Find the method for a request, ``get`` for ``do_GET``."""
        if name.startswith("do_"):
            return getattr(self, name[3:].lower())
        raise AttributeError(name)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@dataclass
class Fault:
    """Something that goes wrong.

    :param method: of the requests that it happens to.
    :param part: what is in their path.
    :param action: ``status``, ``cut`` or ``truncate`` (the answer's body), ``corrupt``, ``slow``, ``cut-upload``, or
        ``header``, which sets some.
    :param times: to how many.
    """

    method: str
    part: str
    action: str
    times: int = 1
    status: int = 503
    after: int = 100_000
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Front:
    """A front of a registry.

    :param host: its host and port.
    :param faults: what goes wrong next; taken off as it happens.
    :param requests: method, path and headers of what came.
    """

    host: str
    faults: list[Fault]
    requests: list[tuple[str, str, dict[str, str]]]

    def count(self, method: str, part: str) -> int:
        """Return how many requests there were."""
        return sum(one[0] == method and part in one[1] for one in self.requests)

    def headers(self, method: str, part: str) -> list[dict[str, str]]:
        """Return their headers."""
        return [one[2] for one in self.requests if one[0] == method and part in one[1]]


@contextlib.contextmanager
def front(registry: str) -> Iterator[Front]:
    """Put a front before a registry while the body runs."""
    faults: list[Fault] = []
    requests: list[tuple[str, str, dict[str, str]]] = []
    lock = threading.Lock()

    def next_fault(method: str, path: str) -> Fault | None:
        with lock:
            for fault in faults:
                if fault.method == method and fault.part in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    class Handler(Quiet):
        def forward(self) -> None:
            self.close_connection = True
            requests.append((self.command, self.path, dict(self.headers)))
            fault = next_fault(self.command, self.path)
            if fault is not None and fault.action == "status":
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(fault.status, b'{"errors": [{"code": "X", "message": "no"}]}', **fault.headers)
                return
            length = int(self.headers.get("Content-Length", 0))
            upstream = http.client.HTTPConnection(registry, timeout=PATIENCE)
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders()
                sent = min(fault.after, length) if fault is not None and fault.action == "cut-upload" else length
                left = sent
                while left and (piece := self.rfile.read(min(left, 65536))):
                    upstream.send(piece)
                    left -= len(piece)
                if fault is not None and fault.action == "cut-upload":
                    time.sleep(0.1)
                    return
                self.give(upstream.getresponse(), fault)
            finally:
                upstream.close()

        def give(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
            body = answer.read()
            action = fault.action if fault is not None else ""
            if action == "truncate":
                body = body[:-10]
            if action == "corrupt":
                body = body[:-10] + bytes(255 - one for one in body[-10:])
            self.send_response(answer.status)
            told = dict(answer.getheaders())
            told.update(fault.headers if fault is not None else {})
            for name, value in told.items():
                if name.lower() not in ("content-length", "connection", "date", "transfer-encoding"):
                    self.send_header(name, value)
            size = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            if answer.status != 204:
                self.send_header("Content-Length", size)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is not None and action in ("cut", "slow"):
                self.wfile.write(body[: fault.after])
                self.wfile.flush()
                if action == "slow":
                    # Until the client goes away.
                    with contextlib.suppress(OSError):
                        self.connection.settimeout(PATIENCE)
                        self.connection.recv(1)
                return
            self.wfile.write(body)

        get = head = put = post = patch = delete = forward

    with serving(Handler) as host:
        yield Front(host, faults, requests)


@dataclass
class Tokens:
    """A token server.

    :param realm: its address.
    :param asked: queries and forms that it got, and the header ``Authorization``.
    """

    realm: str
    asked: list[tuple[dict[str, list[str]], str]]
    seconds: int = 300


def signing_key(path: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback that signs itself, and its key."""
    program = need_tool("openssl")
    certificate, key = path / "cert.pem", path / "key.pem"
    subprocess.run(
        [
            *(program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextlib.contextmanager
def token_server(certificate: Path, key: Path, allow: Callable[[str, str, str], bool]) -> Iterator[Tokens]:
    """Run a server of the tokens that ``docker-registry`` takes, while the body runs.

    :param allow: is given name, password and refresh token.
    """
    program = need_tool("openssl")
    asked: list[tuple[dict[str, list[str]], str]] = []
    lines = certificate.read_text().splitlines()
    chain = ["".join(line for line in lines if not line.startswith("-"))]

    def token(scopes: list[str]) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {"iss": "tests", "sub": "", "aud": "registry", "exp": now + 300, "nbf": now - 5, "iat": now}
        parts = ({"typ": "JWT", "alg": "RS256", "x5c": chain}, {**claims, "jti": "1", "access": access})
        text = b".".join(_encode(json.dumps(part).encode()) for part in parts)
        signed = subprocess.run(
            [program, "dgst", "-sha256", "-sign", str(key)], input=text, check=True, capture_output=True
        )
        return (text + b"." + _encode(signed.stdout)).decode()

    class Handler(Quiet):
        def get(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            told = self.headers.get("Authorization", "")
            asked.append((query, told))
            name, _, password = base64.b64decode(told.removeprefix("Basic ")).decode().partition(":")
            self.decide(allow(name, password, ""), query)

        def post(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked.append((form, self.headers.get("Authorization", "")))
            scopes = form["scope"][0].split()
            self.decide(allow("", "", form["refresh_token"][0]), {"scope": scopes})

        def decide(self, allowed: bool, query: dict[str, list[str]]) -> None:
            if not allowed:
                self.answer(401, b'{"details": "incorrect username or password"}')
                return
            document = {"token": token(query.get("scope", [])), "expires_in": tokens.seconds}
            self.answer(200, json.dumps(document).encode())

    tokens = Tokens("", asked)
    with serving(Handler) as host:
        tokens.realm = f"http://{host}/token"
        yield tokens


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
