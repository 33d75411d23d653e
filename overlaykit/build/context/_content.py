"""What files are by content, read in a way that notices when they change meanwhile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import time
from typing import TYPE_CHECKING

from ... import errors
from ._stats import NOTHING, Known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...tree import Tree
    from ._select import Entry
    from ._stats import StatCache

__all__ = ["content_digest", "look_again", "open_entry", "refusal", "xattrs_of"]

_CHUNK = 1 << 20
_LARGE = 1 << 18
_THREADS = 4
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_OTHERS = ("user.overlay.", "user.containers.")
"""Attributes by which overlayfs and those who keep owners without privileges say something of the file."""


def content_digest(
    tree: Tree, entries: Sequence[Sequence[Entry]], *, owners: bool, stats: StatCache | None = None
) -> str:
    """Return what entries are: targets, types, modes, content, hard links and attributes, and never their times.

    :param owners: whether it matters whose they are.
    :param stats: what is known of the files of a directory of this machine.
    :raises BuildError: a file changed while it was read, or may not be read.
    """
    found: dict[int, Known] = {}
    missing = []
    for group in entries:
        for entry in group:
            if stat.S_ISREG(entry.status.st_mode):
                known = None if stats is None else stats.find(entry.status)
                if known is None:
                    missing.append(entry)
                else:
                    found[id(entry)] = known
    for entry, known, begun in _read_all(tree, missing):
        found[id(entry)] = known
        if stats is not None:
            stats.note(entry.status, known, begun)
    digest = hashlib.sha256()
    for group in entries:
        links: dict[tuple[int, int], int] = {}
        lines = []
        for index, entry in enumerate(group):
            known = found.get(id(entry))
            if known is None or owners or entry.status.st_nlink > 1:
                lines.append(_line(tree, entry, known, links, index, owners=owners))
            else:
                # What _line() returns of most files.
                mode = entry.status.st_mode
                parts = os.fsencode(entry.target), stat.S_IFMT(mode), stat.S_IMODE(mode), *known
                lines.append(b"%s\0%o %o\0%s\0%s\n" % parts)
        digest.update(b"\0source\n" + b"".join(lines))
    return "sha256:" + digest.hexdigest()


def _read_all(tree: Tree, entries: Iterable[Entry]) -> Iterable[tuple[Entry, Known, int]]:
    small: list[Entry] = []
    large: list[Entry] = []
    for entry in entries:
        (large if entry.status.st_size >= _LARGE else small).append(entry)
    if len(large) < 2:
        return [_read(tree, entry) for entry in (*small, *large)]
    # Hashing lets go of the interpreter: large files at the same time, small ones meanwhile.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS, "overlaykit-hash") as pool:
        futures = [pool.submit(_read, tree, entry) for entry in large]
        try:
            done = [_read(tree, entry) for entry in small]
            return [*done, *(future.result() for future in futures)]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _read(tree: Tree, entry: Entry) -> tuple[Entry, Known, int]:
    begun = time.time_ns()
    digest = hashlib.sha256()
    with open_entry(tree, entry) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
        xattrs = xattrs_of(tree, entry)
        look_again(file, entry)
    return entry, Known(digest.digest(), _xattrs_digest(xattrs)), begun


def open_entry(tree: Tree, entry: Entry) -> io.RawIOBase:
    """Open a file, if it is still the one that was selected; what took its place is not waited for.

    :raises BuildError: it changed, or may not be read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if entry.named else os.O_NOFOLLOW)
    try:
        file = tree.open_raw(entry.source, flags)
    except OSError as error:
        refused = refusal(entry.source, error.errno)
        if refused is None:
            raise
        raise refused from error
    try:
        look_again(file, entry)
    except BaseException:
        file.close()
        raise
    return file


def refusal(path: str, number: int | None) -> errors.BuildError | None:
    """Return what it means that a file that was selected cannot be opened, ``None`` where that says nothing new."""
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ESTALE):
        return _changed(path)
    if number in (errno.EACCES, errno.EPERM):
        return errors.BuildError(
            f"{path[:200]!r} may not be read: change its mode, or leave it out with a .dockerignore"
        )
    return None


def look_again(file: io.RawIOBase, entry: Entry) -> None:
    """Check that a file is still as it was selected.

    :raises BuildError: it changed.
    """
    try:
        descriptor = file.fileno()
    except io.UnsupportedOperation:
        return  # a tree in memory, which nobody writes to meanwhile
    now, then = os.fstat(descriptor), entry.status
    if (
        stat.S_IFMT(now.st_mode) != stat.S_IFMT(then.st_mode)
        or now.st_size != then.st_size
        or now.st_mtime_ns != then.st_mtime_ns
        or now.st_ctime_ns != then.st_ctime_ns
    ):
        raise _changed(entry.source)


def _changed(path: str) -> errors.BuildError:
    return errors.BuildError(f"{path[:200]!r} changed while it was copied: build again when it is at rest")


def xattrs_of(tree: Tree, entry: Entry) -> list[tuple[str, bytes]]:
    """Return the extended attributes that a copy has too: the user's, the file's capabilities and its ACLs."""
    found = []
    with contextlib.suppress(OSError):  # a file system without, or an attribute that went meanwhile
        for name in tree.listxattr(entry.source, follow_symlinks=entry.named):
            users = name.startswith("user.") and not name.startswith(_OTHERS)
            if users or name == "security.capability" or name in _ACLS:
                found.append((name, tree.getxattr(entry.source, name, follow_symlinks=entry.named)))
    return found


def _xattrs_digest(xattrs: Sequence[tuple[str, bytes]]) -> bytes:
    if not xattrs:
        return NOTHING
    digest = hashlib.sha256()
    for name, value in xattrs:
        digest.update(b"%s\0%d\0%s" % (os.fsencode(name), len(value), value))
    return digest.digest()


def _line(
    tree: Tree, entry: Entry, known: Known | None, links: dict[tuple[int, int], int], index: int, *, owners: bool
) -> bytes:
    status = entry.status
    kind = stat.S_IFMT(status.st_mode)
    mode = stat.S_IMODE(status.st_mode)
    if kind == stat.S_IFLNK:
        mode = 0o777
    elif kind == stat.S_IFDIR and not entry.target:
        mode = 0o755  # only what is in it is copied
    parts = [os.fsencode(entry.target), b"%o %o" % (kind, mode)]
    if owners:
        parts.append(b"%d:%d" % (status.st_uid, status.st_gid))
    if known is not None:
        parts += known
    elif kind == stat.S_IFLNK:
        parts.append(os.fsencode(tree.readlink(entry.source)))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        parts.append(b"%d" % status.st_rdev)
    elif kind == stat.S_IFDIR and entry.target:
        parts.append(_xattrs_digest(xattrs_of(tree, entry)))
    if status.st_nlink > 1 and kind != stat.S_IFDIR:
        first = links.setdefault((status.st_dev, status.st_ino), index)
        if first != index:
            parts.append(b"link %d" % first)
    return b"\0".join(parts) + b"\n"
