"""The program that runs containers, as a file that nobody can change any more."""

from __future__ import annotations

import fcntl
import os

from ._lib import load

__all__ = ["open_runner", "runner_path"]

_MFD_EXEC = 0x10


def runner_path() -> str:
    """Return the file that the program is in: the native module.

    :raises UnsupportedError: this installation has none.
    """
    return str(load().__file__)


def open_runner() -> int:
    """Return a descriptor of the program in memory, close-on-exec, to be executed by ``/proc/self/fd``.

    Nobody can change it: a container that got hold of what started it (``/proc/PID/exe``) could otherwise write into a
    file of the host. And it can be executed wherever the package lies, also where the file system is ``noexec`` or
    closed to the user that the caller has become meanwhile.

    :raises UnsupportedError: the native module is missing.
    :raises OSError: there is no memory or no descriptor for it.
    """
    native = load()
    size = native.ffi.new("size_t *")
    program = native.lib.ok_runner_program(size)
    copy = _memory_file()
    try:
        left = memoryview(native.ffi.buffer(program, size[0]))
        while left:
            left = left[os.write(copy, left) :]
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(copy)
        raise
    return copy


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        # From Linux 6.3 on it has to be said where vm.memfd_noexec is 1; before, the flag is not known.
        return os.memfd_create("overlaykit-runner", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("overlaykit-runner", flags)
