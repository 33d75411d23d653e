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


def differ(before: int, after: int, *, begun: int, done: int, inodes: bytes | None) -> Iterator[Difference]:
    """Yield how a tree differs from the one it was copied from, in tree order.

    An entry is left out where type, permission bits, owner, size, device number and modification time are equal, and it
    is proven that it is the very inode that was made of the other tree's, and that nobody touched it since: ``inodes``
    says which that is, and its change time is in ``[begun, done)``. The roots themselves are not compared. Both trees
    are walked before the first item is given out.

    :param before: descriptor of the root of the tree that was copied.
    :param after: descriptor of the root of the copy.
    :param begun: the file system's clock when the copying began, in nanoseconds since the epoch.
    :param done: the same when it was over.
    :param inodes: what :func:`copy_tree` wrote. ``None`` for a snapshot by the file system, in which inode numbers and
        change times are the same.
    :raises OSError: something cannot be looked at; ``filename`` is its path.
    """
    native = load()
    found = native.ffi.gc(native.ffi.new("struct ok_differences *"), native.lib.ok_differ_free)
    pairs = native.ffi.NULL if inodes is None else native.ffi.from_buffer("uint64_t[]", inodes)
    count = 0 if inodes is None else len(pairs) // 2
    call_with_path(native.lib.ok_differ, before, after, begun, done, pairs, count, found)
    return _records(bytes(native.ffi.buffer(found.records, found.size)) if found.size else b"")


def _records(data: bytes) -> Iterator[Difference]:
    at = 0
    while at < len(data):
        end = data.index(0, at + 1)
        yield Difference(DifferenceFlag(data[at]), os.fsdecode(data[at + 1 : end]))
        at = end + 1
