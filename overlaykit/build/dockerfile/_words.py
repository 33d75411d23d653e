"""What follows an instruction's name and flags, taken apart: words, pairs, lists in JSON, times."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ._expand import SPACES
from ._lines import BLANKS

if TYPE_CHECKING:
    from ._place import Source, Word

__all__ = ["duration", "pairs_of", "quoted_words", "string_list", "words_of"]

_STRING = partial(re.compile, r'[ \t\r\n]*("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")[ \t\r\n]*')
_HALF = partial(re.compile, "[\ud800-\udfff]")
_TIME = partial(re.compile, r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST_TIME = 2**63


def words_of(rest: Word) -> list[Word]:
    """Split at blanks; quotes mean nothing."""
    found = []
    at = 0
    for blank in BLANKS.finditer(rest):
        if blank.start() > at:
            found.append(rest.part(at, blank.start()))
        at = blank.end()
    return [*found, rest.part(at, len(rest))] if at < len(rest) else found


def quoted_words(rest: Word, escape: str) -> list[Word]:
    """Split at blanks that are not quoted; quotes and escapes stay in the words."""
    found = []
    at, size = 0, len(rest)
    while at < size:
        if rest[at] in SPACES:
            at += 1
            continue
        start, quote = at, ""
        while at < size and (quote or rest[at] not in SPACES):
            char = rest[at]
            if char == escape and quote != "'":
                at += 1
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            at += 1
        # An escape character at the very end is left out.
        end = at if at <= size else size - 1
        if end > start:
            found.append(rest.part(start, end))
    return found


def pairs_of(source: Source, rest: Word, escape: str, name: str) -> tuple[tuple[tuple[Word, Word], ...], bool]:
    """Take ``NAME=VALUE ...`` apart, or ``NAME VALUE``.

    :returns: names and values, and whether it is the old form, without ``=``.
    :raises DockerfileError: it is neither.
    """
    words = quoted_words(rest, escape)
    if not words:
        _refuse(source, rest, name, "NAME=VALUE")
    if "=" not in words[0]:
        blank = BLANKS.search(rest)
        if blank is None:
            raise source.error(words[0].place, f"{name} has a name and a value: write {words[0][:40]}=VALUE")
        return ((rest.part(0, blank.start()), rest.part(blank.end(), len(rest))),), True
    found = []
    for word in words:
        at = word.find("=")
        if at < 0:
            raise source.error(word.place, f"there is no = in {word[:40]!r}: write NAME=VALUE, and quote blanks")
        if at == 0:
            raise source.error(word.place, f"there is no name before the =: {name} takes NAME=VALUE")
        found.append((word.part(0, at), word.part(at + 1, len(word))))
    return tuple(found), False


def _refuse(source: Source, rest: Word, name: str, what: str) -> NoReturn:
    raise source.error(rest.line.place(0), f"{name} needs at least one argument: write {name} {what}")


def string_list(source: Source, rest: Word) -> list[Word] | None:
    """Return a list of strings in JSON; ``None`` where there is something else, which is then the shell form.

    :raises DockerfileError: it is a list in JSON, but not of strings only.
    """
    if not rest.startswith("["):
        return None
    found: list[Word] = []
    at = 1
    while (match := _STRING().match(rest, at)) is not None:
        # JSON may have half a surrogate pair, text may not (Go puts the same character there).
        text = _HALF().sub("\ufffd", json.loads(match[1]))
        found.append(rest.part(match.start(1) + 1, match.end(1)).with_text(text))
        at = match.end()
        if not rest.startswith(",", at):
            break
        at += 1
    closed = rest.startswith("]", at) and not rest[at + 1 :].strip(" \t\r\n")
    if closed and (not found or rest[at - 1] != ","):
        return found
    if not found and not rest[1:].strip(" \t\r\n").removesuffix("]").strip(" \t\r\n"):
        return [] if rest.rstrip(" \t\r\n").endswith("]") else None
    if _is_list(rest):
        while at < len(rest) and rest[at] in " \t\r\n":
            at += 1
        raise source.error(rest.at(at), "a list in JSON has only strings here: put it in double quotes")
    return None


def _is_list(text: str) -> bool:
    def refuse(text: str) -> NoReturn:
        raise ValueError(text)

    try:
        found = json.loads(text, parse_int=float, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list)


def duration(source: Source, word: Word) -> int:
    """Return a time in nanoseconds, which is written as Go has it: ``1m30s``, ``1.5s``, ``500ms``.

    :raises DockerfileError: it is none, or one above 0 and below 1 ms.
    """
    total, at = 0.0, 0
    while (found := _TIME().match(word, at)) is not None:
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if word != "0" and (at < len(word) or not at or total >= _LONGEST_TIME):
        raise source.error(word.place, f"{word[:40]!r} is no time: write it as 30s or 1m30s")
    if 0 < total < _UNITS["ms"]:
        raise source.error(word.place, f"{word[:40]} is less than a millisecond: take 1ms at least")
    return int(total)
