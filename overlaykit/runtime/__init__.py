"""Running containers: an image's configuration becomes an OCI bundle, and crun or runc runs it.

What a name needs is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._bundle import Bundle
    from ._find import find_runner
    from ._runner import Runner, RunningProcess
    from ._seccomp_bpf import compile_seccomp
    from ._start import process_in, start
    from ._store import ContainerStore, RunnableContainer, open_store
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
    "BindMount",
    "Bundle",
    "ContainerStore",
    "FileMount",
    "Limits",
    "Network",
    "ProcessSpec",
    "RunMount",
    "RunOptions",
    "RunnableContainer",
    "Runner",
    "RunningProcess",
    "Stdio",
    "TmpfsMount",
    "compile_seccomp",
    "find_runner",
    "open_store",
    "process_in",
    "start",
]

_LATER = {
    "BindMount": "_values",
    "Bundle": "_bundle",
    "ContainerStore": "_store",
    "compile_seccomp": "_seccomp_bpf",
    "find_runner": "_find",
    "open_store": "_store",
    "process_in": "_start",
    "RunnableContainer": "_store",
    "start": "_start",
    "FileMount": "_values",
    "Limits": "_values",
    "Network": "_values",
    "ProcessSpec": "_values",
    "RunMount": "_values",
    "RunOptions": "_values",
    "Runner": "_runner",
    "RunningProcess": "_runner",
    "Stdio": "_values",
    "TmpfsMount": "_values",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
