"""Requests to one registry: tried again where that can help, with what proves who asks, redirected without it."""

from __future__ import annotations

import contextlib
import email.utils
import random
import threading
import time
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit

from ... import errors
from ._auth import Challenge, TokenCache, parse_challenges, read_token, token_form
from ._credentials import find_credentials
from ._errors import access_error, certificate_refused, reason, status_error, unavailable
from ._http import Http, is_loopback, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import urllib3

    from ._credentials import Credentials
    from ._options import Options

__all__ = ["Client", "connection_errors"]

_HOSTS = {"docker.io": "registry-1.docker.io"}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SAME_METHOD = frozenset((307, 308))
_MOST_REDIRECTS = 5
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_LARGEST_ERROR = 64 << 10
_LARGEST_TOKEN = 1 << 20


class Client:
    """A registry; thread-safe.

    :param registry: its host and port, as a reference has it.
    :param repository: the repository that is read or written.
    :param push: whether it is written.
    """

    def __init__(self, registry: str, repository: str, options: Options, *, push: bool = False) -> None:
        self.registry = registry
        self.repository = repository
        self.options = options
        self.actions = "pull,push" if push else "pull"
        self._host = _HOSTS.get(registry, registry)
        self._loopback = is_loopback(self._host)
        self._http = Http(options)
        self._stopped = threading.Event()
        self._lock = threading.RLock()
        self._tokens = TokenCache()
        self._challenge: Challenge | None = None
        self._credentials = options.credentials
        self._looked_up = options.credentials is not None
        self._refused: errors.RegistryAccessError | None = None
        self._base = ""

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def stop(self) -> None:
        """End what is under way in other threads, and let nothing begin any more."""
        self._stopped.set()
        self._http.cut()

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> str:
        """The address of the registry, found out at the first use."""
        with self._lock:
            if not self._base:
                self._base = self._find_base()
            return self._base

    def url(self, path: str) -> str:
        """Return the address of something in the repository."""
        return f"{self.base}/v2/{self.repository}/{path}"

    def request(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        what: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], bytes | BinaryIO] | None = None,
        mount_from: str = "",
        retries: int | None = None,
        patience: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Ask, and return an answer of an expected status, whose body is still to be read.

        :param what: what is asked for, for messages.
        :param body: makes the body, anew for each try.
        :param mount_from: another repository that is read too.
        :param retries: how often to try again; as the options say where that is ``None``.
        :param patience: seconds until the answer begins; as everything else where that is ``None``.
        :raises NotFoundError: the registry does not have it.
        :raises RegistryAccessError: it refuses.
        :raises RegistryUnavailableError: it does not answer, after all tries.
        :raises RegistryError: it answers with anything else.
        """
        left = self.options.retries if retries is None else retries
        tries = 0
        while True:
            response = None
            failed: errors.OverlaykitError
            try:
                response = self._authorized(method, url, headers or {}, body, mount_from, what, patience)
                if response.status in expect:
                    return response
                data = self.read(response, _LARGEST_ERROR)
                failed = status_error(self.registry, response.status, data, response.headers, what, self.secrets())
                again = response.status in _AGAIN
            except _TokenServerBusyError as busy:
                failed, again, response = busy.failure, True, busy.response
            except connection_errors() as error:
                failed, again = unavailable(self.registry, reason(error)), not certificate_refused(error)
            if not again or tries >= left or self._stopped.is_set():
                raise failed from None
            self.wait(tries, response)
            tries += 1

    def wait(self, tries: int, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait before the next try: longer each time, never all clients at once, as long as the registry says."""
        seconds = min(0.25 * 2**tries, self.options.longest_wait) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
        told = _retry_after(response.headers.get("Retry-After", "")) if response is not None else None
        (self.options.sleep or self._stopped.wait)(min(max(seconds, told or 0.0), self.options.longest_wait))
        if self._stopped.is_set():
            raise unavailable(self.registry, "all of it was ended") from None

    def read(self, response: urllib3.BaseHTTPResponse, most: int) -> bytes:
        """Return the body of an answer, at most so many bytes and one more, and let go of the connection."""
        data = bytearray()
        try:
            while len(data) <= most and (piece := response.read(most + 1 - len(data))):
                data += piece
        except BaseException:
            response.close()
            raise
        if len(data) > most:
            response.close()
        else:
            response.release_conn()
        return bytes(data)

    def done(self, response: urllib3.BaseHTTPResponse) -> None:
        """Let go of an answer that has said all with its status."""
        with contextlib.suppress(*connection_errors()):
            self.read(response, 0)

    def secrets(self) -> list[str]:
        """Return what no message may have in it."""
        return [*(self._credentials.secrets if self._credentials else ()), *self._tokens.secrets()]

    # -- the ways there --------------------------------------------------------------------------------------------

    def _find_base(self) -> str:
        """Choose between HTTPS and HTTP; nothing is sent yet that proves who asks."""
        secure, plain = f"https://{self._host}", f"http://{self._host}"
        if self.options.ca is not None or not (self._loopback or self.options.insecure):
            return secure
        order = (plain, secure) if self._loopback else (secure, plain)
        tries = 0
        while True:
            last: errors.OverlaykitError | None = None
            for base in order:
                try:
                    response = self._http.request("GET", f"{base}/v2/", {})
                    data = self.read(response, _LARGEST_ERROR)
                except connection_errors() as error:
                    if last is None or certificate_refused(error):
                        last = unavailable(self.registry, reason(error))
                    continue
                # A server of HTTPS says this to HTTP; whatever else it says, it speaks the protocol.
                if response.status == 400 and b"HTTPS" in data:
                    continue
                return base
            if tries >= self.options.retries:
                raise last or unavailable(self.registry, "it speaks neither HTTP nor HTTPS")
            self.wait(tries)
            tries += 1

    def _authorized(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes | BinaryIO] | None,
        mount_from: str,
        what: str,
        patience: float | None,
    ) -> urllib3.BaseHTTPResponse:
        scopes = [f"repository:{self.repository}:{self.actions}"]
        if mount_from:
            scopes.append(f"repository:{mount_from}:pull")
        told = self._authorization(scopes)
        response, answered = self._redirected(method, url, headers, body, told, patience)
        home = origin(self.base)
        if response.status == 401 and origin(answered) == home:
            self.read(response, _LARGEST_ERROR)
            self._challenge = self._choose(response.headers.get("WWW-Authenticate", ""), what)
            self._tokens.drop(scopes, told.partition(" ")[2])
            told = self._authorization(scopes)
            response, answered = self._redirected(method, url, headers, body, told, patience)
        # What others say, to whom we are redirected, is nothing that a login could mend.
        if response.status in (401, 403) and origin(answered) == home:
            self.read(response, _LARGEST_ERROR)
            known = self._look_up() is not None
            raise self._refused or access_error(self.registry, response.status, known=known, what=what)
        return response

    def _redirected(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes | BinaryIO] | None,
        authorization: str,
        patience: float | None,
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Return the answer, and the address that it came from."""
        for _ in range(_MOST_REDIRECTS + 1):
            sent = {"User-Agent": "overlaykit", "Accept-Encoding": "identity", **headers}
            # Whoever else is asked must not learn what the registry knows us by.
            if authorization and origin(url) == origin(self.base):
                sent["Authorization"] = authorization
            response = self._http.request(method, url, sent, None if body is None else body(), patience)
            if response.status not in (_REDIRECTS if method in ("GET", "HEAD") else _SAME_METHOD):
                return response, url
            self.read(response, _LARGEST_ERROR)
            url = self.location(url, response.headers.get("Location", ""))
        raise errors.RegistryError(
            f"the registry {self.registry} redirects more than {_MOST_REDIRECTS} times: ask who runs it"
        )

    def location(self, url: str, told: str) -> str:
        """Return where the registry sends us.

        :raises RegistryError: nowhere, or to where it must not.
        """
        target = _joined(url, told)
        if not told or not self._safe(target):
            raise errors.RegistryError(
                f"the registry {self.registry} sends us to an address that is not safe or none: ask who runs it"
            )
        # What is on this machine is nothing for the registries of others to choose.
        if is_loopback(urlsplit(target).netloc) and not self._loopback:
            raise errors.RegistryError(f"the registry {self.registry} sends us to this machine itself: ask who runs it")
        return target

    def _safe(self, url: str) -> bool:
        """Tell whether an address that the registry names may be used: HTTPS; HTTP where it is used anyway."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return False
        plain = parts.scheme == "http" and self.base.startswith("http:")
        plain = plain and (is_loopback(parts.netloc) or self.options.insecure)
        return bool(host) and "@" not in parts.netloc and (plain or parts.scheme == "https")

    # -- who asks --------------------------------------------------------------------------------------------------

    def _look_up(self) -> Credentials | None:
        with self._lock:
            if not self._looked_up:
                self._looked_up = True
                try:
                    self._credentials = find_credentials(self.registry, self.repository)
                except errors.RegistryAccessError as error:
                    # What is for everybody is to be had without; for the rest this is why there are none.
                    self._refused = error
            return self._credentials

    def _choose(self, header: str, what: str) -> Challenge:
        known = {one.scheme: one for one in reversed(parse_challenges(header))}
        for scheme in ("bearer", "basic"):
            if scheme in known:
                return known[scheme]
        found = self._look_up() is not None
        raise self._refused or access_error(self.registry, 401, known=found, what=what)

    def _authorization(self, scopes: list[str]) -> str:
        challenge = self._challenge
        if challenge is None:
            return ""
        credentials = self._look_up()
        if challenge.scheme == "basic":
            return credentials.basic if credentials is not None and credentials.username else ""
        if credentials is not None and credentials.token:
            return f"Bearer {credentials.token}"
        # One asks for a token, and the others wait for it.
        with self._lock:
            token = self._tokens.get(scopes)
            if token is None:
                token, seconds = self._fetch_token(challenge, scopes)
                self._tokens.put(scopes, token, seconds)
        return f"Bearer {token}"

    def _fetch_token(self, challenge: Challenge, scopes: list[str]) -> tuple[str, float]:
        realm = challenge.parameters.get("realm", "")
        if not self._safe(realm):
            raise errors.RegistryError(
                f"the registry {self.registry} names a token server that is not safe to ask: ask who runs it"
            )
        if is_loopback(urlsplit(realm).netloc) and not self._loopback:
            raise errors.RegistryError(f"the registry {self.registry} names this machine as its token server")
        host = urlsplit(realm).netloc
        service = challenge.parameters.get("service", "")
        credentials = self._look_up()
        response = self._ask_for_token(realm, service, scopes, credentials)
        data = self.read(response, _LARGEST_TOKEN)
        if response.status in (400, 401, 403):
            refused = access_error(self.registry, response.status, known=credentials is not None, what=self.repository)
            raise self._refused or refused
        if response.status != 200:
            failed = status_error(host, response.status, data, response.headers, "token", self.secrets())
            if response.status in _AGAIN:
                raise _TokenServerBusyError(failed, response)
            raise failed
        return read_token(host, data)

    def _ask_for_token(
        self, realm: str, service: str, scopes: list[str], credentials: Credentials | None
    ) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": "overlaykit", "Accept": "application/json"}
        if credentials is not None and credentials.identity:
            form = urlencode(token_form(credentials, service, scopes)).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._http.request("POST", realm, {**headers, **kind}, form)
            # Some know no other way than the older one; then a name has a password too.
            if response.status not in (404, 405) or not credentials.password:
                return response
            self.read(response, _LARGEST_ERROR)
        if credentials is not None and credentials.username:
            headers["Authorization"] = credentials.basic
        asked = [("service", service)] if service else []
        query = urlencode([*asked, *(("scope", scope) for scope in scopes)])
        mark = "&" if urlsplit(realm).query else "?"
        return self._http.request("GET", f"{realm}{mark}{query}", headers)


class _TokenServerBusyError(Exception):
    def __init__(self, failure: errors.OverlaykitError, response: urllib3.BaseHTTPResponse) -> None:
        super().__init__()
        self.failure = failure
        self.response = response


def connection_errors() -> tuple[type[Exception], ...]:
    """Return what a broken connection is told by."""
    import urllib3.exceptions

    return (urllib3.exceptions.HTTPError, ConnectionAbortedError, ConnectionResetError, BrokenPipeError, TimeoutError)


def _joined(url: str, told: str) -> str:
    try:
        return urljoin(url, told)
    except ValueError:
        return ""


def _retry_after(text: str) -> float | None:
    """Read the header (RFC 9110, 10.2.3): seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
