"""What differs between two trees: the general answer, for storage that does not know what changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from ._change import Aspect, Change, ChangeKind

TYPE_CHECKING = False

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from ._entry import TreeEntry
    from ._tree import Tree


__all__ = ["LinkGroups", "Unchanged", "compare", "difference", "same_content", "tree_digest"]

Unchanged = Callable[[str, os.stat_result, os.stat_result], bool]
"""Tells of a path and its attributes in both trees whether the storage proves that its bytes are the same in both."""

_CHUNK = 1 << 18
"""Bytes read from a file at once."""

_SMALL = 1 << 15
"""Files up to this size are read whole."""

_FRESH_MODE = 0o755
"""The permission bits of an empty snapshot's root; :meth:`overlaykit.driver.Driver.prepare`."""


class LinkGroups:
    """Which names are hard links of one file, as far as both trees have them; :attr:`Aspect.LINKS`.

    The names that both trees have form groups by the file they are in one tree. Each name is represented by the
    smallest of its group; a name that the two trees represent by different ones is linked otherwise. Only files with
    more than one name take memory.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[int, int], str] = {}
        self._after: dict[tuple[int, int], str] = {}

    def differ(self, path: str, before: os.stat_result, after: os.stat_result) -> bool:
        """Tell whether a name is linked otherwise. To be asked of all names that both trees have, in tree order."""
        old = self._first(self._before, path, before)
        new = self._first(self._after, path, after)
        return old != new

    @staticmethod
    def _first(seen: dict[tuple[int, int], str], path: str, status: os.stat_result) -> str:
        if status.st_nlink < 2 or stat.S_ISDIR(status.st_mode):
            return path
        return seen.setdefault((status.st_dev, status.st_ino), path)


def same_content(before: Tree, after: Tree, path: str) -> bool:
    """Tell whether a regular file has the same bytes in two trees, reading until they differ."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
    with before.open_raw(path, flags) as old, after.open_raw(path, flags) as new:
        left, right = bytearray(_CHUNK), bytearray(_CHUNK)
        while True:
            size = _fill(old, left)
            if size != _fill(new, right) or memoryview(left)[:size] != memoryview(right)[:size]:
                return False
            if size < _CHUNK:
                return True
            if left.count(0) == size:
                _skip_holes(old, new)


def _skip_holes(old: io.RawIOBase, new: io.RawIOBase) -> None:
    """Move two files of equal positions over what is a hole in both: sparse images are mostly that."""
    where = old.tell()
    data = min(_next_data(old, where), _next_data(new, where))
    old.seek(data)
    new.seek(data)


def _next_data(file: io.RawIOBase, where: int) -> int:
    """Return where data begin from a position on, or the file ends; the position itself where nobody can tell."""
    try:
        return file.seek(where, os.SEEK_DATA)
    except (AttributeError, ValueError):  # a platform or a file that knows no holes
        return where
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data behind this position
            return max(where, file.seek(0, os.SEEK_END))
        if error.errno == errno.EINVAL:
            return where
        raise


def _fill(file: io.RawIOBase, buffer: bytearray) -> int:
    """Read until ``buffer`` is full or the file ends: a raw read may stop anywhere."""
    view = memoryview(buffer)
    done = 0
    while done < len(buffer):
        got = file.readinto(view[done:])
        if not got:
            break
        done += got
    return done


def _xattrs(tree: Tree, path: str) -> dict[str, bytes]:
    return {
        name: tree.getxattr(path, name, follow_symlinks=False) for name in tree.listxattr(path, follow_symlinks=False)
    }


def difference(
    before: Tree,
    after: Tree,
    path: str,
    old: os.stat_result | None = None,
    new: os.stat_result | None = None,
    *,
    unchanged: Unchanged | None = None,
) -> Aspect:
    """Return what differs of a path that both trees have: every aspect but :attr:`Aspect.LINKS`.

    That one depends on all names that both trees have; see :class:`LinkGroups`. Access and change times, inode
    numbers, link counts and the sizes of directories are never compared.

    :param path: as :attr:`Change.path` has it.
    :param old: the path's attributes in ``before``, not following a link, where they are known.
    :param new: the same in ``after``.
    :param unchanged: asked before the bytes of two files of one size are compared; see :func:`compare`.
    :raises OSError: what reading the trees raises; EACCES where a file that must be read may not be.
    """
    old = before.stat(path, follow_symlinks=False) if old is None else old
    new = after.stat(path, follow_symlinks=False) if new is None else new
    kind = stat.S_IFMT(new.st_mode)
    if stat.S_IFMT(old.st_mode) != kind:
        return Aspect.TYPE
    aspects = Aspect.NONE
    if kind == stat.S_IFLNK:
        if before.readlink(path) != after.readlink(path):
            aspects |= Aspect.TARGET
    elif stat.S_IMODE(old.st_mode) != stat.S_IMODE(new.st_mode):
        aspects |= Aspect.MODE
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        aspects |= Aspect.OWNER
    if old.st_mtime_ns != new.st_mtime_ns:
        aspects |= Aspect.MTIME
    if kind in (stat.S_IFCHR, stat.S_IFBLK) and old.st_rdev != new.st_rdev:
        aspects |= Aspect.DEVICE
    if kind == stat.S_IFREG and _content_differs(before, after, path, old, new, unchanged):
        aspects |= Aspect.CONTENT
    if _xattrs(before, path) != _xattrs(after, path):
        aspects |= Aspect.XATTRS
    return aspects


def _content_differs(
    before: Tree, after: Tree, path: str, old: os.stat_result, new: os.stat_result, unchanged: Unchanged | None
) -> bool:
    if old.st_size != new.st_size:
        return True
    # Equal times prove nothing: two edits within one tick of the clock have one time (layer-semantics, "Diffing").
    if not new.st_size or (unchanged and unchanged(path, old, new)):
        return False
    if new.st_size <= _SMALL:
        return before.read_bytes(path) != after.read_bytes(path)
    return not same_content(before, after, path)


def _fresh_root(after: Tree) -> Aspect:
    """Return what the root of a tree has that an empty snapshot's root has not."""
    status = after.stat()
    aspects = Aspect.NONE
    if stat.S_IMODE(status.st_mode) != _FRESH_MODE:
        aspects |= Aspect.MODE
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        aspects |= Aspect.OWNER
    if after.listxattr():
        aspects |= Aspect.XATTRS
    return aspects


def _entries(tree: Tree, path: str) -> dict[bytes, TreeEntry]:
    return {os.fsencode(entry.name): entry for entry in tree.scandir(path)}


Pair = tuple["TreeEntry | None", "TreeEntry | None"]


def _children(before: Tree | None, after: Tree, path: str) -> list[Pair]:
    """Return the entries of a directory in both trees, side by side, the last in tree order first."""
    new = _entries(after, path)
    old = {} if before is None else _entries(before, path)
    return [(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys(), reverse=True)]


def compare(
    before: Tree | None,
    after: Tree,
    *,
    unchanged: Unchanged | None = None,
) -> Iterator[Change]:
    """Yield how ``after`` differs from ``before``, in tree order (:func:`change_order`), as :class:`Change` says it.

    It reads as it goes: in memory is one listing for each directory on the way down, and the names of files that have
    several.

    :param before: ``None`` is an empty snapshot: every entry is added, and the root is modified where its mode is not
        0755, its owner not the caller, or it has extended attributes. Its time is not compared.
    :param unchanged: called with the path and its attributes in both trees for a regular file of the same size in
        both; true says that the storage *proves* that not one byte differs. Where it is false or not given the
        bytes are compared: equal times are no proof.
    :raises OSError: what reading the trees raises.
    """
    aspects = _fresh_root(after) if before is None else difference(before, after, ".")
    if aspects:
        yield Change(ChangeKind.MODIFIED, ".", aspects)
    links = LinkGroups()
    # Directories to go through, each with the tree it is compared to: None where all below is added.
    levels: list[tuple[Tree | None, list[Pair]]] = [(before, _children(before, after, ""))]
    while levels:
        below, pairs = levels[-1]
        if not pairs:
            levels.pop()
            continue
        old, new = pairs.pop()
        if new is None:
            assert old is not None
            yield Change(ChangeKind.DELETED, old.path)
            continue
        path = new.path
        if old is None or below is None:
            yield Change(ChangeKind.ADDED, path)
            if new.format == stat.S_IFDIR:
                levels.append((None, _children(None, after, path)))
            continue
        was, now = below.stat(path, follow_symlinks=False), after.stat(path, follow_symlinks=False)
        aspects = difference(below, after, path, was, now, unchanged=unchanged)
        # Asked of every name, for it remembers; a change of type stands alone all the same.
        if links.differ(path, was, now) and aspects != Aspect.TYPE:
            aspects |= Aspect.LINKS
        if aspects:
            yield Change(ChangeKind.MODIFIED, path, aspects)
        if stat.S_ISDIR(now.st_mode):
            lower = below if stat.S_ISDIR(was.st_mode) else None
            levels.append((lower, _children(lower, after, path)))


def tree_digest(tree: Tree) -> str:
    """Return a SHA-256 over all that :func:`compare` looks at: equal digests mean that it finds nothing.

    :returns: 64 hexadecimal digits, the same for equal trees in any driver.
    :raises OSError: what reading the tree raises.
    """
    import hashlib

    digest = hashlib.sha256()

    def add(*fields: bytes | int) -> None:
        # Each field with its length: no two lists of fields give the same bytes.
        for field in fields:
            data = field if isinstance(field, bytes) else b"%d" % field
            digest.update(b"%d:" % len(data))
            digest.update(data)

    names: dict[tuple[int, int], bytes] = {}
    todo = [""]
    while todo:
        path = todo.pop()
        status = tree.stat(path, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        name = os.fsencode(path)
        add(name, kind, status.st_uid, status.st_gid, status.st_mtime_ns)
        if kind != stat.S_IFLNK:
            add(stat.S_IMODE(status.st_mode))
        xattrs = sorted(_xattrs(tree, path).items())
        add(len(xattrs))
        for key, value in xattrs:
            add(os.fsencode(key), value)
        if kind == stat.S_IFDIR:
            todo += [entry.path for _, entry in sorted(_entries(tree, path).items(), reverse=True)]
            continue
        first = names.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        add(first)
        if kind == stat.S_IFLNK:
            add(os.fsencode(tree.readlink(path)))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            add(status.st_rdev)
        elif kind == stat.S_IFREG and first == name:
            add(status.st_size)
            with tree.open_raw(path, os.O_RDONLY) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()
