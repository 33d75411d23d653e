"""Blobs from and to a registry: gone on with where the connection broke."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlencode, urlsplit

from ... import errors
from ._client import connection_errors
from ._errors import reason, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3
    from _typeshed import WriteableBuffer

    from .._model import Descriptor
    from ._client import Client

__all__ = ["BlobReader", "Upload", "has_blob"]

_ENOUGH = 1 << 20
_CHUNK = 32 << 20
_SMALLEST_CHUNK = 512 << 10
_SLOWEST_COMMIT = 5_000_000
"""Bytes a second that a registry puts away at least, once it has them; some copy them once more."""

_NO_ANSWER = frozenset((400, 403, 405, 501))
_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/.*)?")


def has_blob(client: Client, digest: str) -> bool:
    """Ask whether the repository has a blob; where the registry cannot say, it has none."""
    try:
        response = client.request("HEAD", client.url(f"blobs/{digest}"), expect=(200, 404), what=f"blob {digest}")
    except errors.RegistryAccessError:
        raise
    except errors.RegistryError as error:
        # Stores that a registry redirects to may take signed addresses for GET alone.
        if error.status in _NO_ANSWER:
            return False
        raise
    client.done(response)
    return response.status == 200


class BlobReader(io.RawIOBase):
    """A blob as it comes. Where the connection breaks, it is asked for from there on (RFC 9110, 14: ``Range``).

    It gives what comes; whoever reads checks size and digest.

    :param offset: where to begin.
    """

    def __init__(self, client: Client, descriptor: Descriptor, offset: int = 0) -> None:
        super().__init__()
        self._client = client
        self._descriptor = descriptor
        self._at = offset
        self._failed = 0
        self._good_at = offset
        self._response: urllib3.BaseHTTPResponse | None = None
        if offset < descriptor.size or descriptor.size == 0:
            self._connect()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what comes next."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view)) or b""
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """Read what comes next, up to some bytes."""
        if size < 0:
            return self.readall()
        while size and self._response is not None:
            try:
                data = self._response.read1(size)
            except connection_errors() as error:
                self._broken(error)
                continue
            if data:
                self._at += len(data)
                return data
            self._done()
        return b""

    def close(self) -> None:
        """Stop reading."""
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    def _done(self) -> None:
        if self._response is not None:
            self._response.release_conn()
            self._response = None

    def _broken(self, error: Exception) -> None:
        assert self._response is not None
        self._response.close()
        self._response = None
        if self._at - self._good_at >= _ENOUGH:
            self._failed = 0
        self._good_at = self._at
        if self._failed >= self._client.options.retries:
            raise unavailable(self._client.registry, reason(error)) from None
        self._client.wait(self._failed)
        self._failed += 1
        self._connect()

    def _connect(self) -> None:
        digest = self._descriptor.digest
        while True:
            headers = {"Range": f"bytes={self._at}-"} if self._at else {}
            response = self._client.request(
                "GET",
                self._client.url(f"blobs/{digest}"),
                headers=headers,
                expect=(200, 206, 416),
                what=f"blob {digest}",
            )
            if response.status == 416:
                self._client.done(response)
                return
            try:
                self._skip(response)
            except connection_errors() as error:
                response.close()
                if self._failed >= self._client.options.retries:
                    raise unavailable(self._client.registry, reason(error)) from None
                self._client.wait(self._failed)
                self._failed += 1
                continue
            except BaseException:
                response.close()
                raise
            self._response = response
            return

    def _skip(self, response: urllib3.BaseHTTPResponse) -> None:
        start = 0
        if response.status == 206:
            found = _RANGE.match(response.headers.get("Content-Range", ""))
            start = int(found[1]) if found else self._at
        if start > self._at:
            response.close()
            raise errors.RegistryError(
                f"the registry {self._client.registry} gives another part of the blob {self._descriptor.digest} than "
                "was asked for: ask who runs it"
            )
        while start < self._at:
            piece = response.read(min(_ENOUGH, self._at - start))
            if not piece:
                return
            start += len(piece)


class _Counted(io.RawIOBase):
    """A file on its way out that tells how much of it went."""

    def __init__(self, file: BinaryIO, size: int, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._left = size
        self._tell = tell

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes."""
        data = self._file.read(min(self._left, _ENOUGH if size < 0 else size))
        self._left -= len(data)
        self._tell(len(data))
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class Upload:
    """One blob on its way to a registry (distribution specification, "Pushing blobs").

    :param open: opens the blob from an offset on.
    :param tell: is called with the bytes of the blob that are there.
    """

    def __init__(
        self,
        client: Client,
        descriptor: Descriptor,
        open: Callable[[int], BinaryIO],
        tell: Callable[[int], None],
    ) -> None:
        self._client = client
        self._descriptor = descriptor
        self._open = open
        self._tell = tell
        self._sent = 0
        self._at = 0
        self._chunk = 0
        self._shortest = 0

    def run(self, mount_from: str = "") -> int:
        """Send it, or have it mounted from another repository of the registry.

        :returns: bytes that were sent.
        """
        location = self._begin(mount_from)
        if location is None:
            return 0
        failed = 0
        while True:
            try:
                self._send(location)
                return self._sent
            except _TooLargeError as error:
                # Something before the registry takes only so much in one request.
                self._chunk = max(min(error.tried // 2, _CHUNK), self._shortest)
                if self._chunk < _SMALLEST_CHUNK or error.tried <= self._chunk:
                    raise error.failure from None
                location = self._begin("") or location
                continue
            except _BrokenError as error:
                if failed >= self._client.options.retries:
                    raise error.failure from None
                self._client.wait(failed)
                failed += 1
            location = self._resume(location) or self._begin("") or location

    def _begin(self, mount_from: str) -> str | None:
        """Return where to send it, ``None`` where it is there now."""
        self._at = 0
        query = ""
        if mount_from:
            query = "?" + urlencode({"mount": self._descriptor.digest, "from": mount_from})
        url = self._client.url(f"blobs/uploads/{query}")
        try:
            response = self._client.request(
                "POST", url, headers={"Content-Length": "0"}, expect=(201, 202), what=self._what, mount_from=mount_from
            )
        except (errors.RegistryError, errors.NotFoundError) as error:
            if not mount_from or isinstance(error, errors.RegistryUnavailableError):
                raise
            return self._begin("")
        self._client.done(response)
        shortest = response.headers.get("OCI-Chunk-Min-Length", "")
        self._shortest = int(shortest[:12]) if shortest.isascii() and shortest.isdigit() else 0
        if response.status == 201:
            if mount_from:
                return None
            raise errors.RegistryError(f"the registry {self._client.registry} took a blob that was not sent yet")
        return self._client.location(url, response.headers.get("Location", ""))

    @property
    def _what(self) -> str:
        return f"upload to {self._client.repository}"

    def _send(self, location: str) -> None:
        size = self._descriptor.size
        if not self._at and not self._chunk:
            self._finish(location, {"Content-Type": "application/octet-stream", "Content-Length": str(size)}, size)
            return
        while self._at < size:
            begun = self._at
            count = min(self._chunk or size, size - begun)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(count),
                "Content-Range": f"{begun}-{begun + count - 1}",
            }
            location = self._client.location(location, self._ask("PATCH", location, headers, count, (201, 202, 204)))
        self._finish(location, {"Content-Length": "0"}, None)

    def _finish(self, location: str, headers: dict[str, str], count: int | None) -> None:
        mark = "&" if urlsplit(location).query else "?"
        digest = urlencode({"digest": self._descriptor.digest})
        self._ask("PUT", f"{location}{mark}{digest}", headers, count, (200, 201, 204))

    def _ask(self, method: str, url: str, headers: dict[str, str], count: int | None, expect: tuple[int, ...]) -> str:
        """Send some bytes, from where it stands on.

        :param count: bytes; ``None`` for no body.
        :returns: where to go on.
        """
        files: list[_Counted] = []
        begun = self._at

        def body() -> BinaryIO:
            assert count is not None
            self._at = begun
            files.append(_Counted(self._open(begun), count, self._count))
            return cast("BinaryIO", files[-1])

        try:
            response = self._client.request(
                method,
                url,
                headers=headers,
                body=None if count is None else body,
                expect=expect,
                what=self._what,
                retries=0,
                patience=self._client.options.timeout + self._descriptor.size / _SLOWEST_COMMIT,
            )
            self._client.done(response)
        except (errors.RegistryAccessError, errors.DigestMismatchError):
            raise
        except (errors.RegistryUnavailableError, errors.NotFoundError) as error:
            raise _BrokenError(error) from None
        except errors.RegistryError as error:
            if error.status == 413 and count:
                raise _TooLargeError(error, count) from None
            # Some end a session that was cut, and say so as a bad range or as an upload that is not valid.
            if begun or error.status == 416:
                raise _BrokenError(error) from None
            raise
        finally:
            for file in files:
                file.close()
        return str(response.headers.get("Location", "") or url)

    def _count(self, count: int) -> None:
        self._sent += count
        self._at += count
        self._tell(self._at)

    def _resume(self, location: str) -> str | None:
        """Ask how far it came; return where to go on, ``None`` where only a new beginning helps."""
        with contextlib.suppress(errors.RegistryError, errors.NotFoundError):
            response = self._client.request("GET", location, expect=(204,), what=self._what, retries=1)
            self._client.done(response)
            found = _RANGE.fullmatch(response.headers.get("Range", ""))
            told = response.headers.get("Location", "")
            if found and told and 0 < int(found[2]) < self._descriptor.size:
                self._at = int(found[2]) + 1
                return self._client.location(location, told)
        return None


class _BrokenError(Exception):
    def __init__(self, failure: errors.OverlaykitError) -> None:
        super().__init__()
        self.failure = failure


class _TooLargeError(Exception):
    def __init__(self, failure: errors.OverlaykitError, tried: int) -> None:
        super().__init__()
        self.failure = failure
        self.tried = tried
