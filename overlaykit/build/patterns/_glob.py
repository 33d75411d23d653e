"""Go's ``filepath.Match``, whose rules the Dockerfile reference gives to sources and patterns."""

from __future__ import annotations

import functools
import re

from ... import errors

__all__ = ["check_glob", "has_magic", "match_glob"]

_ONE = "[^/]"


def has_magic(pattern: str) -> bool:
    r"""Tell whether a pattern has a ``*``, ``?`` or ``[`` that no ``\`` takes the meaning from."""
    return re.search(r"^(?:[^\\*?\[]|\\.)*[*?\[]", pattern, re.DOTALL) is not None


def match_glob(pattern: str, name: str) -> bool:
    """Tell whether a pattern matches all of a name; ``*`` and ``?`` do not match a slash.

    :raises BuildError: it is no pattern.
    """
    return _compiled(pattern).fullmatch(name) is not None


def check_glob(pattern: str) -> None:
    """Check that it is a pattern.

    :raises BuildError: it is none.
    """
    _compiled(pattern)


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    made = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            made.append(f"{_ONE}*")
        elif char == "?":
            made.append(_ONE)
        elif char == "[":
            text, at = _class(pattern, at + 1)
            made.append(text)
            continue
        else:
            char, at = _character(pattern, at)
            made.append(re.escape(char))
            continue
        at += 1
    return re.compile("".join(made), re.DOTALL)


def _character(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] != "\\":
        return pattern[at], at + 1
    if at + 1 == len(pattern):
        raise _bad(pattern, "ends in a \\")
    return pattern[at + 1], at + 2


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression for a class whose ``[`` was read, and where the pattern goes on."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not (pattern.startswith("]", at) and ranges):
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        ranges.append((low, high))
    # A range the wrong way round has nothing in it.
    inner = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if not inner:
        return ("." if negated else "(?!)"), at + 1
    return f"[{'^' * negated}{inner}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern):
        raise _bad(pattern, "has a [ without a ]")
    if pattern[at] in "-]":
        raise _bad(pattern, f"has a {pattern[at]} in [ ] where a character should be")
    return _character(pattern, at)


def _bad(pattern: str, why: str) -> errors.BuildError:
    return errors.BuildError(f"the pattern {pattern[:100]!r} {why}: mend it, or write \\ before what is meant as it is")
