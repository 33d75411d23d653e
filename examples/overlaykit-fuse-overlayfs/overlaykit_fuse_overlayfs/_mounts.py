"""Mounts by a process that does nothing else; see :mod:`._mounter`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from . import _mounter

__all__ = ["Mounter"]

_LONGEST = 1 << 17
"""The most bytes of one argument of a program (MAX_ARG_STRLEN)."""


class Mounter:
    """Asks for mounts; the process that makes them is started when the first is wanted.

    :param directory: what relative paths in options are relative to.
    :param point: an empty directory, on which nothing is ever seen.
    """

    def __init__(self, directory: Path, point: Path) -> None:
        self._directory = directory
        self._point = point
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._pid = 0

    def mount(self, options: str) -> int:
        """Mount and return a descriptor of the root, which is all that keeps the mount.

        :raises OSError: what the system says, or EIO with what fuse-overlayfs says.
        """
        if len(os.fsencode(options)) >= _LONGEST:
            raise OSError(7, "too many layers for one command line")
        with self._lock:
            channel = self._start() if self._channel is None or self._pid != os.getpid() else self._channel
            channel.send(os.fsencode(options))
            answer, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
        if not descriptors:
            raise _error(answer)
        os.set_inheritable(descriptors[0], False)
        return descriptors[0]

    def _start(self) -> socket.socket:
        mine, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST * 2)
        with others:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _mounter.__file__, str(others.fileno()), str(self._point)],
                cwd=self._directory,
                pass_fds=[others.fileno()],
                stdin=subprocess.DEVNULL,
                # What ends a whole group, such as Ctrl-C, must not end it between a mount and its unmounting.
                start_new_session=True,
            )
        answer = mine.recv(4096)
        if answer != b"ready":
            mine.close()
            self._process.wait()
            raise _error(answer)
        self._channel, self._pid = mine, os.getpid()
        return mine

    def close(self) -> None:
        """End the process; the mounts stay as long as they are held."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
                if self._process is not None and self._pid == os.getpid():
                    self._process.wait()


def _error(answer: bytes) -> OSError:
    code, _, text = answer.decode(errors="replace").partition(" ")
    return OSError(int(code) if code.isdigit() else 5, text or "the mounting process died")
