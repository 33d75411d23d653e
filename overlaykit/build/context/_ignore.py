"""``.dockerignore`` and ``--exclude``: patterns of what is left out (Dockerfile reference, ".dockerignore file")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..patterns import PatternMatcher, read_ignore_file

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Ignore"]


class Ignore(PatternMatcher):
    """Patterns of what is left out."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a ``.dockerignore``.

        :raises BuildError: a pattern is none.
        """
        found = read_ignore_file(text)
        return cls([one.pattern for one in found], lines=[one.number for one in found])
