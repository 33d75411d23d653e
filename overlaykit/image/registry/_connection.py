"""Connections of urllib3 that give up where next to nothing comes, and that can be cut from outside."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import urllib3
    from _typeshed import WriteableBuffer

__all__ = ["Sockets", "pool_classes"]

_BUFFER = 64 << 10


class Sockets:
    """The open sockets of a client; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._cut = False

    def add(self, one: socket.socket) -> None:
        """Know one more."""
        with self._lock:
            self._open.add(one)
            if self._cut:
                _shut(one)

    def cut(self) -> None:
        """End whatever comes or goes on them, now and from now on."""
        with self._lock:
            self._cut = True
            for one in self._open:
                _shut(one)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class _Watched(io.RawIOBase):
    """What comes on a connection, headers too; an error where it trickles.

    Only time spent waiting for the other side counts, and not that before the first byte, which has a limit of its own.

    :param patience: seconds of waiting after which it is decided.
    :param slowest: bytes a second that must have come.
    """

    def __init__(self, raw: io.RawIOBase, patience: float, slowest: float) -> None:
        super().__init__()
        self._raw = raw
        self._patience = patience
        self._slowest = slowest
        self._waited = 0.0
        self._came = 0
        self._begun = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read what comes next.

        :raises TimeoutError: too little came for too long.
        """
        start = time.monotonic()
        count = self._raw.readinto(buffer)
        if self._begun:
            self._waited += time.monotonic() - start
            self._came += count or 0
            if self._waited >= self._patience:
                if self._came < self._slowest * self._waited:
                    raise TimeoutError("trickling")
                self._waited, self._came = 0.0, 0
        self._begun = True
        return cast("int | None", count)

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._raw.close()
        super().close()


def pool_classes(
    sockets: Sockets, patience: float, slowest: float, *, verify: bool
) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return pools of such connections, for a pool manager.

    :param verify: whether certificates are checked; where not, that was asked for and nobody is warned.
    """
    import urllib3
    import urllib3.connection

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
            super().__init__(sock, *arguments, **named)
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_Watched(raw, patience, slowest), _BUFFER)

    class Plain(urllib3.connection.HTTPConnection):
        response_class = Response

        def connect(self) -> None:
            super().connect()
            sockets.add(cast("socket.socket", self.sock))

    class Secure(urllib3.connection.HTTPSConnection):
        response_class = Response

        def connect(self) -> None:
            super().connect()
            sockets.add(cast("socket.socket", self.sock))
            if not verify:
                self.is_verified = True

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
