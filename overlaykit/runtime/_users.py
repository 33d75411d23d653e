"""Users and groups of a container, by name or number, looked up in its own files."""

from __future__ import annotations

import errno

from .. import errors
from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..tree import Tree

__all__ = ["User", "find_user"]

_LARGEST = 1 << 24
_MAX_ID = (1 << 32) - 2


@value_class
class User:
    """Who a process is.

    :param groups: supplementary ones.
    :param home: the directory from ``/etc/passwd``; ``""`` where the user is not in it.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = ""


def find_user(tree: Tree, text: str) -> User:
    """Look a user up in ``/etc/passwd`` and ``/etc/group`` of a tree, whose symbolic links do not lead out of it.

    As Docker has it: a number need not be in the files, and its group is 0 then; with a group given, there are no
    supplementary ones; a number that is a user's name means that user.

    :param text: ``USER``, ``USER:GROUP``, ``UID``, ``UID:GID``, or ``""`` for root.
    :raises RunError: there is no such user or group in the image.
    """
    name, colon, group = text.partition(":")
    if colon and not group:
        raise errors.RunError(f"the user {text[:100]!r} has no group after its colon: leave the colon out")
    uid, gid, home, login, known = _user(tree, name or "0", text)
    if group:
        return User(uid, _group(tree, group, text), (), home)
    groups = tuple(sorted({number for number, members in _groups(tree) if login in members})) if known else ()
    return User(uid, gid, groups, home)


def _user(tree: Tree, name: str, text: str) -> tuple[int, int, str, str, bool]:
    by_number = None
    number = int(name) if name.isdecimal() else -1
    for fields in _lines(tree, "etc/passwd", 7):
        if not (fields[2].isdecimal() and fields[3].isdecimal()):
            continue
        entry = (int(fields[2]), int(fields[3]), fields[5], fields[0], True)
        if fields[0] == name:
            return entry
        if by_number is None and entry[0] == number:
            by_number = entry
    if by_number is not None:
        return by_number
    if number < 0:
        raise errors.RunError(
            f"there is no user {name[:100]!r} in the image's /etc/passwd: give a number, or another user"
        )
    return _checked(number, text), 0, "", "", False


def _group(tree: Tree, name: str, text: str) -> int:
    for fields in _lines(tree, "etc/group", 4):
        if fields[0] == name and fields[2].isdecimal():
            return int(fields[2])
    if not name.isdecimal():
        raise errors.RunError(
            f"there is no group {name[:100]!r} in the image's /etc/group: give a number, or another group"
        )
    return _checked(int(name), text)


def _checked(number: int, text: str) -> int:
    if number > _MAX_ID:
        raise errors.RunError(f"{text[:100]!r} is no user: ids end at {_MAX_ID}")
    return number


def _groups(tree: Tree) -> Iterator[tuple[int, list[str]]]:
    for fields in _lines(tree, "etc/group", 4):
        if fields[2].isdecimal():
            yield int(fields[2]), fields[3].split(",")


def _lines(tree: Tree, path: str, least: int) -> Iterator[list[str]]:
    try:
        with tree.open(path, "rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR):
            return
        raise
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields
