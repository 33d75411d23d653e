"""Files by HTTP: in pieces into the store's blobs, tried again, and asked for only where they may have changed."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import http.client
import random
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from ... import errors
from ...image.registry import Http, Options, connection_errors, reason
from ...values import value_class
from ._address import file_name, without_password
from ._records import DownloadRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from ...store import ContentStore
    from .._control import Control
    from ._records import DownloadRecords

__all__ = ["Download", "Downloads"]

_CHUNK = 1 << 20
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS = 10
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_TOLD = 0.1
"""Seconds between two words of progress."""


@value_class
class Download:
    """A file that is here.

    :param name: what it is called.
    :param digest: of its content, a blob of the store.
    :param modified: seconds since the epoch; 0 where the server tells none, as BuildKit has it, so that the same file
        gives the same layer.
    """

    name: str
    digest: str
    modified: int


class Downloads:
    """Downloads of one build; thread-safe. Closing it closes connections.

    :param content: gets the files.
    :param records: what came before.
    :param options: how to speak with servers: patience, retries, certificates.
    :param control: ends it.
    """

    def __init__(self, content: ContentStore, records: DownloadRecords, options: Options, control: Control) -> None:
        self._content = content
        self._records = records
        self._options = options
        self._control = control
        self._http = Http(options)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._found: dict[tuple[str, str | None], Download] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, address: str, checksum: str | None, tell: Callable[[str], object]) -> Download:
        """Return a file, fetched unless it is here and unchanged; once a build.

        :param checksum: what its digest must be, as ``sha256:...``: with that of a file that is here nobody is asked.
        :param tell: gets words of progress.
        :raises BuildError: it cannot be had, or is another one.
        :raises StoreFullError: there is no room for it.
        """
        with self._lock:
            lock = self._locks.setdefault(address, threading.Lock())
        with lock, self._control.ending(self._end):
            try:
                if (address, checksum) not in self._found:
                    self._found[address, checksum] = self._get(address, checksum, tell)
            except connection_errors() as error:
                raise errors.BuildError(
                    f"{without_password(address)} cannot be fetched: {reason(error)}; check the address and the network"
                ) from error
            except errors.RegistryError as error:  # a proxy that is none
                raise errors.BuildError(f"{without_password(address)} cannot be fetched: {error}") from error
        found = self._found[address, checksum]
        self._check(address, checksum, found.digest)
        return found

    def _end(self) -> None:
        self._stopped.set()
        self._http.cut()

    def _get(self, address: str, checksum: str | None, tell: Callable[[str], object]) -> Download:
        name = file_name(address)
        known = self._records.find(address)
        if known is not None and (not self._content.exists(known.digest) or not _by_digest(checksum)):
            known = None
        if known is not None and checksum == known.digest:
            return Download(name, known.digest, _seconds(known.modified))
        tries = 0
        while True:
            self._control.check()
            last = tries >= self._options.retries
            told = 0.0
            try:
                answer = self._ask(address, known)
                try:
                    if known is not None and (answer.status == 304 or _same(answer, known)):
                        return Download(name, known.digest, _seconds(known.modified))
                    if answer.status == 200:
                        return self._keep(address, name, answer, checksum, tell)
                    told = _retry_after(answer)
                    if last or answer.status not in _AGAIN:
                        raise errors.BuildError(
                            f"{without_password(address)} cannot be fetched: the server says {answer.status} "
                            f"{http.client.responses.get(answer.status, '')}".rstrip()
                            + "; check the address"
                        )
                    tell(f"the server says {answer.status}; trying again")
                finally:
                    # The rest of what is not wanted may be large.
                    answer.close()
            except connection_errors() as error:
                self._control.check()
                if last or "certificate" in reason(error):
                    raise
                tell(f"{reason(error)}; trying again")
            wait = max(told, min(0.25 * 2**tries, self._options.longest_wait) * random.uniform(0.5, 1))  # noqa: S311
            (self._options.sleep or self._stopped.wait)(min(wait, self._options.longest_wait))
            tries += 1

    def _ask(self, address: str, known: DownloadRecord | None) -> urllib3.BaseHTTPResponse:
        """Send the request, and follow where it leads."""
        headers = {"User-Agent": "overlaykit", "Accept-Encoding": "identity", "Accept": "*/*"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None:
            headers["If-Modified-Since"] = known.modified
        url, own = _split(address)
        home = urlsplit(url)[:2]
        for _ in range(_MOST_REDIRECTS + 1):
            # Who asks is nobody's business but the server's that was named.
            sent = headers | ({"Authorization": own} if own and urlsplit(url)[:2] == home else {})
            answer = self._http.request("GET", url, sent)
            if answer.status not in _REDIRECTS:
                return answer
            where = answer.headers.get("Location", "")
            answer.close()
            url = urljoin(url, where).partition("#")[0]
            if not where or urlsplit(url).scheme not in ("http", "https"):
                raise errors.BuildError(
                    f"{without_password(address)} cannot be fetched: the server sends us to nothing that is HTTP; "
                    "check the address"
                )
        raise errors.BuildError(
            f"{without_password(address)} cannot be fetched: it leads on more than {_MOST_REDIRECTS} times; check the "
            "address"
        )

    def _keep(
        self,
        address: str,
        name: str,
        answer: urllib3.BaseHTTPResponse,
        checksum: str | None,
        tell: Callable[[str], object],
    ) -> Download:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        kind = (checksum or "sha256:").partition(":")[0]
        other = hashlib.new(kind) if kind != "sha256" else None
        done, said = 0, 0.0
        with self._content.ingest() as ingest:
            while piece := answer.read(_CHUNK):
                self._control.check()
                ingest.write(piece)
                if other is not None:
                    other.update(piece)
                done += len(piece)
                if time.monotonic() - said >= _TOLD:
                    said = time.monotonic()
                    tell(f"{done}/{'?' if total is None else total} bytes")
            if total is not None and done != total:
                raise ConnectionResetError("cut off")
            # What is not what it should be is not kept.
            self._check(address, checksum, ingest.digest if other is None else f"{kind}:{other.hexdigest()}")
            digest = ingest.commit()
        tell(f"{done}/{done} bytes")
        etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        if etag or modified:
            self._records.put(DownloadRecord(address, digest, etag, modified))
        return Download(name, digest, _seconds(modified))

    def _check(self, address: str, checksum: str | None, digest: str) -> None:
        if checksum is not None and checksum != digest and checksum.partition(":")[0] == digest.partition(":")[0]:
            raise errors.BuildError(
                f"{without_password(address)} has the digest {digest} and should have {checksum}: check the address "
                "and the checksum"
            )


def _by_digest(checksum: str | None) -> bool:
    """Tell whether what is here can be compared with a checksum without being read."""
    return checksum is None or checksum.startswith("sha256:")


def _split(address: str) -> tuple[str, str]:
    """Return an address without who asks, and what proves that."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit(parts._replace(netloc=host, fragment=""))
    if parts.username is None:
        return bare, ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return bare, "Basic " + base64.b64encode(pair.encode()).decode()


def _same(answer: urllib3.BaseHTTPResponse, known: DownloadRecord) -> bool:
    """Tell whether a whole answer is what is here: not every server heeds the condition."""
    etag = answer.headers.get("ETag", "")
    return answer.status == 200 and bool(etag) and etag.removeprefix("W/") == known.etag.removeprefix("W/")


def _seconds(modified: str) -> int:
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0, int(email.utils.parsedate_to_datetime(modified).timestamp()))
    return 0


def _retry_after(answer: urllib3.BaseHTTPResponse) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() and len(told) < 6 else 0.0
