"""``RUN --mount=type=ssh``: an SSH agent's socket in a container, behind which the caller's agent signs and no more."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from .. import errors
from ._scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..image import ImageStore

__all__ = ["Agent", "forwarded"]

Agent = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]
"""An agent: the path of its socket; or the paths of private keys, several as a tuple."""

_LISTS, _SIGNS = 11, 13
"""SSH_AGENTC_REQUEST_IDENTITIES and SSH_AGENTC_SIGN_REQUEST (draft-miller-ssh-agent, 6.1): as in BuildKit, no more."""

_REFUSED = b"\0\0\0\1\x05"
"""SSH_AGENT_FAILURE."""

_LARGEST = 256 << 10
"""Bytes of a message, as OpenSSH has it."""

_SECONDS = 60


@contextlib.contextmanager
def forwarded(store: ImageStore, id: str, agent: Agent, mode: int, owner: tuple[int, int]) -> Iterator[Path]:
    """Have a socket behind which an agent answers.

    :param id: of the agent, for messages.
    :param mode: of the socket.
    :param owner: of the socket, where that is possible.
    :raises BuildError: there is no agent, or a key cannot be read.
    """
    with contextlib.ExitStack() as held:
        upstream = held.enter_context(_upstream(store, id, agent))
        place = held.enter_context(scratch_directory(store))
        listener = held.enter_context(socket.socket(socket.AF_UNIX))
        with _short(place / "agent") as name:
            listener.bind(name)
        (place / "agent").chmod(mode)
        with contextlib.suppress(PermissionError):
            os.chown(place / "agent", *owner)
        listener.listen()
        held.enter_context(_Relay(listener, upstream))
        yield place / "agent"


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Have a name for a socket that fits into an address (unix(7): 108 bytes)."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextlib.contextmanager
def _upstream(store: ImageStore, id: str, agent: Agent) -> Iterator[Path]:
    from pathlib import Path

    paths = [Path(one) for one in (agent if isinstance(agent, tuple) else (agent,))]
    for path in paths:
        if not path.exists():
            raise errors.BuildError(f"the SSH agent {id!r}: there is no {path}: give a socket or private keys")
    if len(paths) == 1 and paths[0].is_socket():
        yield paths[0]
        return
    with _key_agent(store, id, paths) as made:
        yield made


@contextlib.contextmanager
def _key_agent(store: ImageStore, id: str, keys: Sequence[Path]) -> Iterator[Path]:
    """Run an agent that has some keys. It ends with this process, however that ends."""
    programs = [shutil.which(name) for name in ("ssh-agent", "ssh-add", "sh")]
    if None in programs:
        raise errors.BuildError(
            f"the SSH agent {id!r} is to be made of keys, and there is no program ssh-agent here: install OpenSSH's "
            "client, or give the socket of an agent"
        )
    agent, add, shell = (program or "" for program in programs)
    with scratch_directory(store) as place:
        process = subprocess.Popen(
            # The agent ends after the program that it runs, and that where its input does.
            [agent, "-a", "own", shell, "-c", "echo $SSH_AGENT_PID; exec cat"],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        number = 0
        try:
            assert process.stdout is not None
            number = int(process.stdout.readline() or b"0")
            for key in keys:
                said = subprocess.run(
                    [add, "-q", os.path.abspath(key)],
                    cwd=place,
                    env={**os.environ, "SSH_AUTH_SOCK": "own", "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_SECONDS,
                    start_new_session=True,  # without a terminal that it could ask for a passphrase
                )
                if said.returncode:
                    lines = said.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
                    raise errors.BuildError(
                        f"the SSH agent {id!r}: the key {key} cannot be taken: {lines[-1][:200]}; give a private key "
                        "without a passphrase, or the socket of an agent"
                    )
            yield place / "own"
        finally:
            if number:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGTERM)
            process.communicate()


class _Relay:
    """Passes messages on, a thread a connection, while it is a context manager."""

    def __init__(self, listener: socket.socket, upstream: Path) -> None:
        self._listener = listener
        self._upstream = upstream
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = False
        self._threads = [threading.Thread(target=self._accept, name="overlaykit-ssh")]

    def __enter__(self) -> _Relay:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            for one in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # it was shut down
            with self._lock:
                if self._ended:
                    client.close()
                    return
                self._open.add(client)
                thread = threading.Thread(target=self._serve, args=(client,), name="overlaykit-ssh")
                self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as agent:
            try:
                with _short(self._upstream) as name:
                    agent.connect(name)
                with self._lock:
                    self._open.add(agent)
                while (message := _message(client)) is not None:
                    answer: bytes | None = _REFUSED
                    if message[4] in (_LISTS, _SIGNS):
                        agent.sendall(message)
                        answer = _message(agent)
                    if answer is None:
                        return
                    client.sendall(answer)
            finally:
                with self._lock:
                    self._open -= {client, agent}


def _message(one: socket.socket) -> bytes | None:
    """Return the next message with its length, ``None`` where there is none any more."""
    head = _exactly(one, 4)
    length = int.from_bytes(head, "big")
    if len(head) < 4 or not 0 < length <= _LARGEST:
        return None
    body = _exactly(one, length)
    return head + body if len(body) == length else None


def _exactly(one: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := one.recv(count - len(data))):
        data += piece
    return data
