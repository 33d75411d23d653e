"""renameat2(2)."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from ..tree import RenameFlag
from ._node import Directory
from ._resolve import Last, failure, is_long, walk

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath
    from ._inodes import Inodes
    from ._node import Node
    from ._resolve import Place

__all__ = ["rename"]

_KNOWN = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE


def rename(inodes: Inodes, src: StrOrBytesPath, dst: StrOrBytesPath, flags: RenameFlag) -> None:
    """Rename. In a writing bracket; the checks come in the kernel's order (``do_renameat2``, ``vfs_rename``).

    :raises OSError: as renameat2(2).
    """
    if int(flags) & ~int(_KNOWN):
        raise failure(errno.EINVAL, src, dst)
    source = walk(inodes, src, (src, dst), follow=False, slash_follows=False)
    target = walk(inodes, dst, (src, dst), follow=False, slash_follows=False)
    code = _refusal(inodes, source, target, flags)
    if code:
        raise failure(code, src, dst)
    moved, replaced = source.node, target.node
    assert moved is not None
    if replaced is not None and moved.ino == replaced.ino:
        return
    code = _misfit(moved, replaced, flags)
    if code:
        raise failure(code, src, dst)

    now = time.time_ns()
    old, new = inodes.directory(source.directory.ino), inodes.directory(target.directory.ino)
    here, there = (old.ino, source.name), (new.ino, target.name)
    if flags & RenameFlag.EXCHANGE:
        assert replaced is not None
        new.entries[target.name] = moved.ino
        old.entries[source.name] = replaced.ino
        _arrive(inodes, replaced, there, here, now)
        for node, leaves, enters in ((moved, old, new), (replaced, new, old)):
            if isinstance(node, Directory):
                leaves.nlink -= 1
                enters.nlink += 1
    else:
        new.entries[target.name] = moved.ino
        del old.entries[source.name]
        if isinstance(moved, Directory):
            old.nlink -= 1
            new.nlink += 1
        if isinstance(replaced, Directory):
            new.nlink -= 1
            inodes.forget(replaced.ino)
        elif replaced is not None:
            inodes.lose_name(replaced, there, now)
    _arrive(inodes, moved, here, there, now)
    for directory in (old, new):
        directory.mtime = directory.ctime = now


def _arrive(inodes: Inodes, node: Node, old: tuple[int, str], new: tuple[int, str], now: int) -> None:
    node = inodes.mine(node.ino)
    node.move_name(old, new)
    node.ctime = now


def _refusal(inodes: Inodes, source: Place, target: Place, flags: RenameFlag) -> int:
    """Return the errno of what is wrong with the two places, 0 where nothing is."""
    if Last.ROOT in (source.last, target.last):
        return errno.EEXIST if target.last is Last.ROOT and flags & RenameFlag.NOREPLACE else errno.EBUSY
    if flags == _KNOWN:
        return errno.EINVAL
    if source.last is not Last.NAME:
        return errno.EBUSY
    if target.last is not Last.NAME:
        return errno.EEXIST if flags & RenameFlag.NOREPLACE else errno.EBUSY
    if is_long(source.name):
        return errno.ENAMETOOLONG
    exchange = bool(flags & RenameFlag.EXCHANGE)
    if source.node is None:
        return errno.ENOENT
    if is_long(target.name):
        return errno.ENAMETOOLONG
    if flags & RenameFlag.NOREPLACE and target.node is not None:
        return errno.EEXIST
    if exchange:
        if target.node is None:
            return errno.ENOENT
        if target.slash and not isinstance(target.node, Directory):
            return errno.ENOTDIR
    if not isinstance(source.node, Directory) and (source.slash or (target.slash and not exchange)):
        return errno.ENOTDIR
    if _is_above(inodes, source.node, target.directory):
        return errno.EINVAL
    if target.node is not None and _is_above(inodes, target.node, source.directory):
        return errno.EINVAL if exchange else errno.ENOTEMPTY
    return 0


def _misfit(moved: Node, replaced: Node | None, flags: RenameFlag) -> int:
    """Return the errno of why one cannot replace the other, 0 where it can."""
    if replaced is None or flags & RenameFlag.EXCHANGE:
        return 0
    if isinstance(moved, Directory):
        if not isinstance(replaced, Directory):
            return errno.ENOTDIR
        return errno.ENOTEMPTY if replaced.entries else 0
    return errno.EISDIR if isinstance(replaced, Directory) else 0


def _is_above(inodes: Inodes, node: Node, directory: Directory) -> bool:
    """Tell whether ``node`` is ``directory`` or one that contains it."""
    if not isinstance(node, Directory):
        return False
    current = directory.ino
    while current != node.ino:
        if current == inodes.root:
            return False
        current = inodes.node(current).home[0]
    return True
