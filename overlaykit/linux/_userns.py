"""User namespaces in which an ordinary user has many ids, as ``/etc/subuid`` and ``/etc/subgid`` give them."""

from __future__ import annotations

import contextlib
import errno
import os

from .. import errors
from ..values import value_class
from ._lib import check, load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["IdRange", "enter_user_namespace", "in_user_namespace", "missing_ids", "subordinate_ids"]

_PROGRAMS = (("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid"))
_PLACES = ("/usr/local/bin", "/usr/bin", "/bin")
_FIRST, _COUNT = 100_000, 65_536
"""What adduser(8) gives: the first id of the first user, and how many each one has."""


@value_class
class IdRange:
    """Consecutive ids that a user may use in a namespace.

    :param start: the first, as the host has it.
    :param count: how many.
    """

    start: int
    count: int


def subordinate_ids(path: str = "/etc/subuid") -> tuple[IdRange, ...]:
    """Return the ranges that a file gives the caller, by name or by number; none where there is no such file.

    :param path: ``/etc/subuid``, or ``/etc/subgid`` for groups: both go by the user (subuid(5), subgid(5)).
    """
    names = {str(os.getuid()), _user_name()}
    return tuple(one for name, one in _ranges(path) if name in names and one.count)


def _user_name() -> str:
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _ranges(path: str) -> list[tuple[str, IdRange]]:
    found = []
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            parts = line.strip().split(":")
            if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
                found.append((parts[0], IdRange(int(parts[1]), int(parts[2]))))
    return found


def in_user_namespace() -> bool:
    """Tell whether the ids of this process are those of a user namespace, and not the machine's own."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            return file.read().split() != [b"0", b"0", b"4294967295"]
    except FileNotFoundError:
        return False


def missing_ids() -> str | None:
    """Tell why this user has one id and no more in a user namespace, in one line with what would help.

    :returns: ``None`` where :func:`enter_user_namespace` gives it all ids of ``/etc/subuid`` and ``/etc/subgid``.
    """
    for program, _ in _PROGRAMS:
        where = _which(program)
        if where is None:
            return f"{program} is missing: install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora)"
        if not _raises(where):
            return f"{where} is not set-uid root, or on a file system mounted nosuid: install it again, or remount that"
    lacking = [path for _, path in _PROGRAMS if not subordinate_ids(path)]
    if lacking:
        last = max([_FIRST, *(one.start + one.count for path in lacking for _, one in _ranges(path))])
        words = " ".join(f"--add-sub{path[-3:]}s {last}-{last + _COUNT - 1}" for path in lacking)
        has = "has" if len(lacking) == 1 else "have"
        name = _user_name()
        return f"{' and '.join(lacking)} {has} no line for the user {name}: have root run usermod {words} {name}"
    if _no_new_privileges():
        return (
            "newuidmap gains no privileges in here: start this outside of what sets no_new_privs, as a container does"
        )
    return None


def _which(program: str) -> str | None:
    for directory in (*os.get_exec_path(), *_PLACES):
        path = os.path.join(directory, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _raises(path: str) -> bool:
    """Tell whether executing a program raises its privileges, by its mode or by file capabilities."""
    import stat

    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return False
    status = os.stat(path)
    if status.st_mode & stat.S_ISUID and status.st_uid == 0:
        return True
    return "security.capability" in os.listxattr(path)


def _no_new_privileges() -> bool:
    with open("/proc/self/status", "rb") as file:
        return b"\nNoNewPrivs:\t1\n" in file.read()


def enter_user_namespace() -> None:
    """Move this process into a user and mount namespace of its own, in which it is root over the caller's ranges.

    The caller's own uid and gid are 0 there, those of its ranges 1 and up, in the order of the files. Owners that a
    process sets in the namespace are real ids of these ranges on the host. There is no way back.

    :raises UnsupportedError: the caller is root, who needs none; there are no ranges; ``newuidmap`` or ``newgidmap`` is
        missing or refuses; or the process has several threads, which no user namespace takes. Nothing has changed then.
    """
    if os.geteuid() == 0:
        raise errors.UnsupportedError("root has all ids already: run the command without a user namespace")
    missing = missing_ids()
    if missing is not None:
        raise errors.UnsupportedError(missing)
    if len(os.listdir("/proc/self/task")) > 1:
        raise errors.UnsupportedError(
            "a process with several threads cannot enter a user namespace: call this before any is started"
        )
    library = load().lib
    with contextlib.ExitStack() as stack:
        child = _namespace(stack, library)
        _map(child)
        space = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, space)
        check(library.ok_join_user(space))


def _namespace(stack: contextlib.ExitStack, library: Any) -> int:
    """Make a user namespace, and return a process that is in it and ends when the stack is closed.

    This process enters when the ids are there: one that has none can do nothing more, and cannot go back.
    """
    held_read, held_write = os.pipe()
    said_read, said_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(held_write)
            os.write(said_write, str(library.ok_unshare_user()).encode())
            os.read(held_read, 1)
        finally:
            os._exit(0)
    stack.callback(os.waitpid, child, 0)
    stack.callback(os.close, held_write)
    os.close(held_read)
    os.close(said_write)
    with open(said_read, "rb") as file:
        # Nothing closes the other end before it has ended.
        said = os.read(file.fileno(), 16)
    code = -int(said or -errno.ECHILD)
    if code:
        raise errors.UnsupportedError(
            f"no user namespace can be made here ({os.strerror(code)}): allow them (sysctl user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone)"
        )
    return child


def _map(child: int) -> None:
    """Have the ids of a process's new user namespace set, by the two programs that may."""
    running = []
    for (program, path), own in zip(_PROGRAMS, (os.geteuid(), os.getegid()), strict=True):
        where = _which(program)
        assert where is not None
        words = [where, str(child), *_mapping(own, subordinate_ids(path))]
        read, write = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, write, 2)]
        try:
            running.append((os.posix_spawn(where, words, os.environ, file_actions=actions), read, where))
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
    failed = ""
    for pid, read, where in running:
        with open(read, encoding="utf-8", errors="replace") as file:
            said = " ".join(file.read().split())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            failed = failed or said or f"{where} ended with {code}"
    if failed:
        raise errors.UnsupportedError(
            f"the ids of the user namespace cannot be set ({failed}): check the lines of /etc/subuid and /etc/subgid"
        )


def _mapping(own: int, ranges: Sequence[IdRange]) -> list[str]:
    words = ["0", str(own), "1"]
    inside = 1
    for one in ranges:
        words += [str(inside), str(one.start), str(one.count)]
        inside += one.count
    return words
