"""How two merged trees differ that share what did not change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..driver import NodeKind
from ..tree import Aspect, ChangeKind
from ._model import EntryChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._model import Entry

__all__ = ["aspects_of", "differences"]


def aspects_of(before: Entry, after: Entry) -> Aspect:
    """Return what differs between two objects: every aspect but :attr:`Aspect.LINKS`."""
    if before.kind is not after.kind:
        return Aspect.TYPE
    aspects = Aspect.NONE
    if before.digest != after.digest or before.size != after.size:
        aspects |= Aspect.CONTENT
    if before.mode != after.mode and after.kind is not NodeKind.SYMLINK:
        aspects |= Aspect.MODE
    if before.uid != after.uid or before.gid != after.gid:
        aspects |= Aspect.OWNER
    if before.mtime != after.mtime:
        aspects |= Aspect.MTIME
    if before.xattrs != after.xattrs:
        aspects |= Aspect.XATTRS
    if before.target != after.target:
        aspects |= Aspect.TARGET
    if before.device != after.device:
        aspects |= Aspect.DEVICE
    return aspects


def differences(before: Entry, after: Entry, layer: int) -> Iterator[EntryChange]:
    """Yield how a layer's merged tree differs from the one below, in tree order.

    What both have in common is not looked at: it is the same object.

    :param layer: the layer's index.
    """
    told: set[int] = set()

    def stored(entry: Entry) -> int:
        if entry.layer != layer or not entry.stored or entry.inode in told:
            return 0
        told.add(entry.inode)
        return entry.stored

    pending: list[tuple[bytes, Entry | None, Entry | None]] = [(b"", before, after)]
    while pending:
        path, old, new = pending.pop()
        if old is new:
            continue
        text = os.fsdecode(path) or "."
        if new is None:
            yield EntryChange(ChangeKind.DELETED, text, Aspect.NONE, old, None, 0)
        elif old is None:
            yield EntryChange(ChangeKind.ADDED, text, Aspect.NONE, None, new, stored(new))
        else:
            aspects = aspects_of(old, new)
            if aspects or (new.kind is NodeKind.FILE and new.size):
                yield EntryChange(ChangeKind.MODIFIED, text, aspects, old, new, stored(new))
        was = None if old is None else old.children
        now = None if new is None else new.children
        if was is now:
            continue
        was, now = was or {}, now or {}
        start = path + b"/" if path else b""
        for name in sorted(was.keys() | now.keys(), reverse=True):
            one, other = was.get(name), now.get(name)
            if one is not other:
                pending.append((start + name, one, other))
