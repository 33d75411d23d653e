"""What the sources of a COPY are in a tree."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from ... import errors
from ...linux import list_directory
from ...tree import HostTree
from ..patterns import Pattern, check_glob, has_magic, match_glob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...tree import Tree
    from ..patterns import Matched
    from ._ignore import Ignore
    from ._stats import Status

__all__ = ["Entry", "select"]


class Entry(NamedTuple):
    """Something to copy.

    :param source: its path in the tree.
    :param target: where it goes, below the target; ``""`` for the target itself.
    :param status: of the source; of what a link leads to where the link itself was named.
    :param named: whether the instruction named it, and not a directory above it; then a link is followed.
    """

    source: str
    target: str
    status: Status
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

    A pattern that matches nothing is no error where another source is there.

    :param ignore: what is not there at all, by paths from the root of the tree.
    :param exclude: what is left out, by paths from each source, and of a source that is a file by its name.
    :param parents: keep the directories of the sources, those before ``/./`` excepted; ``**`` in a pattern is any
        number of directories then.
    :raises BuildError: a source is not there, or outside the tree.
    """
    found = []
    missing: errors.BuildError | None = None
    for written in sources:
        pivot, dot, rest = written.partition("/./")
        whole = f"{pivot}/{rest}" if parents and dot else written
        base = _clean(pivot, written) if parents and dot else "."
        path = _clean(whole, written)
        magic = has_magic(path)
        if not magic and ignore.matches(path) and not (ignore.may_keep_below(path) and tree.is_dir(path)):
            raise _missing(tree, path, written, ignore)
        matches = sorted(_matches(tree, path, ignore, deep=parents)) if magic else [path]
        if not matches:
            missing = missing or _missing(tree, path, written, ignore)
        for match in matches:
            if magic and exclude and exclude.matches(posixpath.basename(match)):
                continue
            above = _directories(tree, match, base) if parents else []
            target = posixpath.relpath(match, base) if parents else None
            found.append([*above, *_below(tree, match, written, ignore, exclude, target)])
    if missing is not None and not found:
        raise missing
    return found


def _clean(path: str, written: str) -> str:
    cleaned = posixpath.normpath(path.lstrip("/") or ".")
    if cleaned == ".." or cleaned.startswith("../"):
        raise errors.BuildError(
            f"{written[:200]!r} is outside of the build context: copy it into the context, or give its directory with "
            "--build-context"
        )
    return cleaned


def _missing(tree: Tree, path: str, written: str, ignore: Ignore) -> errors.BuildError:
    """Say why a source is not there."""
    start = f"there is no {written[:200]!r} to copy"
    reason = ignore.reason(path)
    if reason is not None and tree.exists(path, follow_symlinks=False):
        line = f", line {reason.line}" if reason.line else ""
        return errors.BuildError(
            f"{start}: {reason.text[:100]!r} of .dockerignore{line} leaves it out: keep it with a !"
        )
    if tree.is_symlink(path):
        to = tree.readlink(path)
        return errors.BuildError(
            f"{start}: it is a symbolic link to {to[:200]!r}, which is not there in the context: copy the file into it"
        )
    above, name = posixpath.split(path)
    if not has_magic(path) and tree.is_dir(above):
        import difflib

        near = difflib.get_close_matches(name, sorted(tree.listdir(above))[:1000], 1)
        if near:
            return errors.BuildError(f"{start}: did you mean {posixpath.join(above, near[0])[:200]!r}?")
    return errors.BuildError(f"{start}: check the path, which begins at the context")


def _matches(tree: Tree, pattern: str, ignore: Ignore, *, deep: bool) -> Iterator[str]:
    """Yield what a pattern matches; links in what it matches are not followed, those before its first sign are."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if has_magic(part))
    base = "/".join(parts[:first])
    wanted = parts[first:]
    for part in wanted:
        check_glob(part)
    if deep and "**" in pattern:
        yield from _matches_deep(tree, base, Pattern("/".join(wanted)), ignore)
        return
    pending = [(base, 0)]
    while pending:
        above, depth = pending.pop()
        if not tree.is_dir(above):
            continue
        for entry in tree.scandir(above):
            if not match_glob(wanted[depth], entry.name):
                continue
            path = posixpath.join(above, entry.name)
            directory = entry.format == stat.S_IFDIR
            if depth + 1 < len(wanted):
                if directory:
                    pending.append((path, depth + 1))
            elif not ignore.matches(path) or (directory and ignore.may_keep_below(path)):
                yield path


def _matches_deep(tree: Tree, base: str, pattern: Pattern, ignore: Ignore) -> Iterator[str]:
    pending = [""]
    while pending:
        inside = pending.pop()
        above = posixpath.join(base, inside)
        if not tree.is_dir(above):
            continue
        for entry in tree.scandir(above):
            relative = posixpath.join(inside, entry.name)
            path = posixpath.join(base, relative)
            directory = entry.format == stat.S_IFDIR
            if ignore.matches(path) and not (directory and ignore.may_keep_below(path)):
                continue
            if pattern.matches(relative):
                yield path
            elif directory:
                pending.append(relative)


def _directories(tree: Tree, path: str, base: str) -> Iterator[Entry]:
    """Yield the directories above a source that ``--parents`` keeps, with their own attributes."""
    names = posixpath.relpath(posixpath.dirname(path) or ".", base).split("/")
    for count in range(1, len(names) + 1):
        target = "/".join(names[:count])
        if target != ".":
            source = posixpath.normpath(posixpath.join(base, target))
            yield Entry(source, target, tree.stat(source))


def _below(tree: Tree, path: str, written: str, ignore: Ignore, exclude: Ignore, kept: str | None) -> Iterator[Entry]:
    try:
        status: Status = tree.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise _missing(tree, path, written, ignore) from error
        raise
    directory = stat.S_ISDIR(status.st_mode)
    name = posixpath.basename(path)
    target = ("" if directory else name) if kept is None else "" if kept == "." else kept
    if not directory:
        if not exclude.matches(name):
            yield Entry(path, target, status, named=True)
        return
    yield Entry(path, target, status, named=True)
    top = _Directory("" if path == "." else path, target, "", ignore.look(path)[1], None)
    pending = [top]
    ignoring, excluding = bool(ignore), bool(exclude)
    while pending:
        above = pending.pop()
        directories = []
        at, within, goal = (one and f"{one}/" for one in (above.source, above.inside, above.target))
        for name, status in _listing(tree, above.source):
            source = f"{at}{name}"
            relative = f"{within}{name}"
            ignored, ignores = ignore.step(source, above.ignores) if ignoring else (False, None)
            excluded, excludes = exclude.step(relative, above.excludes) if excluding else (False, None)
            is_directory = stat.S_ISDIR(status.st_mode)
            left_out = ignored or excluded
            if left_out and not (
                is_directory
                and (not ignored or ignore.may_keep_below(source))
                and (not excluded or exclude.may_keep_below(relative))
            ):
                continue
            new = f"{goal}{name}"
            if not left_out:
                if above.out or above.above is not None:
                    yield from above.brought_back(tree)
                yield Entry(source, new, status)
            if is_directory:
                directories.append(
                    _Directory(
                        source, new, relative, ignores, excludes, above if left_out or above.out else None, left_out
                    )
                )
        pending += reversed(directories)


def _listing(tree: Tree, path: str) -> Sequence[tuple[str, Status]]:
    """Return names and attributes of what is in a directory, sorted by the bytes of the names."""
    try:
        if type(tree) is HostTree:
            # A directory of this machine as it is: the attributes come with the names, in a fraction of the time.
            return list_directory(tree.fileno(), path or ".")
        found = [(one.name, tree.lstat(one.path)) for one in tree.scandir(path)]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE):
            raise errors.BuildError(
                f"{path[:200]!r} changed while it was read: build again when it is at rest"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise errors.BuildError(
                f"{path[:200]!r} may not be listed: change its mode, or leave it out with a .dockerignore"
            ) from error
        raise
    if all(name.isascii() for name, _ in found):
        return sorted(found, key=itemgetter(0))
    return sorted(found, key=lambda one: os.fsencode(one[0]))


class _Directory:
    """A directory that is looked at.

    :param inside: its path from the source.
    :param ignores: which patterns match it.
    :param above: the one it is in, where that may not have been told of yet.
    :param out: whether it is left out, unless something in it is not.
    """

    __slots__ = ("above", "excludes", "ignores", "inside", "out", "source", "target")

    def __init__(
        self,
        source: str,
        target: str,
        inside: str,
        ignores: Matched | None,
        excludes: Matched | None,
        above: _Directory | None = None,
        out: bool = False,
    ) -> None:
        self.source = source
        self.target = target
        self.inside = inside
        self.ignores = ignores
        self.excludes = excludes
        self.above = above
        self.out = out

    def brought_back(self, tree: Tree) -> Iterator[Entry]:
        """Yield directories that are left out themselves but have something in them that is kept, once."""
        if self.above is not None:
            yield from self.above.brought_back(tree)
        if self.out:
            self.out = False
            yield Entry(self.source, self.target, tree.lstat(self.source))
