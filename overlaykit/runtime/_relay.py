"""The user's terminal, or streams, while they show those of a container."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from typing import TYPE_CHECKING, Protocol

from ._selected_signals import selected_signals
from ._terminal import raw_terminal, set_size, size_of
from ._terminal_keys import DetachKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ._control import Connection

__all__ = ["FarEnd", "PtyEnd", "Relay", "SocketEnd"]

_CHUNK = 16 * 1024

_FORWARDED = tuple(
    getattr(signal, f"SIG{name}") for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "CONT", "ALRM", "WINCH")
)

_END_OF_FILE = b"\x04"
"""What a terminal takes for the end of its input (termios(3), VEOF) unless somebody has set it otherwise."""


class FarEnd(Protocol):
    """The container's side."""

    def fileno(self) -> int:
        """Return what is read from, and waited for."""

    def read(self) -> list[tuple[int, bytes]] | None:
        """Return what came, each with 1 or 2 for its stream; ``None`` at the end.

        :raises BlockingIOError: nothing came.
        """

    def write(self, data: bytes) -> int:
        """Pass input on, and return how much was taken.

        :raises BlockingIOError: none can be taken now.
        """

    def end(self) -> None:
        """Tell that no more input comes."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal's size."""

    def signal(self, number: int) -> None:
        """Pass a signal on."""


class PtyEnd:
    """A terminal that this process has made for a process that it waits for.

    :param master: non-blocking.
    :param resized: tells the terminal inside the container, which the runtime has made besides this one.
    :param signalled: passes a signal on.
    """

    def __init__(self, master: int, resized: Callable[[int, int], None], signalled: Callable[[int], None]) -> None:
        self._master = master
        self._resized = resized
        self.signal = signalled

    def fileno(self) -> int:
        """See :class:`FarEnd`."""
        return self._master

    def read(self) -> list[tuple[int, bytes]] | None:
        """See :class:`FarEnd`."""
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            raise
        except OSError:  # EIO: nobody has the other side open any more
            return None
        return [(1, data)] if data else None

    def write(self, data: bytes) -> int:
        """See :class:`FarEnd`."""
        return os.write(self._master, data)

    def end(self) -> None:
        """See :class:`FarEnd`."""
        with contextlib.suppress(OSError):
            os.write(self._master, _END_OF_FILE)

    def resize(self, rows: int, columns: int) -> None:
        """See :class:`FarEnd`."""
        set_size(self._master, rows, columns)
        self._resized(rows, columns)


class SocketEnd:
    """A container's streams behind its supervisor.

    :param terminal: they are a terminal.
    """

    def __init__(self, connection: Connection, *, terminal: bool) -> None:
        self._connection = connection
        self._terminal = terminal
        self.exit_code: int | None = None

    def fileno(self) -> int:
        """See :class:`FarEnd`."""
        return self._connection.socket.fileno()

    def read(self) -> list[tuple[int, bytes]] | None:
        """See :class:`FarEnd`."""
        import json

        packet = self._connection.socket.recv(256 * 1024, socket.MSG_DONTWAIT)
        if packet[:1] in (b"1", b"2"):
            return [(int(packet[:1]), packet[1:])]
        if packet:
            self.exit_code = json.loads(packet).get("exit_code")
        return None

    def write(self, data: bytes) -> int:
        """See :class:`FarEnd`."""
        data = data[:_CHUNK]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.socket.send(b"0" + data, socket.MSG_DONTWAIT)
        return len(data)

    def end(self) -> None:
        """See :class:`FarEnd`."""
        if self._terminal:
            self.write(_END_OF_FILE)
        else:
            self._send(b"e")

    def resize(self, rows: int, columns: int) -> None:
        """See :class:`FarEnd`."""
        self._send(f"w{rows} {columns}".encode("ascii"))

    def signal(self, number: int) -> None:
        """See :class:`FarEnd`."""
        self._send(f"s{number}".encode("ascii"))

    def _send(self, packet: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.socket.send(packet)


class Relay:
    """Carries bytes between the user's streams and a container's, until the container's end or the user leaves.

    :param stdin: what the user types, ``None`` for nothing.
    :param stdout: where the first stream goes.
    :param stderr: where the second one goes, if there is one.
    :param terminal: the container has a terminal: that of the user, if it is one, passes on every key.
    :param detach: the keys that leave.
    :param forward: pass signals on.
    :param insistent: the container is there for this user: it is killed by a second Ctrl-C, and when nobody reads its
        standard output any more.
    :ivar detached: the user left.
    :ivar broken: nobody reads its standard output any more.
    """

    def __init__(
        self,
        far: FarEnd,
        *,
        stdin: int | None,
        stdout: int = 1,
        stderr: int = 2,
        terminal: bool,
        detach: bytes = b"",
        forward: bool = True,
        insistent: bool = False,
    ) -> None:
        self._far = far
        self._stdin = stdin
        self._outputs = {1: stdout, 2: stderr}
        self._terminal = terminal
        self._keys = DetachKeys(detach)
        self._forward = forward
        self._queue = bytearray()
        self._ends = False
        self._over = False
        self._insistent = insistent
        self._told: set[int] = set()
        self.detached = False
        self.broken = False

    def run(self, ended: int | None = None) -> bool:
        """Carry bytes.

        :param ended: a descriptor that can be read from once the container's process has ended, where that is not
            the end of what is read from it.
        :returns: whether the user left.
        """
        with contextlib.ExitStack() as held:
            # Regular files can be read from too, and epoll(7) takes none.
            self._selector = held.enter_context(selectors.PollSelector())
            if self._terminal and self._stdin is not None:
                held.enter_context(raw_terminal(self._stdin))
            held.enter_context(self._signals())
            if self._terminal:
                self._resize()
            self._selector.register(self._far, selectors.EVENT_READ, self._far_ready)
            if self._stdin is not None:
                self._selector.register(self._stdin, selectors.EVENT_READ, self._typed)
            if ended is not None:
                self._selector.register(ended, selectors.EVENT_READ, self._process_ended)
            while not self._over:
                for key, events in self._selector.select():
                    if not self._over:
                        key.data(events)
        return self.detached

    def _far_ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._pass_on()
        if events & selectors.EVENT_READ and not self._show():
            self._over = True

    def _show(self) -> bool:
        """Show what came.

        :returns: whether that was not the end.
        """
        with contextlib.suppress(BlockingIOError):
            came = self._far.read()
            if came is None:
                return False
            for stream, data in came:
                self._write(stream, data)
        return True

    def _write(self, stream: int, data: bytes) -> None:
        target = self._outputs[stream]
        view = memoryview(data)
        while view and target >= 0:
            try:
                view = view[os.write(target, view) :]
            except BlockingIOError:
                # Somebody else has made the user's terminal non-blocking.
                with selectors.PollSelector() as one:
                    one.register(target, selectors.EVENT_WRITE)
                    one.select()
            except OSError:  # nobody reads it any more: the container's own end is waited for
                self._outputs[stream] = target = -1
                if self._insistent and stream == 1:
                    self.broken = True
                    self._far.signal(signal.SIGKILL)

    def _typed(self, _: int) -> None:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal that hung up
            data = b""
        if data:
            data, self.detached = self._keys.feed(data)
            self._over = self.detached
        else:
            data, self._ends = self._keys.rest(), True
        self._queue += data
        self._pass_on()

    def _pass_on(self) -> None:
        try:
            while self._queue:
                del self._queue[: self._far.write(bytes(self._queue[:_CHUNK]))]
        except BlockingIOError:
            pass
        except OSError:  # it does not read on
            self._queue.clear()
        if self._ends and not self._queue:
            self._ends = False
            self._far.end()
            self._watch_stdin(False)
            self._stdin = None
        # What is not read from the user waits there, and not here.
        self._watch_stdin(not self._queue and not self._ends)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._queue else 0)
        self._selector.modify(self._far, events, self._far_ready)

    def _watch_stdin(self, wanted: bool) -> None:
        if self._stdin is None:
            return
        watched = self._stdin in self._selector.get_map()
        if wanted and not watched:
            self._selector.register(self._stdin, selectors.EVENT_READ, self._typed)
        elif watched and not wanted:
            self._selector.unregister(self._stdin)

    def _process_ended(self, _: int) -> None:
        # All that it has written is there already.
        while True:
            try:
                came = self._far.read()
            except BlockingIOError:
                break
            if came is None:
                break
            for stream, data in came:
                self._write(stream, data)
        self._over = True

    def _resize(self) -> None:
        for descriptor in (self._outputs[1], self._stdin):
            size = None if descriptor is None or descriptor < 0 else size_of(descriptor)
            if size is not None:
                self._far.resize(*size)
                return

    def _signals(self) -> AbstractContextManager[None]:
        # What the shell that started this ignores, as nohup does, goes on being ignored.
        numbers = [
            number
            for number in (_FORWARDED if self._forward else (signal.SIGWINCH,))
            if signal.getsignal(number) is not signal.SIG_IGN
        ]

        def came(those: bytes) -> None:
            for number in those:
                if number == signal.SIGWINCH:
                    if self._terminal:
                        self._resize()
                elif number in numbers:
                    again = number in self._told and number in (signal.SIGINT, signal.SIGTERM)
                    self._told.add(number)
                    self._far.signal(signal.SIGKILL if again and self._insistent else number)

        return selected_signals(self._selector, numbers, came)
