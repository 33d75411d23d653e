"""The streams of a process that is waited for, with the habits of :func:`subprocess.run`."""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

from ._values import Stdio

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._exec_session import ExecSession
    from ._runner import RunningProcess

__all__ = ["StreamTarget", "Talk"]

StreamTarget = int | IO[str] | IO[bytes] | None
"""``None`` for this process's own, ``subprocess.PIPE``, ``subprocess.DEVNULL``, a descriptor or a file."""

_CHUNK = 1 << 16


class Streams:
    """Pipes to and from a process, as far as they are asked for.

    :param input: what the process reads; its standard input is this process's where there is none.
    :param stderr: ``subprocess.STDOUT`` besides.
    :raises ValueError: they contradict each other.
    """

    def __init__(self, input: bytes | None, stdin: StreamTarget, stdout: StreamTarget, stderr: StreamTarget) -> None:
        if input is not None and stdin is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        data = input
        if stdin == subprocess.PIPE:
            stdin, data = None, b""
        self._input = memoryview(b"" if data is None else data)
        self._output: dict[int, bytearray] = {}
        self._ours: dict[str, int] = {}
        self._theirs: list[int] = []
        try:
            first = self._target(stdin, 0) if data is None else self._pipe("stdin")
            second = self._pipe("stdout") if stdout == subprocess.PIPE else self._target(stdout, 1)
            if stderr == subprocess.STDOUT:
                third = second
            else:
                third = self._pipe("stderr") if stderr == subprocess.PIPE else self._target(stderr, 2)
        except BaseException:
            self.close()
            raise
        self.stdio = Stdio(first, second, third)

    @staticmethod
    def _target(target: StreamTarget, own: int) -> int:
        if target is None:
            return own
        if target == subprocess.DEVNULL:
            return -1
        return target if isinstance(target, int) else target.fileno()

    def _pipe(self, name: str) -> int:
        read, write = os.pipe2(os.O_CLOEXEC)
        ours, theirs = (write, read) if name == "stdin" else (read, write)
        self._ours[name] = ours
        self._theirs.append(theirs)
        os.set_blocking(ours, False)
        return theirs

    def started(self) -> None:
        """Let go of the process's own ends."""
        while self._theirs:
            os.close(self._theirs.pop())

    def wait(self, process: RunningProcess | ExecSession, timeout: float | None) -> int:
        """Feed and drain the process until it has ended.

        :returns: its exit code.
        :raises subprocess.TimeoutExpired: it has not ended by then.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for name, fd in self._ours.items():
                if name == "stdin":
                    selector.register(fd, selectors.EVENT_WRITE, name)
                else:
                    self._output[fd] = bytearray()
                    selector.register(fd, selectors.EVENT_READ, name)
            while selector.get_map():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise subprocess.TimeoutExpired([], timeout or 0.0)
                for key, _ in selector.select(left):
                    if not (self._feed(key.fd) if key.data == "stdin" else self._drain(key.fd)):
                        selector.unregister(key.fd)
                        if key.data == "stdin":
                            os.close(self._ours.pop("stdin"))
        return process.wait(None if end is None else max(0.0, end - time.monotonic()))

    def _feed(self, fd: int) -> bool:
        try:
            self._input = self._input[os.write(fd, self._input[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False  # it does not read on, as with subprocess
        return bool(self._input)

    def _drain(self, fd: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(fd, _CHUNK)
            self._output[fd] += chunk
            return bool(chunk)
        return True

    def output(self, name: str) -> bytes | None:
        """Return what came from ``"stdout"`` or ``"stderr"``; ``None`` where no pipe was asked for."""
        fd = self._ours.get(name)
        return None if fd is None else bytes(self._output.get(fd, b""))

    def close(self) -> None:
        """Close what is open."""
        self.started()
        while self._ours:
            os.close(self._ours.popitem()[1])


class Talk:
    """What a caller wants to be passed to and from a process, with the habits of :func:`subprocess.run`.

    The parameters are those of :func:`subprocess.run`.

    :raises ValueError: they contradict each other.
    """

    def __init__(
        self,
        stdin: StreamTarget,
        input: str | bytes | None,
        stdout: StreamTarget,
        stderr: StreamTarget,
        capture_output: bool,
        check: bool,
        timeout: float | None,
        text: bool | None,
        encoding: str | None,
        errors: str | None,
    ) -> None:
        if capture_output:
            if stdout is not None or stderr is not None:
                raise ValueError("stdout and stderr arguments may not be used with capture_output.")
            stdout = stderr = subprocess.PIPE
        if encoding is None and (text or errors is not None):
            encoding = "utf-8"
        self._encoding, self._errors = encoding, errors
        self._check, self._timeout = check, timeout
        data = input.encode(encoding or "utf-8", errors or "strict") if isinstance(input, str) else input
        self._streams = Streams(data, stdin, stdout, stderr)

    def run(
        self, args: list[str], begin: Callable[[Stdio], RunningProcess | ExecSession]
    ) -> subprocess.CompletedProcess[Any]:
        """Start the process, and wait for it.

        :param args: what it is called in results and errors.
        :param begin: starts it with these streams.
        :raises subprocess.CalledProcessError: with ``check``, for a return code that is not 0.
        :raises subprocess.TimeoutExpired: it took too long, and was killed.
        """
        streams = self._streams
        try:
            with begin(streams.stdio) as process:
                streams.started()
                try:
                    code = streams.wait(process, self._timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise subprocess.TimeoutExpired(
                        args, self._timeout or 0.0, streams.output("stdout"), streams.output("stderr")
                    ) from None
            done: subprocess.CompletedProcess[Any] = subprocess.CompletedProcess(
                args,
                code,
                _decode(streams.output("stdout"), self._encoding, self._errors),
                _decode(streams.output("stderr"), self._encoding, self._errors),
            )
        finally:
            streams.close()
        if self._check:
            done.check_returncode()
        return done


def _decode(data: bytes | None, encoding: str | None, errors: str | None) -> str | bytes | None:
    """Decode as text mode does, line ends included; bytes stay bytes where no text is asked for."""
    if data is None or encoding is None:
        return data
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors or "strict").read()
