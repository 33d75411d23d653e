"""Finding paths by pattern, as :meth:`pathlib.Path.glob` of Python 3.11 does."""

from __future__ import annotations

import errno
import fnmatch
import re
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._entry import TreeEntry
    from ._tree import Tree

__all__ = ["glob", "split_pattern"]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def split_pattern(pattern: str) -> list[str]:
    """Return the parts of a pattern; the last is empty where it matches directories alone.

    :raises NotImplementedError: the pattern is absolute.
    :raises ValueError: it is empty, or ``**`` is not a part by itself.
    """
    if pattern.startswith("/"):
        raise NotImplementedError("Non-relative patterns are unsupported")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if any("**" in part and part != "**" for part in parts):
        raise ValueError("Invalid pattern: '**' can only be an entire path component")
    return [*parts, ""] if pattern.endswith("/") else parts


def glob(tree: Tree, path: str, parts: list[str]) -> Iterator[str]:
    """Yield the paths below a directory that match.

    What may not be read is passed over. Symbolic links are followed where a part matches them, not by ``**``.

    :param path: the directory's path from the root, ``""`` for the root.
    :param parts: what :func:`split_pattern` gives.
    """
    if not tree.is_dir(path):
        return
    found = _select(tree, path, parts)
    # Each ** may come to one path by several ways; remembering is for those patterns alone.
    if "**" not in parts:
        yield from found
        return
    seen: set[str] = set()
    for match in found:
        if match not in seen:
            seen.add(match)
            yield match


def _select(tree: Tree, path: str, parts: list[str]) -> Iterator[str]:
    if not parts or parts == [""]:
        yield path
        return
    part, rest = parts[0], parts[1:]
    try:
        if part == "**":
            for directory in _directories(tree, path):
                yield from _select(tree, directory, rest)
        elif part == ".." or not re.search(r"[*?[]", part):
            child = _join(path, part)
            if tree.is_dir(child) if rest else tree.exists(child):
                yield from _select(tree, child, rest)
        else:
            # The pattern may have surrogates, and a name a newline; neither may end a match early.
            match = re.compile(fnmatch.translate(part)).match
            for entry in _entries(tree, path, lambda entry: not rest or _is_dir(entry)):
                if match(entry.name):
                    yield from _select(tree, _join(path, entry.name), rest)
    except PermissionError:
        return


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _entries(tree: Tree, path: str, wanted: Callable[[TreeEntry], bool]) -> Iterator[TreeEntry]:
    try:
        return filter(wanted, tree.scandir(path))
    except OSError as error:
        if error.errno in _MISSING:
            return iter(())  # gone meanwhile
        raise


def _is_dir(entry: TreeEntry) -> bool:
    try:
        return entry.is_dir()
    except PermissionError:
        return False


def _directories(tree: Tree, path: str) -> Iterator[str]:
    """Yield a directory and all below it, a parent first, not following symbolic links."""
    todo = [path]
    while todo:
        here = todo.pop()
        yield here
        try:
            todo += [_join(here, entry.name) for entry in _entries(tree, here, lambda e: e.format == stat.S_IFDIR)]
        except PermissionError:
            continue
