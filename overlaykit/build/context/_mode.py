"""``--chmod``: octal digits, or symbols as chmod(1) has them."""

from __future__ import annotations

import re
import stat
from functools import partial

from ... import errors

__all__ = ["changed_mode", "check_mode"]

_CLAUSE = partial(re.compile, r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_PART = partial(re.compile, r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"u": stat.S_ISUID, "g": stat.S_ISGID, "o": 0}


def check_mode(text: str) -> None:
    """Check that it is a mode.

    :raises BuildError: it is none.
    """
    changed_mode(stat.S_IFREG, text)


def changed_mode(mode: int, text: str) -> int:
    """Return the permission bits that a mode has after a change.

    :param mode: with the type of the file.
    :param text: as ``755`` or ``u=rwX,go=rX``; ``""`` for no change.
    :raises BuildError: it is none.
    """
    bits = stat.S_IMODE(mode)
    if not text:
        return bits
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        return int(text, 8)
    for clause in text.split(","):
        found = _CLAUSE().fullmatch(clause)
        if found is None:
            raise errors.BuildError(f"{text[:40]!r} is no mode: write it as 755 or u=rwX,go=rX")
        who = "ugo" if found[1] in ("", "a") or "a" in found[1] else found[1]
        for sign, letters in _PART().findall(found[2]):
            bits = _applied(bits, who, sign, letters, directory=stat.S_ISDIR(mode))
    return bits


def _applied(bits: int, who: str, sign: str, letters: str, *, directory: bool) -> int:
    if letters in _SHIFT:
        each = bits >> _SHIFT[letters] & 7  # as another class has it
        letters = ""
    else:
        each = _each(bits, letters, directory=directory)
    change = whole = 0
    for one in who:
        change |= each << _SHIFT[one] | (_SPECIAL[one] if "s" in letters else 0)
        whole |= 7 << _SHIFT[one] | _SPECIAL[one]
    if "t" in letters and "o" in who:
        change |= stat.S_ISVTX
    if "o" in who:
        whole |= stat.S_ISVTX
    if directory and sign == "=":
        whole &= ~(stat.S_ISUID | stat.S_ISGID)  # chmod(1) keeps a directory's unless they are named
    if sign == "+":
        return bits | change
    if sign == "-":
        return bits & ~change
    return bits & ~whole | change


def _each(bits: int, letters: str, *, directory: bool) -> int:
    each = 4 * ("r" in letters) + 2 * ("w" in letters)
    if "x" in letters or ("X" in letters and (directory or bits & 0o111)):
        each += 1
    return each
