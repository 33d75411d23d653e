"""What a snapshot takes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit.driver import Usage
from overlaykit.inodes import blocks_of

from ._content import Parts
from ._node import File

if TYPE_CHECKING:
    from ._snapshot import Snapshot

__all__ = ["usage"]


def usage(snapshot: Snapshot) -> Usage:
    """Return the bytes of content that no layer below holds, in whole blocks, and the inodes made or changed.

    Takes time in proportion to what the snapshot changed.
    """
    total = inodes = 0
    for node in snapshot.living():
        inodes += 1
        if isinstance(node, File):
            total += _bytes(node, snapshot.before(node.ino))
    return Usage(total * 512, inodes)


def _bytes(node: File, before: object) -> int:
    old = before.data if isinstance(before, File) else b""
    data = node.data
    if isinstance(data, Parts):
        shared = old.parts if isinstance(old, Parts) else {}
        return sum(blocks_of(len(part)) for number, part in data.parts.items() if shared.get(number) is not part)
    return 0 if data is old else blocks_of(len(data))
