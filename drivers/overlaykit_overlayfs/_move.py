"""Renaming directories that come from a layer below.

The kernel says EXDEV there: without ``redirect_dir``, which needs root and makes layers depend on each other's paths,
it would have to copy. So it is copied here, beside the destination, under a name that the tree does not show, and
renamed.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from overlaykit.tree import RenameFlag, link_directory, remove_path, set_attributes

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.tree import HostTree

    from ._journal import Journal, Record

__all__ = ["exchange", "move_directory", "remake_name"]


def _passing(journal: Journal, path: str) -> tuple[str, str]:
    """Return a path's directory, and the path of a passing object in it."""
    parent = os.path.dirname(path)
    name = f"{journal.token}{os.urandom(6).hex()}"
    return parent, f"{parent}/{name}" if parent else name


def _status(raw: HostTree, path: str) -> os.stat_result | None:
    try:
        return raw.lstat(path)
    except FileNotFoundError:
        return None


def move_directory(
    raw: HostTree, journal: Journal, join: Callable[[str], None], source: str, target: str, flags: RenameFlag
) -> None:
    """Rename a directory by copying; the caller holds the snapshot's lock.

    The new name appears whole, then the old one goes. Whoever looks meanwhile sees both, never neither.

    :param join: keeps the names of a file together; see :func:`~overlaykit.tree.link_directory`.
    :raises OSError: ENOTEMPTY as rename(2); or the storage fails: everything is as it was.
    """
    replaced = _status(raw, target)
    if replaced is not None and raw.listdir(target):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), source, None, target)
    kept = {} if replaced is None else {name: raw.getxattr(target, name) for name in raw.listxattr(target)}
    parent, passing = _passing(journal, target)
    before = raw.stat(parent)
    record = journal.begin("passing", passing)
    try:
        link_directory(raw, source, passing, join=join)
        journal.turn(record, "move", passing, source)
        raw.rename(passing, target, flags=flags)
    except BaseException:
        _undo_copy(raw, journal, record, passing, parent, before)
        raise
    try:
        remove_path(raw, source)
    except BaseException:
        # What was removed already comes back from the copy. Where that fails too, the copy stays: it is whole.
        link_directory(raw, target, source, join=join)
        remove_path(raw, target)
        if replaced is not None:
            raw.mkdir(target, 0o700)
            set_attributes(raw, target, replaced, kept)
        raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        raise
    finally:
        journal.end(record)


def _undo_copy(
    raw: HostTree, journal: Journal, record: Record, passing: str, parent: str, before: os.stat_result
) -> None:
    with suppress(FileNotFoundError):
        remove_path(raw, passing)
    raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    journal.end(record)


def exchange(raw: HostTree, journal: Journal, join: Callable[[str], None], first: str, second: str) -> None:
    """Exchange two names of which at least one is a directory of a layer; the caller holds the snapshot's lock.

    Each such directory is first replaced by a copy at its own place, which for a moment is there in part; the
    exchange itself is atomic.

    :raises OSError: the storage fails: everything is as it was.
    """
    for path in (first, second):
        if raw.is_dir(path, follow_symlinks=False):
            _settle(raw, journal, join, path)
    raw.rename(first, second, flags=RenameFlag.EXCHANGE)


def _settle(raw: HostTree, journal: Journal, join: Callable[[str], None], path: str) -> None:
    """Make a directory one that the kernel renames: one that no layer below has a part in."""
    parent, passing = _passing(journal, path)
    before = raw.stat(parent)
    record = journal.begin("passing", passing)
    try:
        link_directory(raw, path, passing, join=join)
    except BaseException:
        _undo_copy(raw, journal, record, passing, parent, before)
        raise
    journal.turn(record, "replace", passing, path)
    try:
        remove_path(raw, path)
    except BaseException:
        link_directory(raw, passing, path, join=join)
        _undo_copy(raw, journal, record, passing, parent, before)
        raise
    raw.rename(passing, path)
    raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    journal.end(record)


def remake_name(raw: HostTree, journal: Journal, name: str, other: str) -> None:
    """Replace a file's name by a new link to the file under another of its names; the caller holds the snapshot's lock.

    For a moment the name is not there.
    """
    parent, passing = _passing(journal, name)
    before = raw.stat(parent)
    record = journal.begin("replace", passing, name)
    try:
        raw.link(other, passing)
    except BaseException:
        journal.end(record)
        raise
    try:
        raw.unlink(name)
    except BaseException:
        raw.unlink(passing)
        journal.end(record)
        raise
    raw.rename(passing, name)  # where this fails the record stays, and the next tree has the name again
    raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    journal.end(record)
