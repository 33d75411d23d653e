"""Starting a program in namespaces of its own, with a place in memory that holds what it works on."""

from __future__ import annotations

import errno
import os

from ..values import value_class
from ._lib import load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..tree import StrOrBytesPath

__all__ = ["LaunchFile", "join", "launch"]


@value_class
class LaunchFile:
    """A file that :func:`launch` puts into the place.

    :param name: relative to the place, in a directory that is there.
    :param data: its content.
    :param mode: permission bits.
    :param uid: its owner in the new user namespace; without one the machine's.
    :param gid: its group, likewise.
    """

    name: str
    data: bytes
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


def launch(
    arguments: Sequence[StrOrBytesPath],
    *,
    environment: Mapping[str, str],
    place: StrOrBytesPath,
    root: int | None = None,
    move_root: bool = False,
    sources: Sequence[int] = (),
    files: Sequence[LaunchFile] = (),
    hide: StrOrBytesPath | None = None,
    cgroups: Sequence[int] = (),
    into: int | None = None,
    stdio: tuple[int, int, int] = (0, 1, 2),
    keep: Sequence[int] = (),
    user_namespace: bool,
) -> int:
    """Start a program in new mount and process namespaces, as their first process and a session's leader.

    A tmpfs covers ``place`` there. It is the working directory and holds ``rootfs``, ``mounts/0`` and so on, the files,
    and the empty directory ``state``; ``/proc`` is that of the new process namespace. All of it is gone when the
    program ends, whoever ends it. The program is killed when the calling **thread** ends (PR_SET_PDEATHSIG(2const)),
    and everything it started with it (pid_namespaces(7)).

    :param arguments: the program, as a path, and its arguments.
    :param place: an existing directory that the program needs nothing of.
    :param root: a descriptor of the directory or the mount that ``rootfs`` is a clone of, in which no device opens.
    :param move_root: ``root`` is a mount attached nowhere that the program is to have itself, and nobody else: it goes
        without the wait for all processors that it takes the kernel to dissolve one.
    :param sources: descriptors of directories and files that are cloned in the same way. A detached mount is moved
        where the kernel cannot clone it (before Linux 6.15), and can be given to nobody else then.
    :param hide: a directory that an empty tmpfs covers.
    :param cgroups: descriptors of ``cgroup.procs`` files that the program is written into.
    :param into: a descriptor of the directory of a cgroup of version 2 that it is born in: far faster, Linux 5.7.
    :param stdio: descriptors for its standard streams; a negative one is ``/dev/null``.
    :param keep: descriptors that it inherits besides; no other ones.
    :param user_namespace: begin with a user namespace in which the caller's user and group are 0.
    :returns: the process id of the program, which the caller waits for.
    :raises OSError: it could not be started; the message says at which step.
    :raises UnsupportedError: the native module is missing.
    """
    owned: list[Any] = []
    native = load()
    ffi = native.ffi
    value = _prepare(native, owned, arguments, environment, cgroups, stdio, keep)
    value.user = user_namespace
    value.place = _text(ffi, owned, place)
    value.hide = ffi.NULL if hide is None else _text(ffi, owned, hide)
    value.root, value.move_root = -1 if root is None else root, move_root
    value.into = -1 if into is None else into
    value.join = -1
    value.sources, value.source_count = _numbers(ffi, owned, sources), len(sources)
    array = ffi.new("struct ok_launch_file[]", max(1, len(files)))
    owned.append(array)
    for at, file in enumerate(files):
        entry = array[at]
        data = ffi.from_buffer(file.data)
        owned.append(data)
        entry.name, entry.data, entry.size = _text(ffi, owned, file.name), data, len(file.data)
        entry.mode, entry.uid, entry.gid = file.mode, file.uid, file.gid
    value.files, value.file_count = array, len(files)
    return _start(native, value, arguments[0], {"root": root, "sources": sources, "files": files, "place": place})


def join(
    pid: int,
    arguments: Sequence[StrOrBytesPath],
    *,
    environment: Mapping[str, str],
    stdio: tuple[int, int, int] = (0, 1, 2),
    keep: Sequence[int] = (),
    user_namespace: bool,
) -> int:
    """Start a program in the namespaces of one that :func:`launch` started.

    :param pid: a descriptor of that process (:func:`os.pidfd_open`).
    :param user_namespace: as it was started with.
    :returns: the process id of the program, a child of the caller.
    :raises OSError: it could not be started; ESRCH where the other one has ended.
    :raises UnsupportedError: the native module is missing.
    """
    owned: list[Any] = []
    native = load()
    value = _prepare(native, owned, arguments, environment, (), stdio, keep)
    value.user, value.join, value.root, value.into = user_namespace, pid, -1, -1
    return _start(native, value, arguments[0], {})


def _prepare(
    native: Any,
    owned: list[Any],
    arguments: Sequence[StrOrBytesPath],
    environment: Mapping[str, str],
    cgroups: Sequence[int],
    stdio: tuple[int, int, int],
    keep: Sequence[int],
) -> Any:
    ffi = native.ffi
    value = ffi.new("struct ok_launch *")
    value.program = _text(ffi, owned, arguments[0])
    value.arguments = _vector(ffi, owned, arguments)
    value.environment = _vector(ffi, owned, [f"{name}={text}" for name, text in environment.items()])
    value.cgroups, value.cgroup_count = _numbers(ffi, owned, cgroups), len(cgroups)
    value.keep, value.keep_count = _numbers(ffi, owned, keep), len(keep)
    value.stdio = stdio
    return value


def _text(ffi: Any, owned: list[Any], text: StrOrBytesPath) -> Any:
    data = os.fsencode(text)
    if b"\0" in data:
        raise ValueError("embedded null byte")
    made = ffi.new("char[]", data)
    owned.append(made)
    return made


def _vector(ffi: Any, owned: list[Any], words: Sequence[StrOrBytesPath]) -> Any:
    made = ffi.new("char *[]", [*(_text(ffi, owned, word) for word in words), ffi.NULL])
    owned.append(made)
    return made


def _numbers(ffi: Any, owned: list[Any], numbers: Sequence[int]) -> Any:
    made = ffi.new("int[]", list(numbers) or [0])
    owned.append(made)
    return made


_STEPS = {
    "OK_LAUNCH_CLONE": "cannot make namespaces for it",
    "OK_LAUNCH_MAPPING": "cannot map the user into a new user namespace",
    "OK_LAUNCH_JOIN": "cannot enter the namespaces of the process",
    "OK_LAUNCH_PARENT": "the process that started it has ended",
    "OK_LAUNCH_PROPAGATION": "cannot make the mounts private",
    "OK_LAUNCH_PLACE": "cannot mount a tmpfs over it",
    "OK_LAUNCH_ROOT": "cannot attach the root file system",
    "OK_LAUNCH_SOURCE": "cannot attach a mount's source",
    "OK_LAUNCH_FILE": "cannot write a file",
    "OK_LAUNCH_HIDE": "cannot cover a directory",
    "OK_LAUNCH_PROC": "cannot mount /proc",
    "OK_LAUNCH_CGROUP": "cannot enter a cgroup",
    "OK_LAUNCH_STDIO": "cannot pass descriptors on",
    "OK_LAUNCH_EXEC": "cannot execute the program",
}

_HINTS = {
    ("OK_LAUNCH_CLONE", errno.EPERM): "user namespaces are forbidden here (a container's seccomp profile, or a sysctl)",
    ("OK_LAUNCH_CLONE", errno.ENOSPC): "no more namespaces are allowed: see /proc/sys/user",
    ("OK_LAUNCH_MAPPING", errno.EPERM): "a security module forbids it, as kernel.apparmor_restrict_unprivileged_userns",
    ("OK_LAUNCH_PROC", errno.EPERM): "a part of /proc is covered here, as in a container: run it with all of /proc",
    (
        "OK_LAUNCH_ROOT",
        errno.EINVAL,
    ): "this kernel attaches a detached mount once (before Linux 6.15): open its tree anew",
    ("OK_LAUNCH_FILE", errno.EINVAL): "its owner is not mapped in the user namespace",
}


def _start(native: Any, value: Any, program: StrOrBytesPath, about: Mapping[str, Any]) -> int:
    pid: int = native.lib.ok_launch(value)
    if pid > 0:
        return pid
    names = {getattr(native.lib, name): name for name in _STEPS}
    step = names.get(value.step, "OK_LAUNCH_CLONE")
    why = _HINTS.get((step, -pid), "")
    text = f"{_STEPS[step]}: {os.strerror(-pid)}" + (f" ({why})" if why else "")
    path: Any = None
    if step == "OK_LAUNCH_EXEC":
        path = program
    elif step == "OK_LAUNCH_FILE":
        path = about["files"][value.index].name
    elif step == "OK_LAUNCH_PLACE":
        path = about["place"]
    raise OSError(-pid, text) if path is None else OSError(-pid, text, os.fsdecode(path))
