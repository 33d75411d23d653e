"""User namespaces in which an ordinary user has many ids, as ``/etc/subuid`` and ``/etc/subgid`` give them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from .. import errors
from ..values import value_class
from ._lib import check, load

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IdRange", "enter_user_namespace", "subordinate_ids"]


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
    import pwd

    uid = os.getuid()
    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    found = []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                parts = line.strip().split(":")
                if len(parts) == 3 and parts[0] in names and parts[1].isdecimal() and parts[2].isdecimal():
                    found.append(IdRange(int(parts[1]), int(parts[2])))
    except FileNotFoundError:
        return ()
    return tuple(one for one in found if one.count)


def enter_user_namespace() -> None:
    """Move this process into a user and mount namespace of its own, in which it is root over the caller's ranges.

    The caller's own uid and gid are 0 there, those of its ranges 1 and up, in the order of the files. Owners that a
    process sets in the namespace are real ids of these ranges on the host. There is no way back.

    :raises UnsupportedError: the caller is root, who needs none; there are no ranges; ``newuidmap`` or ``newgidmap`` is
        missing or refuses; or the process has several threads, which no user namespace takes.
    """
    import shutil

    if os.geteuid() == 0:
        raise errors.UnsupportedError("root has all ids already: run the command without a user namespace")
    commands = []
    for program, path, own in (
        ("newuidmap", "/etc/subuid", os.geteuid()),
        ("newgidmap", "/etc/subgid", os.getegid()),
    ):
        where = shutil.which(program)
        if where is None:
            raise errors.UnsupportedError(f"{program} is missing: install the package uidmap or shadow-utils")
        ranges = subordinate_ids(path)
        if not ranges:
            raise errors.UnsupportedError(
                f"{path} has no range for this user: have root add one (usermod --add-sub{path[-3:]}s FIRST-LAST USER)"
            )
        commands.append([where, str(os.getpid()), *_mapping(own, ranges)])
    _enter(commands)


def _mapping(own: int, ranges: Sequence[IdRange]) -> list[str]:
    words = ["0", str(own), "1"]
    inside = 1
    for one in ranges:
        words += [str(inside), str(one.start), str(one.count)]
        inside += one.count
    return words


def _enter(commands: Sequence[Sequence[str]]) -> None:
    """Leave the namespace while a child stays in it, who alone may have the mapping written from there."""
    library = load().lib
    begin_read, begin_write = os.pipe()
    report_read, report_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(begin_write)
            os.close(report_read)
            message = _map(commands) if os.read(begin_read, 1) else ""
            os.write(report_write, message.encode(errors="surrogateescape")[:4096])
        finally:
            os._exit(0)
    os.close(begin_read)
    os.close(report_write)
    try:
        try:
            check(library.ok_unshare_user())
        except OSError as error:
            raise errors.UnsupportedError(
                f"no user namespace can be made here ({error.strerror}): allow them (sysctl "
                "user.max_user_namespaces, kernel.unprivileged_userns_clone), and call this from a single thread"
            ) from error
        os.write(begin_write, b"x")
        message = os.read(report_read, 4096).decode(errors="surrogateescape")
        if message != "done":
            raise errors.UnsupportedError(
                f"the ids of the user namespace cannot be set ({message or 'no answer'}): check /etc/subuid, "
                "/etc/subgid and that newuidmap and newgidmap are set-uid root"
            )
    finally:
        os.close(begin_write)
        os.close(report_read)
        os.waitpid(child, 0)


def _map(commands: Sequence[Sequence[str]]) -> str:
    import subprocess

    try:
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return " ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}"
    except OSError as error:
        return str(error)
    return "done"
