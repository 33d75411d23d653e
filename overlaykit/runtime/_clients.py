"""The supervisor's side of a connection: what a client asked for, and what is still to be sent to it."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import selectors
import socket
from typing import TYPE_CHECKING, Any, cast

from ._control import LARGEST, receive_with_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Client", "parse_request"]

_MOST_QUEUED = 8 * 1024 * 1024
"""Bytes that an attached client may lag behind: the container never waits for one that does not read."""

_BEHIND = 256 * 1024
"""Bytes that wait for one that nothing may be lost for, until the container waits for it."""

_LAST_WORDS = 1.0
"""Seconds that a client has at the end to read what was sent to it."""


class Client:
    """A connection.

    :param connection: non-blocking.
    :param request: called with each message and the descriptors that came with it, which are its own.
    :param gone: called once, when the connection has ended from the other side or was given up.
    :param lossless: it gets everything, however slowly it reads.
    """

    def __init__(
        self,
        connection: socket.socket,
        selector: selectors.BaseSelector,
        request: Callable[[Client, bytes, list[int]], None],
        gone: Callable[[Client], None],
        *,
        lossless: bool = False,
    ) -> None:
        self.socket = connection
        self.role = ""
        self.lossless = lossless
        self._selector = selector
        self._request = request
        self._gone = gone
        self._queue: collections.deque[bytes] = collections.deque()
        self._queued = 0
        self._events = selectors.EVENT_READ
        self._paused = False
        self.closed = False
        selector.register(connection, self._events, self._ready)

    @property
    def behind(self) -> bool:
        """Whether more should not be sent to it before it has read."""
        return self.lossless and self._queued > _BEHIND

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message as soon as it can be; with descriptors, at once.

        :raises OSError: with descriptors, and that cannot be.
        """
        data = json.dumps(message).encode()
        if descriptors:
            socket.send_fds(self.socket, [data], list(descriptors))
        else:
            self.send_bytes(data)

    def send_bytes(self, packet: bytes) -> None:
        """Send a packet as soon as it can be; who does not read is let go."""
        if self.closed:
            return
        self._queue.append(packet)
        self._queued += len(packet)
        self._write()
        if self._queued > _MOST_QUEUED and not self.lossless:
            self.close()
            self._gone(self)

    def nudge(self) -> None:
        """Send a packet that says nothing but that there is something, unless one waits already."""
        if not self.closed:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self.socket.send(b".")

    def pause(self, paused: bool) -> None:
        """Hear, or do not hear for now, what it sends."""
        if not self.closed and paused != self._paused:
            self._paused = paused
            self._watch()

    def finish(self, message: Mapping[str, Any] | None = None) -> None:
        """Send a last message and all that waits, and close."""
        if self.closed:
            return
        if message is not None:
            self._queue.append(json.dumps(message).encode())
        self.socket.settimeout(None if self.lossless else _LAST_WORDS)
        with contextlib.suppress(OSError):  # it went away, or does not read
            while self._queue:
                self.socket.send(self._queue.popleft())
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            self.closed = True
            if self._events:
                self._selector.unregister(self.socket)
            self.socket.close()

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and not self.closed:
            self._read()

    def _read(self) -> None:
        try:
            data, descriptors = receive_with_descriptors(self.socket)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            for one in descriptors:
                os.close(one)
            self.close()
            self._gone(self)
            return
        self._request(self, data, descriptors)

    def _write(self) -> None:
        try:
            while self._queue:
                self.socket.send(self._queue[0])
                self._queued -= len(self._queue.popleft())
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._queue.clear()  # its end will be read
        self._watch()

    def _watch(self) -> None:
        wanted = (0 if self._paused else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._queue else 0)
        if wanted == self._events:
            return
        if not wanted:
            self._selector.unregister(self.socket)
        elif self._events:
            self._selector.modify(self.socket, wanted, self._ready)
        else:
            self._selector.register(self.socket, wanted, self._ready)
        self._events = wanted


def parse_request(data: bytes, descriptors: list[int]) -> dict[str, Any]:
    """Return the message of a packet; one that came as a file is read, and its descriptor taken away.

    :raises ValueError: it is none.
    """
    message = json.loads(data)
    if isinstance(message, dict) and message.get("file") is True and descriptors:
        with os.fdopen(descriptors.pop(0), "rb") as file:
            file.seek(0)
            message = json.loads(file.read())
    elif len(data) > LARGEST:
        raise ValueError("the message is too long")
    if not isinstance(message, dict):
        raise ValueError("the message is no object")
    return cast("dict[str, Any]", message)
