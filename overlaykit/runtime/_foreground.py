"""A container that runs as long as the process that started it, and whose output is kept."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ._control import Connection
from ._detached import DetachedOptions
from ._logs import LogWriter
from ._service import Output
from ._state import StateDirectory
from ._stored_options import run_document
from ._supervised_streams import close_all, open_streams

if TYPE_CHECKING:
    from ._runner import RunningProcess
    from ._store import RunnableContainer
    from ._values import RunOptions

__all__ = ["start_logged"]


def start_logged(
    box: RunnableContainer, options: RunOptions, detached: DetachedOptions | None, size: tuple[int, int] | None
) -> tuple[RunningProcess, Connection]:
    """See :meth:`RunnableContainer.start_logged`."""
    how = detached or DetachedOptions()
    directory = StateDirectory(Path(box.state_path))
    directory.make()
    directory.write_document("options.json", run_document(options, how))
    with contextlib.ExitStack() as undo:
        log = LogWriter(directory.log, how.log)
        undo.callback(log.close)
        streams, stdio, theirs = open_streams(options.terminal, how.interactive, size)
        undo.callback(close_all, *streams.outputs, streams.input)
        ours, user = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        undo.callback(user.close)
        user.setblocking(False)
        try:
            process = box.launch(options, stdio, how.runtime)
        finally:
            close_all(*theirs)
        shown = box.show(process, options, how.runtime, Output(streams, log, user, (how.stop_signal, how.stop_timeout)))
        undo.pop_all()
    return shown, Connection.over(ours)
