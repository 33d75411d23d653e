"""The lines of a ``.dockerignore``."""

from __future__ import annotations

import posixpath

from ...values import value_class

__all__ = ["IgnoreLine", "clean", "read_ignore_file"]

#: What Go's ``strings.TrimSpace`` takes away.
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@value_class
class IgnoreLine:
    """A pattern of a ``.dockerignore``.

    :param pattern: cleaned, without a leading slash; with its ``!``.
    :param number: of its line, from 1.
    """

    pattern: str
    number: int


def clean(path: str) -> str:
    """Return what Go's ``filepath.Clean`` makes of a path: a leading ``//`` is one slash."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def read_ignore_file(text: str) -> list[IgnoreLine]:
    """Read a ``.dockerignore`` (Dockerfile reference, ".dockerignore file").

    A line is a comment where its first character is ``#``; space around a pattern, and after its ``!``, does not count.
    """
    found = []
    for number, written in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if written.startswith("#"):
            continue
        pattern = written.strip(SPACES)
        if not pattern:
            continue
        keep = pattern.startswith("!")
        if keep:
            pattern = pattern[1:].strip(SPACES)
        if pattern:
            pattern = clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        found.append(IgnoreLine("!" * keep + pattern, number))
    return found
