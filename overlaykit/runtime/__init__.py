"""Running containers: an image's configuration becomes an OCI bundle, and crun or runc runs it.

What a name needs is imported when it is first used.
"""

from __future__ import annotations

from ..lazy import lazy_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._bundle import Bundle
    from ._control import Connection
    from ._detached import DetachedContainer, DetachedOptions, container_states, run_detached
    from ._detached_store import sweep
    from ._exec_session import ExecSession
    from ._find import find_runner
    from ._inside import ProcessInfo
    from ._logs import LogEntry, LogLimits
    from ._privileges import Privileges, explain_ids
    from ._relay import PtyEnd, Relay, SocketEnd
    from ._runner import Runner, RunningProcess
    from ._seccomp_bpf import compile_seccomp
    from ._signals import parse_signal
    from ._start import process_in, start
    from ._state import ContainerState, Status
    from ._store import ContainerStore, RunnableContainer, open_store
    from ._terminal import open_terminal, resize_inside, size_of
    from ._terminal_keys import DEFAULT_DETACH, parse_keys
    from ._times import format_time, parse_moment
    from ._users import User, find_user
    from ._values import (
        BindMount,
        FileMount,
        Limits,
        Network,
        ProcessSpec,
        RunMount,
        RunOptions,
        Stdio,
        TmpfsMount,
    )

__all__ = [
    "DEFAULT_DETACH",
    "BindMount",
    "Bundle",
    "Connection",
    "ContainerState",
    "ContainerStore",
    "DetachedContainer",
    "DetachedOptions",
    "ExecSession",
    "FileMount",
    "Limits",
    "LogEntry",
    "LogLimits",
    "Network",
    "Privileges",
    "ProcessInfo",
    "ProcessSpec",
    "PtyEnd",
    "Relay",
    "RunMount",
    "RunOptions",
    "RunnableContainer",
    "Runner",
    "RunningProcess",
    "SocketEnd",
    "Status",
    "Stdio",
    "TmpfsMount",
    "User",
    "compile_seccomp",
    "container_states",
    "explain_ids",
    "find_runner",
    "find_user",
    "format_time",
    "open_store",
    "open_terminal",
    "parse_keys",
    "parse_moment",
    "parse_signal",
    "process_in",
    "resize_inside",
    "run_detached",
    "size_of",
    "start",
    "sweep",
]

_LATER = {
    "parse_moment": "_times",
    "format_time": "_times",
    "parse_keys": "_terminal_keys",
    "DEFAULT_DETACH": "_terminal_keys",
    "size_of": "_terminal",
    "open_terminal": "_terminal",
    "resize_inside": "_terminal",
    "Status": "_state",
    "ContainerState": "_state",
    "parse_signal": "_signals",
    "SocketEnd": "_relay",
    "Relay": "_relay",
    "PtyEnd": "_relay",
    "LogLimits": "_logs",
    "LogEntry": "_logs",
    "sweep": "_detached_store",
    "run_detached": "_detached",
    "container_states": "_detached",
    "ExecSession": "_exec_session",
    "DetachedOptions": "_detached",
    "DetachedContainer": "_detached",
    "BindMount": "_values",
    "Bundle": "_bundle",
    "Connection": "_control",
    "ContainerStore": "_store",
    "compile_seccomp": "_seccomp_bpf",
    "explain_ids": "_privileges",
    "find_runner": "_find",
    "open_store": "_store",
    "process_in": "_start",
    "RunnableContainer": "_store",
    "start": "_start",
    "FileMount": "_values",
    "Limits": "_values",
    "Network": "_values",
    "Privileges": "_privileges",
    "ProcessInfo": "_inside",
    "ProcessSpec": "_values",
    "RunMount": "_values",
    "RunOptions": "_values",
    "Runner": "_runner",
    "RunningProcess": "_runner",
    "Stdio": "_values",
    "TmpfsMount": "_values",
    "User": "_users",
    "find_user": "_users",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
