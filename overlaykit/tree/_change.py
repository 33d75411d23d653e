"""What differs between two trees, as values."""

from __future__ import annotations

import enum
import os

from ..values import value_class

__all__ = ["Aspect", "Change", "ChangeKind", "change_order"]


class ChangeKind(enum.StrEnum):
    """What happened to a path."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


class Aspect(enum.Flag):
    """What of a modified path differs.

    A change of :attr:`TYPE` stands alone: nothing else of two objects of different types is worth comparing.
    """

    NONE = 0
    TYPE = enum.auto()  #: another file type
    CONTENT = enum.auto()  #: other bytes in a regular file
    MODE = enum.auto()  #: permission bits, setuid, setgid, sticky
    OWNER = enum.auto()  #: uid or gid
    MTIME = enum.auto()  #: modification time, to the nanosecond
    XATTRS = enum.auto()  #: any extended attribute, ACLs and file capabilities included
    TARGET = enum.auto()  #: a symbolic link's target
    DEVICE = enum.auto()  #: a device node's number
    LINKS = enum.auto()  #: which names, of those that both trees have, are hard links of one file


@value_class
class Change:
    """One path that differs.

    :param kind: what happened.
    :param path: relative to the root, no leading slash; the root itself is ``"."``. Bytes that are not UTF-8 are
        surrogate-escaped as by :func:`os.fsdecode`.
    :param aspects: what differs; :attr:`Aspect.NONE` unless the kind is ``MODIFIED``.

    A list of changes is *minimal* and *complete*: below a deleted directory, or one replaced by something that is no
    directory, nothing is listed; below an added directory everything is; each path stands once. It depends on
    the two trees alone, never on how one became the other: a directory deleted and made again is compared entry by
    entry. (OCI image specification, layer.md, "Change Types".)
    """

    kind: ChangeKind
    path: str
    aspects: Aspect = Aspect.NONE


def change_order(path: str) -> tuple[bytes, ...]:
    """Return the sort key that puts changes in tree order: a parent, then its children by the bytes of their names.

    :param path: a path as :attr:`Change.path` has it.
    """
    return () if path == "." else tuple(os.fsencode(path).split(b"/"))
