"""The loop that looks after a running container: its output, its end, and what commands ask of it.

One thread waits for everything at once. Nothing that a client does, or leaves undone, stops it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import errors
from ._clients import Client, parse_request
from ._control import error_to_json
from ._execs import Execs
from ._freezer import thaw
from ._ready import READY_SIGNAL
from ._selected_signals import selected_signals
from ._signals import parse_signal
from ._terminal import resize_inside, set_size

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from ..tree import Tree
    from ._logs import LogWriter, Stream
    from ._runner import RunningProcess
    from ._values import ProcessSpec

__all__ = ["Streams", "Supervisor"]

_CHUNK = 64 * 1024

_MOST_INPUT = 256 * 1024
"""Bytes of input that wait for the container here; what comes after waits with who sends it."""

_LOOK = 0.01
"""Seconds until it is looked again whether the container can be asked, where no signal tells and somebody waits."""

_ALWAYS = frozenset({"attach", "follow", "wait"})
"""What can be asked for before the container runs."""

_IDLE = 0.02
"""Seconds without output after which the begin of a line is shown: programs that write byte by byte get one record."""


@dataclass(slots=True)
class Streams:
    """The supervisor's ends of a container's standard streams.

    :param outputs: what it reads, non-blocking; none where the container's streams are somebody else's.
    :param input: what it writes to, non-blocking; -1 for none.
    :param terminal: both are the master of a terminal.
    """

    outputs: dict[int, Stream] = field(default_factory=dict)
    input: int = -1
    terminal: bool = False


class Supervisor:
    """Looks after one container.

    :param process: its first process, which was started by this thread.
    :param log: of what it writes; ``None`` for none.
    :param exec_spec: makes the process that a client asks for; with the descriptor of its terminal, if it has one.
    :param ready: whether the container can be asked something; asked again at each signal.
    :param started: called once, when it can.
    :param tree: the container's, for clients that read and write it while it runs.
    :param stubs: what of the tree is there for the container's mounts alone; see :attr:`Stubs.made`.
    :param watch: a descriptor of the process (pidfd_open(2)), which becomes the supervisor's; ``None`` to make one.
    :param signals: this is the main thread of a process that is there for the container alone: signals stop it.
    :param stop_signal: what :func:`stop` sends first.
    :param stop_timeout: seconds that follow until it is killed, unless a client says otherwise.
    """

    def __init__(
        self,
        process: RunningProcess,
        streams: Streams,
        log: LogWriter | None,
        listener: socket.socket,
        *,
        exec_spec: Callable[[Mapping[str, Any], int], ProcessSpec],
        ready: Callable[[], bool],
        tree: Tree,
        stubs: Callable[[], Mapping[str, Any]],
        started: Callable[[], None] = lambda: None,
        watch: int | None = None,
        signals: bool = True,
        stop_signal: int = signal.SIGTERM,
        stop_timeout: float = 10.0,
    ) -> None:
        self._process = process
        self._streams = streams
        self._log = log
        self._listener = listener
        self._stop_signal = stop_signal
        self._stop_timeout = stop_timeout
        self._ready = ready
        self._started: Callable[[], None] | None = started
        self._tree = tree
        self._stubs = stubs
        self._watch = watch
        self._by_signals = signals
        self._early: list[tuple[Client, dict[str, Any], list[int]]] = []
        self._selector = selectors.DefaultSelector()
        self._execs = Execs(process, exec_spec, self._selector, self._let_go)
        self._clients: set[Client] = set()
        self._deadline: float | None = None
        self._flush_at: float | None = None
        self._input = bytearray()
        self._input_ends = False
        self._ended = False
        self._held = False
        self._open_outputs = set(streams.outputs)

    def run(self) -> int:
        """Look after the container until it has ended, with all its output read.

        Who reads or writes its tree may finish that first: its mount must not be there when it is mounted again.

        :returns: its exit code.
        :raises RunError: it could not be run.
        """
        watch = os.pidfd_open(self._process.pid) if self._watch is None else self._watch
        with contextlib.ExitStack() as held:
            held.callback(os.close, watch)
            self._selector.register(watch, selectors.EVENT_READ, self._process_ended)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            for descriptor in self._streams.outputs:
                self._update(descriptor)
            if self._by_signals:
                held.enter_context(self._signals())
            self._look()
            while not self._ended:
                self._turn()
            self._selector.unregister(watch)
            self._drain()
            while any(client.role == "tree" for client in self._clients):
                self._turn()
        code = self._process.wait()
        self._begin()
        return code

    def adopt(self, connection: socket.socket) -> None:
        """Take somebody in who is attached from the begin, and for whom the container waits.

        :param connection: non-blocking; it becomes the supervisor's.
        """
        client = Client(connection, self._selector, self._hear, self._client_gone, lossless=True)
        client.role = "attach"
        self._clients.add(client)

    def finish(self, answer: Mapping[str, Any]) -> None:
        """Tell everybody who waits for the end, and close all that is the supervisor's."""
        for _, _, descriptors in self._early:
            for descriptor in descriptors:
                os.close(descriptor)
        self._execs.close()
        # Who may take long to read comes last.
        for client in sorted(self._clients, key=lambda one: one.lossless):
            if client.role in ("attach", "wait", "stop"):
                client.finish(answer)
            else:
                client.finish()
        self._clients.clear()
        self.close_streams()
        self._selector.close()
        self._listener.close()

    def close_streams(self) -> None:
        """Close its ends of the container's streams."""
        for descriptor in {*self._streams.outputs, self._streams.input} - {-1}:
            os.close(descriptor)

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        held = any(client.behind for client in self._clients)
        if held != self._held:
            self._held = held
            for descriptor in self._streams.outputs:
                self._update(descriptor)
        deadlines = [one for one in (self._deadline, self._flush_at) if one is not None]
        if self._early and not self._by_signals:
            self._look()
            deadlines.append(time.monotonic() + _LOOK)
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        for key, events in self._selector.select(timeout):
            # What came before may have closed it, and something new may have its number.
            if self._selector.get_map().get(key.fd) is key:
                key.data(events)
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._process.kill()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush_at = None
            if self._log is not None:
                self._log.flush()
            self._nudge()

    def _signals(self) -> AbstractContextManager[None]:
        """Turn signals to this process into a stop of the container: a machine that shuts down sends SIGTERM."""

        def came(numbers: bytes) -> None:
            if READY_SIGNAL in numbers:
                self._look()
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                self._stop(self._stop_signal, self._stop_timeout)

        return selected_signals(self._selector, (signal.SIGTERM, signal.SIGINT, READY_SIGNAL), came)

    def _process_ended(self, _: int) -> None:
        self._ended = True

    def _look(self) -> None:
        if self._started is not None and self._ready():
            self._begin()

    def _begin(self) -> None:
        """Do what had to wait until the container runs."""
        started, self._started = self._started, None
        if started is not None:
            started()
        early, self._early = self._early, []
        for client, request, descriptors in early:
            self._guarded(client, functools.partial(self._answer, client, request, descriptors), descriptors)

    def _stop(self, number: int, timeout: float) -> None:
        self._process.signal(number)
        self._go_on()
        if timeout >= 0:
            deadline = time.monotonic() + timeout
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def _go_on(self) -> None:
        """Let one that is paused take notice of its end."""
        with contextlib.suppress(OSError):
            thaw(self._process.pid)

    # -- output ------------------------------------------------------------------------------------------------------

    def _ready_stream(self, descriptor: int, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write_input()
        if events & selectors.EVENT_READ:
            self._read_output(descriptor)

    def _update(self, descriptor: int) -> None:
        """Wait for what is wanted of a stream now, and nothing else."""
        events = selectors.EVENT_READ if descriptor in self._open_outputs and not self._held else 0
        if descriptor == self._streams.input and self._input:
            events |= selectors.EVENT_WRITE
        try:
            before = self._selector.get_key(descriptor).events
        except KeyError:
            before = 0
        if before and not events:
            self._selector.unregister(descriptor)
        elif events and not before:
            self._selector.register(descriptor, events, functools.partial(self._ready_stream, descriptor))
        elif events != before:
            self._selector.modify(descriptor, events, functools.partial(self._ready_stream, descriptor))

    def _read_output(self, descriptor: int) -> bool:
        """Read what there is.

        :returns: whether there may be more.
        """
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: a terminal that nobody has open any more
            data = b""
        if not data:
            self._open_outputs.discard(descriptor)
            self._update(descriptor)
            return False
        stream = self._streams.outputs[descriptor]
        if self._log is not None:
            self._log.write(stream, data)
            self._flush_at = time.monotonic() + _IDLE if self._log.pending else None
        packet = (b"1" if stream == "stdout" else b"2") + data
        for client in list(self._clients):
            if client.role == "attach":
                client.send_bytes(packet)
        self._nudge()
        return True

    def _nudge(self) -> None:
        for client in self._clients:
            if client.role == "follow":
                client.nudge()

    def _drain(self) -> None:
        # Whoever could write has ended with the container: all that was written is there.
        for descriptor in self._streams.outputs:
            while self._read_output(descriptor):
                pass
        if self._log is not None:
            self._log.close()

    # -- input -------------------------------------------------------------------------------------------------------

    def _write_input(self) -> None:
        descriptor = self._streams.input
        if descriptor < 0:
            self._input.clear()
            return
        try:
            while self._input:
                del self._input[: os.write(descriptor, self._input[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads it any more
            self._input.clear()
            self._input_ends = True
        self._update(descriptor)
        if not self._input:
            for client in self._clients:
                client.pause(False)
        if self._input_ends and not self._input and not self._streams.terminal:
            self._streams.input = -1
            os.close(descriptor)

    # -- clients -----------------------------------------------------------------------------------------------------

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:  # it went away already, or too many are open: it waits
            return
        connection.setblocking(False)
        self._clients.add(Client(connection, self._selector, self._hear, self._client_gone))

    def _client_gone(self, client: Client) -> None:
        self._clients.discard(client)
        self._execs.client_gone(client)

    def _hear(self, client: Client, data: bytes, descriptors: list[int]) -> None:
        if client.role == "attach":
            self._guarded(client, lambda: self._hear_attached(client, data), descriptors)
        elif client.role == "exec":
            self._guarded(client, lambda: self._execs.hear(client, data), descriptors)
        else:
            self._guarded(
                client, lambda: self._request(client, parse_request(data, descriptors), descriptors), descriptors
            )

    def _request(self, client: Client, request: dict[str, Any], descriptors: list[int]) -> None:
        if self._started is None or request["op"] in _ALWAYS:
            self._answer(client, request, descriptors)
        else:
            self._early.append((client, request, list(descriptors)))
            descriptors.clear()

    def _guarded(self, client: Client, act: Callable[[], None], descriptors: list[int]) -> None:
        """Do what a client asks for; what is wrong with that is the client's, and descriptors that are left go."""
        try:
            if not client.closed:
                act()
        except (errors.OverlaykitError, OSError) as error:
            self._let_go(client, {"error": error_to_json(error)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._let_go(client, {"error": {"kind": "RunError", "message": f"a message is not understood: {error}"}})
        finally:
            for one in descriptors:
                os.close(one)

    def _let_go(self, client: Client, message: Mapping[str, Any]) -> None:
        self._clients.discard(client)
        client.finish(message)

    def _answer(self, client: Client, request: Mapping[str, Any], descriptors: list[int]) -> None:
        operation = request["op"]
        if operation == "signal":
            number = int(request["number"])
            if number == signal.SIGKILL:
                self._process.kill()
                self._go_on()
            else:
                self._process.signal(number)
            self._let_go(client, {})
        elif operation == "stop":
            number = self._stop_signal if request.get("signal") is None else parse_signal(request["signal"])
            timeout = request.get("timeout")
            self._stop(number, self._stop_timeout if timeout is None else float(timeout))
            client.role = "stop"
        elif operation in ("wait", "follow"):
            client.role = operation
            client.send({})
        elif operation == "attach":
            if not self._streams.outputs:
                raise errors.RunError(
                    f"its streams are those of process {os.getpid()}, which runs it in the foreground: only one that "
                    "was run with -d, or without --rm, can be attached to"
                )
            client.role = "attach"
            client.send({"terminal": self._streams.terminal, "input": self._streams.input >= 0})
        elif operation == "exec":
            self._execs.start(client, request, descriptors)
        elif operation == "tree":
            self._lend_tree(client)
        else:
            raise ValueError(f"{operation!r} is no operation")

    def _hear_attached(self, client: Client, data: bytes) -> None:
        letter, rest = data[:1], data[1:]
        if letter == b"0" and not self._input_ends:
            self._input += rest
            self._write_input()
            if len(self._input) > _MOST_INPUT:
                client.pause(True)
        elif letter == b"e" and not self._streams.terminal:
            self._input_ends = True
            self._write_input()
        elif letter == b"w" and self._streams.terminal:
            rows, columns = (int(one) for one in rest.split())
            set_size(self._streams.input, rows, columns)
            resize_inside(self._process.pid, rows, columns)
        elif letter == b"s":
            self._process.signal(parse_signal(rest.decode("ascii")))

    def _lend_tree(self, client: Client) -> None:
        root = os.open(self._tree.host_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            client.role = "tree"
            client.send({"stubs": self._stubs()}, [root])
        finally:
            os.close(root)
