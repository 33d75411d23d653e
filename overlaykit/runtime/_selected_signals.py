"""Signals to this process, among what a selector waits for."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["selected_signals"]


@contextlib.contextmanager
def selected_signals(
    selector: selectors.BaseSelector, numbers: Iterable[int], came: Callable[[bytes], None]
) -> Iterator[None]:
    """Let a selector tell of signals while the body runs; what they did before is put back. In the main thread only.

    :param selector: whose keys' data are functions of the events.
    :param numbers: the signals.
    :param came: called with the numbers of those that came, a byte each, also of others that have a handler.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    selector.register(ours, selectors.EVENT_READ, lambda _: came(ours.recv(4096)))
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        selector.unregister(ours)
        ours.close()
        theirs.close()
