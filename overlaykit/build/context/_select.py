"""What the sources of a COPY are in a tree, and what they are by content."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import posixpath
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...tree import Tree
    from ._ignore import Ignore

__all__ = ["Entry", "content_digest", "select"]

_MAGIC = frozenset("*?[")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to copy.

    :param source: its path in the tree.
    :param target: where it goes, below the target; ``""`` for the target itself.
    :param status: of the source; of what a link leads to where the link itself was named.
    :param named: whether the instruction named it, and not a directory above it; then a link is followed.
    """

    source: str
    target: str
    status: os.stat_result
    named: bool = False


def select(
    tree: Tree,
    sources: Sequence[str],
    *,
    ignore: Ignore,
    exclude: Ignore,
    parents: bool = False,
) -> list[list[Entry]]:
    """Find what sources name: a list for each path that they match, a directory's with all in it, sorted by names.

    :param ignore: what is not there at all, by paths from the root of the tree.
    :param exclude: what is left out, by paths from each source.
    :param parents: keep the directories of the sources, those before ``/./`` excepted.
    :raises BuildError: a source is not there, or outside the tree.
    """
    found = []
    for written in sources:
        pivot, dot, rest = written.partition("/./")
        whole = f"{pivot}/{rest}" if parents and dot else written
        base = _clean(pivot, written) if parents and dot else ""
        path = _clean(whole, written)
        matches = sorted(_matches(tree, path, ignore)) if _MAGIC & set(path) else [path]
        matches = [one for one in matches if one == "." or not ignore.matches(one) or _keeps(tree, one, ignore)]
        if not matches:
            raise _missing(written, ignore)
        for match in matches:
            target = posixpath.relpath(match, base) if base not in ("", ".") else match
            found.append(list(_below(tree, match, written, ignore, exclude, target if parents else None)))
    return found


def _keeps(tree: Tree, path: str, ignore: Ignore) -> bool:
    return ignore.keeps and tree.is_dir(path)


def _clean(path: str, written: str) -> str:
    cleaned = posixpath.normpath(path.lstrip("/") or ".")
    if cleaned == ".." or cleaned.startswith("../"):
        raise errors.BuildError(
            f"{written[:200]!r} is outside of the build context: copy it into the context, or give its directory with "
            "--build-context"
        )
    return cleaned


def _missing(written: str, ignore: Ignore) -> errors.BuildError:
    why = ", or .dockerignore leaves it out" if ignore else ""
    return errors.BuildError(f"there is no {written[:200]!r} to copy{why}: check the path, which begins at the context")


def _matches(tree: Tree, pattern: str, ignore: Ignore) -> Iterator[str]:
    """Yield what a pattern matches, name by name as Go's ``filepath.Match`` does."""
    paths = ["."]
    for part in pattern.split("/"):
        step = []
        for path in paths:
            if not _MAGIC & set(part):
                if tree.exists(posixpath.join(path, part)):
                    step.append(posixpath.normpath(posixpath.join(path, part)))
            elif tree.is_dir(path):
                names = [entry.name for entry in tree.scandir(path)]
                fitting = fnmatch.filter(names, part.replace("[^", "[!"))
                step += [posixpath.normpath(posixpath.join(path, name)) for name in fitting]
        paths = step
    for path in paths:
        if not ignore.matches(path) or _keeps(tree, path, ignore):
            yield path


def _below(tree: Tree, path: str, written: str, ignore: Ignore, exclude: Ignore, kept: str | None) -> Iterator[Entry]:
    try:
        status = tree.stat(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise _missing(written, ignore) from error
        raise
    directory = stat.S_ISDIR(status.st_mode)
    name = posixpath.basename(path)
    target = ("" if directory else name) if kept is None else "" if kept == "." else kept
    if not directory:
        if not (ignore and ignore.matches(path)) and not (exclude and exclude.matches(name)):
            yield Entry(path, target, status, named=True)
        return
    yield Entry(path, target, status, named=True)
    pending = [(path, target, "")]
    while pending:
        above, goal, inside = pending.pop()
        entries = sorted(tree.scandir(above), key=lambda one: one.name)
        directories = []
        for entry in entries:
            source = posixpath.normpath(posixpath.join(above, entry.name))
            relative = posixpath.join(inside, entry.name)
            is_directory = entry.format == stat.S_IFDIR
            left_out = (ignore and ignore.matches(source)) or (exclude and exclude.matches(relative))
            if left_out and not (is_directory and (ignore.keeps or exclude.keeps)):
                continue
            new = posixpath.join(goal, entry.name)
            if not left_out:
                yield Entry(source, new, tree.lstat(source))
            if is_directory:
                directories.append((source, new, relative))
        pending += reversed(directories)


def content_digest(tree: Tree, entries: Sequence[Sequence[Entry]], *, owners: bool) -> str:
    """Return what entries are: their targets, types, modes and content, and never their times.

    :param owners: whether it matters whose they are.
    """
    digest = hashlib.sha256()
    for group in entries:
        digest.update(b"\0source\n")
        for entry in group:
            digest.update(_line(tree, entry, owners=owners))
    return "sha256:" + digest.hexdigest()


def _line(tree: Tree, entry: Entry, *, owners: bool) -> bytes:
    status = entry.status
    kind = stat.S_IFMT(status.st_mode)
    mode = stat.S_IMODE(status.st_mode)
    if kind == stat.S_IFLNK:
        mode = 0o777
    elif entry.source == ".":
        mode = 0o755  # where the context lies is nobody's business
    parts = [os.fsencode(entry.target), b"%o %o" % (kind, mode)]
    if owners:
        parts.append(b"%d:%d" % (status.st_uid, status.st_gid))
    if kind == stat.S_IFREG:
        parts.append(_content(tree, entry))
    elif kind == stat.S_IFLNK:
        parts.append(os.fsencode(tree.readlink(entry.source)))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        parts.append(b"%d" % status.st_rdev)
    return b"\0".join(parts) + b"\n"


def _content(tree: Tree, entry: Entry) -> bytes:
    digest = hashlib.sha256()
    if entry.status.st_size <= _CHUNK:
        digest.update(tree.read_bytes(entry.source))
    else:
        with tree.open_raw(entry.source, os.O_RDONLY) as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
    return digest.digest()
