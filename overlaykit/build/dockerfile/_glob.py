"""The patterns of ``${NAME#PATTERN}``, ``${NAME%PATTERN}`` and ``${NAME/PATTERN/NEW}``: ``*`` and ``?``.

All states of the match are the bits of one number, so that no pattern takes longer than its length times the value's:
a regular expression that goes back and tries again takes exponentially long where somebody wants it to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PatternError", "replaced", "trimmed"]

_STAR, _ANY = object(), object()


class PatternError(ValueError):
    """A pattern that is none."""


def trimmed(value: str, pattern: str, *, front: bool, longest: bool) -> str:
    """Return a value without what a pattern matches at its front or at its end.

    :raises PatternError: a backslash is followed by what needs none.
    """
    items = _items(pattern)
    if front:
        ends = list(_Glob(items).ends(value, 0))
        return value[ends[-1 if longest else 0] :] if ends else value
    ends = list(_Glob(items[::-1]).ends(value[::-1], 0))
    return value[: len(value) - ends[-1 if longest else 0]] if ends else value


def replaced(value: str, pattern: str, new: str, *, everywhere: bool) -> str:
    """Return a value with what a pattern matches replaced: the longest matches, from the left.

    :param everywhere: whether all matches are; else the first.
    :raises PatternError: a backslash is followed by what needs none.
    """
    items = _items(pattern)
    glob = _Glob(items)
    begins = _Glob(items[::-1]).starts(value)
    made: list[str] = []
    at, copied, last = 0, 0, -1
    while at <= len(value):
        if not begins[at]:
            at += 1
            continue
        end = max(glob.ends(value, at))
        if end == at == last:
            # An empty match right after another one is none.
            at += 1
            continue
        made += [value[copied:at], new]
        copied = last = end
        at = end if end > at else at + 1
        if not everywhere:
            break
    return "".join([*made, value[copied:]])


def _items(pattern: str) -> list[object]:
    items: list[object] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            items.append(_STAR)
        elif char == "?":
            items.append(_ANY)
        elif char == "\\":
            following = pattern[at : at + 1]
            if not following or following not in "*?\\}/":
                raise PatternError(f"\\{following} in a pattern: only *, ?, \\, / and }} need a backslash")
            items.append(following)
            at += 1
        else:
            items.append(char)
    return items


class _Glob:
    """A pattern, as sets of states: bit N is set where the first N items have matched."""

    def __init__(self, items: Sequence[object]) -> None:
        self._steps: dict[object, int] = {}
        self._stays = 0
        self._any = 0
        size = 0
        for item in items:
            if item is _STAR:
                self._stays |= 1 << size
            else:
                bit = 1 << size
                if item is _ANY:
                    self._any |= bit
                else:
                    self._steps[item] = self._steps.get(item, 0) | bit
                size += 1
        self._done = 1 << size

    def _next(self, states: int, char: str) -> int:
        # As in BuildKit, neither * nor ? goes over the end of a line.
        wild = char != "\n"
        taken = states & (self._steps.get(char, 0) | (self._any if wild else 0))
        return taken << 1 | (states & self._stays if wild else 0)

    def ends(self, value: str, start: int) -> Iterator[int]:
        """Yield where matches that begin at ``start`` end, in ascending order."""
        states = 1
        for at in range(start, len(value) + 1):
            if states & self._done:
                yield at
            if not states or at == len(value):
                return
            states = self._next(states, value[at])

    def starts(self, value: str) -> list[bool]:
        """Return for each place of a value whether a match of the reversed pattern begins there, reading backwards."""
        found = [False] * (len(value) + 1)
        states = 1
        for at in range(len(value), -1, -1):
            found[at] = bool(states & self._done)
            if at:
                states = self._next(states, value[at - 1]) | 1
        return found
