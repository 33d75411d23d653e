"""Processes of the command line, from one that has imported what every command needs.

Most of what such a process takes is to start an interpreter and to import the same modules again. Those here are forked
from a server that has done so and nothing else: arguments, environment, directory, streams and exit code are as with a
process of its own, and so is what one leaves behind. The first of each command is started for real all the same.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from testkit.leaks import SERVING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Starter", "starting"]

_SERVER = Path(__file__).with_name("_start_server.py")
_OPTIONS = {"cwd", "input"}
_NAMESPACE = "/proc/self/ns/mnt"
_STARTED: set[str] = set()


class Starter:
    """Starts commands.

    :param server: the connection to the server.
    :param environment: the server's.
    """

    def __init__(self, server: socket.socket, environment: Mapping[str, str]) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._start = _at_start(environment), os.readlink(_NAMESPACE)

    def run(
        self, words: Sequence[str | bytes], environment: Mapping[str, str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return its exit code and what it wrote, names that are not UTF-8 surrogate-escaped.

        :param options: as those of :func:`subprocess.run`.
        """
        texts = [os.fsdecode(word) for word in words]
        whole = [sys.executable, "-P", "-m", "overlaykit", *texts]
        if self._may_fork(texts, environment, options):
            with contextlib.ExitStack() as kept:
                streams = self._begin(texts, environment, options, kept)
                data = {"input": options["input"].encode()} if "input" in options else {}
                output, error = _communicate(streams, **data)
                (status,) = struct.unpack("i", streams[3].read())
            return subprocess.CompletedProcess(whole, os.waitstatus_to_exitcode(status), output, error)
        usual = {"env": environment, "capture_output": True, "encoding": "utf-8", "errors": "surrogateescape"}
        done: subprocess.CompletedProcess[str] = subprocess.run(whole, **{**usual, **options})
        return done

    def _may_fork(self, words: list[str], environment: Mapping[str, str], options: Mapping[str, Any]) -> bool:
        if not words or words[0] not in _STARTED:
            _STARTED.update(words[:1])
            return False
        # What a process is given by who starts it must be what the server was given.
        return options.keys() <= _OPTIONS and (_at_start(environment), os.readlink(_NAMESPACE)) == self._start

    def _begin(
        self,
        words: list[str],
        environment: Mapping[str, str],
        options: Mapping[str, Any],
        kept: contextlib.ExitStack,
    ) -> list[IO[bytes]]:
        """Return standard input, output and error from our side, and what will have the status."""
        ours: list[IO[bytes]] = []
        theirs: list[int] = []
        for mode in ("wb", "rb", "rb", "rb"):
            read, write = os.pipe()
            mine, other = (read, write) if mode == "rb" else (write, read)
            ours.append(kept.enter_context(open(mine, mode, 0)))  # noqa: SIM115
            theirs.append(other)
        given = [theirs[0] if "input" in options else 0, *theirs[1:]]
        request = marshal.dumps((words, dict(environment), os.fspath(options.get("cwd", os.getcwd()))))
        try:
            with self._lock:
                socket.send_fds(self._server, [request], given)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return ours


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an interpreter looks at when it starts; the server and all others are told -P."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(("PYTHON", "LANG", "LC_", "TZ")) and name != "PYTHONSAFEPATH"
    }


def _communicate(streams: list[IO[bytes]], input: bytes = b"") -> tuple[str, str]:
    written = {stream.fileno(): bytearray() for stream in streams[1:3]}
    source, left = streams[0].fileno(), memoryview(input)
    with selectors.DefaultSelector() as selector:
        for descriptor in written:
            selector.register(descriptor, selectors.EVENT_READ)
        os.set_blocking(source, False)
        selector.register(source, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select():
                if key.fd == source:
                    try:
                        left = left[os.write(key.fd, left[:65536]) :]
                    except BrokenPipeError:
                        left = left[:0]
                    over = not left
                else:
                    data = os.read(key.fd, 65536)
                    written[key.fd] += data
                    over = not data
                if over:
                    selector.unregister(key.fd)
                    if key.fd == source:
                        streams[0].close()
    output, error = (
        io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape").read()
        for data in written.values()
    )
    return output, error


@contextlib.contextmanager
def starting() -> Iterator[Starter]:
    """Have such a server while the body runs."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OVERLAYKIT_") and name not in ("PYTHONPATH", "PYTHONSAFEPATH")
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            words = [sys.executable, "-P", os.fspath(_SERVER), str(theirs.fileno())]
            server = subprocess.Popen(words, env=environment, pass_fds=(theirs.fileno(),))
        SERVING.add(server.pid)
        try:
            yield Starter(ours, environment)
        finally:
            ours.close()
            server.wait()
            SERVING.discard(server.pid)
