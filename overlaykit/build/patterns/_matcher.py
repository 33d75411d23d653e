"""Lists of patterns, of which the last that matches decides, as Docker's and BuildKit's matcher has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ... import errors
from ._glob import check_glob
from ._ignorefile import SPACES, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Matched", "Pattern", "PatternMatcher"]

Matched = tuple[bool, ...]
"""Which of the patterns match a directory, or one above it."""

_MAGIC = frozenset("*?[]\\")
_CLASS = frozenset("[&|~")


class Pattern:
    """One pattern.

    :param text: cleaned, without ``!``.
    :param keep: whether what it matches is not to be left out after all.
    :param line: the number of its line; 0 where it is from no file.
    :raises BuildError: it is no pattern.
    """

    __slots__ = ("_after", "_before", "_expression", "_parts", "keep", "line", "text")

    def __init__(self, text: str, *, keep: bool = False, line: int = 0) -> None:
        check_glob(text)
        self.text = text
        self.keep = keep
        self.line = line
        self._before: str | None = None
        self._after: str | None = None
        self._expression: re.Pattern[str] | None = None
        self._parts: list[str | Pattern | None] | None = None
        head, tail = text[:2] == "**", text[-2:] == "**"
        if head and not _MAGIC & set(text[2:]):
            self._after = text[2:]
        elif tail and not _MAGIC & set(text[:-2]):
            self._before = text[:-2]
        elif _MAGIC & set(text):
            self._expression = _expression(text)

    def matches(self, path: str) -> bool:
        """Tell whether it matches all of a path; directories above it do not count."""
        if self._expression is not None:
            return self._expression.fullmatch(path) is not None
        if self._after is not None:
            return path.endswith(self._after) or f"/{path}" == self._after
        if self._before is not None:
            return path.startswith(self._before)
        return path == self.text

    def may_match_below(self, directory: str) -> bool:
        """Tell whether it may match something below a directory; ``False`` is certain."""
        if self._parts is None:
            self._parts = []
            for part in self.text.split("/"):
                if "**" in part or "^" in part or "[" in part or "]" in part:
                    self._parts.append(None)  # it may go over slashes
                    break
                self._parts.append(Pattern(part) if _MAGIC & set(part) else part)
        for wanted, name in zip(self._parts, directory.split("/"), strict=False):
            if wanted is None:
                return True
            if not (wanted == name if isinstance(wanted, str) else wanted.matches(name)):
                return False
        return True


def _expression(text: str) -> re.Pattern[str]:
    """Translate a pattern with ``**``; what stands in brackets is read as there is read what stands outside."""
    made = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*" and text.startswith("*", at):
            at += 1
            at += text.startswith("/", at)
            made.append(".*" if at == len(text) else "(.*/)?")
        elif char == "*":
            made.append("[^/]*")
        elif char == "?":
            made.append("[^/]")
        elif char == "\\":
            made.append(re.escape(text[at]))
            at += 1
        elif char in "[]^-":
            made.append(char)
        else:
            made.append(re.escape(char))
    try:
        return re.compile(_for_python("".join(made)))
    except re.error:
        raise errors.BuildError(f"{text[:100]!r} is no pattern: check what stands in its brackets") from None


def _for_python(expression: str) -> str:
    """Escape in classes what only Python takes for a set operation."""
    made = []
    inside = False
    at = 0
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            made.append(expression[at : at + 2])
            at += 2
            continue
        at += 1
        if inside and char in _CLASS:
            made.append("\\")
        elif not inside and char == "[":
            inside = True
            if expression.startswith("^", at):
                char, at = "[^", at + 1
        elif inside and char == "]":
            inside = False
        made.append(char)
    return "".join(made)


class PatternMatcher:
    """Patterns; of those that match a path, or a directory above it, the last one decides.

    A path is looked at after the directories above it, and a pattern that cannot change the answer is not asked, which
    then counts as no match for what is below: so it is in BuildKit, and so one can tell what ``!`` brings back.

    :param patterns: with their ``!``; space around them does not count, empty ones are left out.
    :param lines: as many line numbers, for messages.
    :raises BuildError: one is no pattern.
    """

    def __init__(self, patterns: Iterable[str] = (), *, lines: Sequence[int] = ()) -> None:
        self.patterns: list[Pattern] = []
        for index, written in enumerate(patterns):
            text = written.strip(SPACES)
            if not text:
                continue
            text = clean(text)
            keep = text.startswith("!")
            if text == "!":
                raise errors.BuildError("a pattern of what to leave out is ! alone: write what is to be kept after it")
            self.patterns.append(Pattern(text[keep:], keep=keep, line=lines[index] if lines else 0))
        #: Whether something that is left out may have something in it that is not.
        self.keeps = any(one.keep for one in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def step(self, path: str, above: Matched | None = None) -> tuple[bool, Matched]:
        """Tell whether a path is left out.

        :param path: relative, as ``a/b``.
        :param above: what this returned for the directory that it is in; ``None`` at the top.
        :returns: that, and what to give for what is in it.
        """
        out = False
        seen = []
        for index, pattern in enumerate(self.patterns):
            hit = above is not None and above[index]
            if not hit and pattern.keep == out:
                hit = pattern.matches(path)
            seen.append(hit)
            if hit:
                out = not pattern.keep
        return out, tuple(seen)

    def look(self, path: str) -> tuple[bool, Matched | None]:
        """Do :meth:`step` from the top down to a path; ``.`` is the top and never left out."""
        if path in ("", "."):
            return False, None
        out, above = False, None
        at = -1
        while at != len(path):
            at = path.find("/", at + 1)
            at = len(path) if at < 0 else at
            out, above = self.step(path[:at], above)
        return out, above

    def matches(self, path: str) -> bool:
        """Tell whether a path is left out."""
        return self.look(path)[0]

    def may_keep_below(self, directory: str) -> bool:
        """Tell whether something in a directory that is left out may be kept; ``False`` is certain."""
        return self.keeps and any(one.keep and one.may_match_below(directory) for one in self.patterns)

    def reason(self, path: str) -> Pattern | None:
        """Return the pattern that leaves a path out; ``None`` where none does."""
        out, seen = self.look(path)
        if not out or seen is None:
            return None
        return next(one for one, hit in zip(reversed(self.patterns), reversed(seen), strict=True) if hit)
