"""A program on a terminal of its own, and what is to be seen there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

import pyte

from testkit.loops import need_tool
from testkit.waits import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Terminal", "on_terminal"]

_SECONDS = PATIENCE


class Terminal:
    """A terminal with a program on it.

    :ivar frames: what was to be seen, each time that something had been written.
    :ivar raw: all bytes that were written.
    """

    def __init__(self, ours: int, process: subprocess.Popen[Any], columns: int, lines: int) -> None:
        self._ours = ours
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = threading.Condition()
        self.process = process
        self._over = False
        self.raw = b""
        self.frames: list[list[str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other side open
            while data := os.read(self._ours, 65536):
                with self._changed:
                    self.raw += data
                    # A frame begins where the cursor goes up.
                    for number, piece in enumerate(data.split(b"\x1b[1A")):
                        self._stream.feed((b"\x1b[1A" if number else b"") + piece)
                        self.frames.append(self._lines())
                    self._changed.notify_all()

        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _lines(self) -> list[str]:
        return [line for line in (one.rstrip() for one in self._screen.display) if line]

    @property
    def lines(self) -> list[str]:
        """What is to be seen now, without empty lines."""
        with self._changed:
            return self._lines()

    @property
    def cursor_shown(self) -> bool:
        """Whether there is a cursor."""
        with self._changed:
            return not self._screen.cursor.hidden

    def wait_for(self, seen: Callable[[list[str]], bool]) -> None:
        """Wait until what is to be seen is so."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or any(seen(one) for one in self.frames), _SECONDS)
            if not any(seen(one) for one in self.frames):
                raise AssertionError(f"not to be seen: {self.frames[-3:]}")

    def press(self, key: bytes) -> None:
        """Press keys."""
        os.write(self._ours, key)

    def resize(self, lines: int, columns: int) -> None:
        """Give the terminal another size."""
        with self._changed:
            self._screen.resize(lines, columns)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(_SECONDS)
        self._reader.join(_SECONDS)
        return code

    @property
    def settings(self) -> list[Any]:
        """What the terminal is set to."""
        return termios.tcgetattr(self._ours)


@contextlib.contextmanager
def on_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, columns: int = 120, lines: int = 24, **options: Any
) -> Iterator[Terminal]:
    """Run a command on a terminal that controls it, while the body runs.

    :param options: for the process, as another standard output.
    """
    setsid = need_tool("setsid")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs} | options
    process = subprocess.Popen([setsid, "--ctty", "--wait", *command], env=dict(environment), **streams)
    os.close(theirs)
    terminal = Terminal(ours, process, columns, lines)
    try:
        yield terminal
    finally:
        end = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
        terminal._reader.join(_SECONDS)
        os.close(ours)
