"""Further processes in a container, which its supervisor starts for clients and looks after."""

from __future__ import annotations

import os
import selectors
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import errors
from ._control import error_to_json
from ._freezer import frozen
from ._signals import parse_signal
from ._terminal import resize_inside
from ._values import Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._clients import Client
    from ._runner import RunningProcess
    from ._values import ProcessSpec

__all__ = ["Execs"]


@dataclass(slots=True)
class _Exec:
    """One more process in the container, and who started it."""

    process: RunningProcess
    client: Client | None
    watch: int


class Execs:
    """Those of one container.

    :param first: the container's first process.
    :param spec: makes the process that a client asks for; with the descriptor of its terminal, if it has one.
    :param let_go: sends a client its last message.
    """

    def __init__(
        self,
        first: RunningProcess,
        spec: Callable[[Mapping[str, Any], int], ProcessSpec],
        selector: selectors.BaseSelector,
        let_go: Callable[[Client, Mapping[str, Any]], None],
    ) -> None:
        self._first = first
        self._spec = spec
        self._selector = selector
        self._let_go = let_go
        self._all: list[_Exec] = []

    def start(self, client: Client, request: Mapping[str, Any], descriptors: list[int]) -> None:
        """Start what a client asks for.

        :raises RunError: that cannot be.
        """
        if frozen(self._first.pid):
            raise errors.RunError(
                "the container is paused: let it go on (overlaykit unpause) before something runs in it"
            )
        detached = bool(request.get("detached"))
        stdio = Stdio(*descriptors[:3]) if len(descriptors) >= 3 else Stdio(-1, -1, -1)
        process = self._first.exec(self._spec(request["options"], stdio.stdin), stdio)
        try:
            one = _Exec(process, None if detached else client, os.pidfd_open(process.pid))
        except BaseException:
            process.close()
            raise
        self._all.append(one)
        self._selector.register(one.watch, selectors.EVENT_READ, lambda _: self._ended(one))
        client.role = "exec"
        client.send({"pid": process.pid})
        if detached:
            self._let_go(client, {"exit_code": 0})

    def hear(self, client: Client, data: bytes) -> None:
        """Do what a client says to its process: another size of its terminal, a signal."""
        for one in self._all:
            if one.client is client:
                if data[:1] == b"w":
                    rows, columns = (int(word) for word in data[1:].split())
                    resize_inside(one.process.pid, rows, columns)
                elif data[:1] == b"s":
                    number = parse_signal(data[1:].decode("ascii"))
                    one.process.kill() if number == signal.SIGKILL else one.process.signal(number)

    def client_gone(self, client: Client) -> None:
        """Kill what a client has started: like a foreground run, who is killed leaves nothing behind."""
        for one in self._all:
            if one.client is client:
                one.client = None
                one.process.kill()

    def close(self) -> None:
        """End all; what the container's end has not ended yet is killed."""
        while self._all:
            self._end(self._all.pop())

    def _ended(self, one: _Exec) -> None:
        self._all.remove(one)
        self._end(one)

    def _end(self, one: _Exec) -> None:
        self._selector.unregister(one.watch)
        os.close(one.watch)
        try:
            message: dict[str, Any] = {"exit_code": one.process.wait()}
        except errors.RunError as error:
            message = {"error": error_to_json(error)}
        one.process.close()
        if one.client is not None:
            self._let_go(one.client, message)
