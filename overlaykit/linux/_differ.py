"""How two directory trees differ by names and attributes."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, NamedTuple

from ._lib import load
from ._trees import call_with_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Difference", "DifferenceFlag", "differ"]


class DifferenceFlag(enum.IntFlag):
    """What was found of a path."""

    ADDED = 1  #: only in the second tree; all that is below follows
    DELETED = 2  #: only in the first tree; what is below does not follow
    TYPE = 4  #: of another type; what is below a directory that it became follows as added
    LOOK = 8  #: not proven to be the same: to be looked at
    LINKS = 16  #: with ``LOOK``: it is a hard link of another name than before, among the names that both trees have


class Difference(NamedTuple):
    """One path.

    :param flags: one of ``ADDED``, ``DELETED``, ``TYPE``, ``LOOK``, ``LOOK | LINKS``.
    :param path: relative to the roots.
    """

    flags: DifferenceFlag
    path: str


def differ(before: int, after: int, *, begun: int, done: int, same_inodes: bool = False) -> Iterator[Difference]:
    """Yield how a tree differs from the one it was copied from, in tree order.

    An entry is left out where type, permission bits, owner, size, device number and modification time are equal and its
    change time proves that nobody touched it since: that is in ``[begun, done)``, or with ``same_inodes``, for a
    snapshot by the file system, inode number and change time are those of the first tree and that is before ``done``.
    The roots themselves are not compared. Both trees are walked before the first item is given out.

    :param before: descriptor of the root of the tree that was copied.
    :param after: descriptor of the root of the copy.
    :param begun: the file system's clock when the copying began, in nanoseconds since the epoch.
    :param done: the same when it was over.
    :raises OSError: something cannot be looked at; ``filename`` is its path.
    """
    native = load()
    found = native.ffi.gc(native.ffi.new("struct ok_differences *"), native.lib.ok_differ_free)
    call_with_path(native.lib.ok_differ, before, after, begun, done, same_inodes, found)
    return _records(bytes(native.ffi.buffer(found.records, found.size)) if found.size else b"")


def _records(data: bytes) -> Iterator[Difference]:
    at = 0
    while at < len(data):
        end = data.index(0, at + 1)
        yield Difference(DifferenceFlag(data[at]), os.fsdecode(data[at + 1 : end]))
        at = end + 1
