"""Forks processes of the command line; see ``starter.py``. Imports what all commands over a store do, and no more."""

from __future__ import annotations

import gc
import marshal
import os
import runpy
import select
import socket
import struct
import sys

import overlaykit.build
import overlaykit.cli._context
import overlaykit.cli._main
import overlaykit.cli._output
import overlaykit.cli._parse

overlaykit.build.open_store  # noqa: B018  # which is imported when it is first named


def serve(control: socket.socket) -> list[str] | None:
    """Fork for each request; return its words in the child, ``None`` at the end."""
    requests = select.poll()
    requests.register(control, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    while True:
        for descriptor, _ in requests.poll():
            if descriptor in running:
                child, told = running.pop(descriptor)
                _, status = os.waitpid(child, 0)
                os.write(told, struct.pack("i", status))
                requests.unregister(descriptor)
                os.close(descriptor)
                os.close(told)
                continue
            request, given, _, _ = socket.recv_fds(control, 1 << 20, 4)
            if not request:
                return None
            child = os.fork()
            if child == 0:
                control.detach()
                return _become(request, given)
            for one in given[:3]:
                os.close(one)
            watched = os.pidfd_open(child)
            running[watched] = child, given[3]
            requests.register(watched, select.POLLIN)


def _become(request: bytes, given: list[int]) -> list[str]:
    """Take on what the request gives a process."""
    words, environment, directory = marshal.loads(request)
    for target, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, target)
    os.closerange(3, 1 << 20)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        known = getattr(sys, name)
        mode, buffering = ("r", -1) if number == 0 else ("w", -1 if number == 1 else 1)
        stream = open(number, mode, buffering, known.encoding, known.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    return list(words)


if __name__ == "__main__":
    gc.freeze()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        gc.unfreeze()
        sys.argv = ["overlaykit", *asked]
        runpy.run_module("overlaykit", run_name="__main__", alter_sys=True)
