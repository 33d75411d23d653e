"""How commands talk to the supervisor of a container: messages over a socket in the container's state directory.

Each message is one packet (``SOCK_SEQPACKET``, unix(7)): a JSON object, or, once a connection is attached, a letter and
bytes. Who may open the store's directory may connect. A connection that a supervisor accepted ends with the supervisor,
however that ends, so waiting for an answer needs no clock.
"""

from __future__ import annotations

import array
import json
import os
import socket

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

__all__ = ["LARGEST", "Connection", "error_from_json", "error_to_json", "listen", "receive_with_descriptors"]

LARGEST = 64 * 1024
"""Bytes of one message; what is larger travels as a file."""

_DESCRIPTORS = 8

_SOCKET = "control"


def listen(directory: Path) -> socket.socket:
    """Make the socket of a state directory; one that a killed supervisor left is replaced."""
    (directory / _SOCKET).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with _short(directory) as path:
            made.bind(path)
        made.listen(64)
    except BaseException:
        made.close()
        raise
    return made


class Connection:
    """A connection to a supervisor.

    :raises RunError: there is none: the container does not run.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            with _short(directory) as path:
                self.socket.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            self.socket.close()
            raise errors.RunError(f"the container {name!r} is not running: start it with overlaykit start") from None
        except BaseException:
            self.socket.close()
            raise

    @classmethod
    def over(cls, connected: socket.socket) -> Connection:
        """Return one over a socket that is connected already, and becomes its own."""
        made = cls.__new__(cls)
        made.socket = connected
        return made

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; a large one goes as a file in memory."""
        data = json.dumps(message).encode()
        if len(data) <= LARGEST:
            self._send(data, descriptors)
            return
        with os.fdopen(os.memfd_create("message"), "wb") as file:
            file.write(data)
            file.flush()
            self._send(b'{"file": true}', [file.fileno(), *descriptors])

    def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        try:
            if descriptors:
                socket.send_fds(self.socket, [data], list(descriptors))
            else:
                self.socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has ended; what it said last may still be read

    def receive(self) -> dict[str, Any] | None:
        """Wait for a message.

        :returns: ``None`` where the supervisor has ended, or let the connection go, without a word.
        :raises OSError: the error that it tells of.
        """
        data = self.receive_bytes()
        if not data:
            return None
        message: dict[str, Any] = json.loads(data)
        if "error" in message:
            raise error_from_json(message["error"])
        return message

    def receive_bytes(self) -> bytes:
        """Wait for a packet; an empty one is the end."""
        try:
            return self.socket.recv(2 * LARGEST)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def receive_with_descriptors(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Receive a packet with the descriptors that came with it, which are the caller's, and closed on exec.

    :raises BlockingIOError: there is none.
    """
    size = array.array("i").itemsize * _DESCRIPTORS
    data, ancillary, _, _ = connection.recvmsg(2 * LARGEST, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, list(found)


def error_to_json(error: BaseException) -> dict[str, Any]:
    """Return an error as a message has it."""
    made: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.RunError):
        made["exit_code"] = error.exit_code
    return made


def error_from_json(document: Mapping[str, Any]) -> errors.OverlaykitError:
    """Return the error that a message tells of, of the kind that it was where that needs no more than a message."""
    message = str(document.get("message", ""))
    kind = getattr(errors, str(document.get("kind")), errors.RunError)
    if kind is errors.RunError:
        return errors.RunError(message, exit_code=int(document.get("exit_code", 125)))
    try:
        made = kind(message)
    except TypeError:
        return errors.RunError(message)
    return made if isinstance(made, errors.OverlaykitError) else errors.RunError(message)


class _short:  # noqa: N801 -- a context manager, used like a function
    """A path of a directory's socket that fits into the 108 bytes of an address, however long the directory's is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> str:
        self._descriptor = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{_SOCKET}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
