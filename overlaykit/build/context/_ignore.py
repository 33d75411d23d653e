"""``.dockerignore`` and ``--exclude``: patterns of what is left out (Dockerfile reference, ".dockerignore file")."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from ... import errors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

__all__ = ["Ignore"]


class Ignore:
    """Patterns; the last one that matches a path, or a directory above it, decides.

    :param patterns: as a ``.dockerignore`` has them, without comments and blank lines.
    :raises BuildError: one is no pattern.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for written in patterns:
            keep = written.startswith("!")
            text = written[1:].strip() if keep else written.strip()
            cleaned = posixpath.normpath("/" + text.lstrip("/")).lstrip("/") if text else ""
            if keep and not text:
                raise errors.BuildError("a pattern of .dockerignore is ! alone: write what is to be kept after it")
            if cleaned:
                self._rules.append((keep, _expression(cleaned)))
        #: Whether something that is left out may have something in it that is not.
        self.keeps = any(keep for keep, _ in self._rules)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a ``.dockerignore``.

        :raises BuildError: a pattern is none.
        """
        lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
        return cls(line for line in lines if line and not line.startswith("#"))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def matches(self, path: str) -> bool:
        """Tell whether a path is left out.

        :param path: relative, as ``a/b``.
        """
        parts = path.split("/")
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for keep, expression in self._rules:
            if ignored == keep and any(expression.fullmatch(one) for one in prefixes):
                ignored = not keep
        return ignored


def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of Go's ``filepath.Match``, with ``**`` for any number of directories."""
    made = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**/", at):
            made.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            made.append(".*")
            at += 2
        elif char == "*":
            made.append("[^/]*")
            at += 1
        elif char == "?":
            made.append("[^/]")
            at += 1
        elif char == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise errors.BuildError(f"the pattern {pattern[:100]!r} has a [ without a ]: write \\[ or close it")
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            made.append(f"[{'^' + inner[1:] if inner.startswith(('^', '!')) else inner}]")
            at = end + 1
        elif char == "\\" and at + 1 < len(pattern):
            made.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            made.append(re.escape(char))
            at += 1
    try:
        return re.compile("".join(made), re.DOTALL)
    except re.error:
        raise errors.BuildError(f"{pattern[:100]!r} is no pattern: check what stands in its brackets") from None
