"""Parser directives (Dockerfile reference, "Parser directives")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._ast import Check, Directives
from ._expand import SPACES
from ._place import Line, Place, Source

if TYPE_CHECKING:
    from ._place import Word

__all__ = ["TRUTHS", "parse_check", "read_check", "read_directives"]

_DIRECTIVE = re.compile(r"\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)", re.DOTALL)
_NAMES = ("syntax", "escape", "check")
#: What Go's ``strconv.ParseBool`` takes.
TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def read_directives(source: Source) -> tuple[Directives, int]:
    """Return the parser directives, and how many lines they take.

    They end with the first line that is none: an empty line, an instruction, another comment.

    :raises DockerfileError: one is there twice, or has a value that none can have.
    """
    found: dict[str, Word] = {}
    count = 0
    for number, text in enumerate(source.lines, 1):
        match = _DIRECTIVE.match(text)
        name = match[1].lower() if match is not None else ""
        if match is None or name not in _NAMES:
            # A shebang may stand before them.
            if number == 1 and text.startswith("#!"):
                count = 1
                continue
            break
        if name in found:
            raise source.error(Place(number, match.start(1) + 1), f"the directive {name} is there twice: leave one out")
        source.check(number, number)
        found[name] = Line(text, [0], [Place(number, 1)], last=number).word(*match.span(2)).trimmed(SPACES)
        count = number
    escape = found.get("escape")
    if escape is not None and escape not in ("\\", "`"):
        raise source.error(escape.place, f"{escape[:20]!r} is no escape character: take \\ or `")
    check = found.get("check")
    told = Check() if check is None else read_check(source, check)
    return Directives("\\" if escape is None else str(escape), found.get("syntax"), told), count


def read_check(source: Source, word: Word) -> Check:
    """Return what a ``check`` says: ``skip=RULE,...``, ``experimental=RULE,...``, ``error=true``, with ``;`` between.

    :raises DockerfileError: it says something else.
    """
    told: dict[str, frozenset[str]] = {}
    error = False
    at = 0
    for text in word.split(";"):
        part = word.part(at, at + len(text)).trimmed(SPACES)
        at += len(text) + 1
        name, equals, value = (piece.strip(SPACES) for piece in part.partition("="))
        if not equals or name not in ("skip", "experimental", "error"):
            raise source.error(part.place, f"{part[:40]!r} is nothing to check: write skip=RULE,... or error=true")
        if name != "error":
            told[name] = frozenset(rule for one in value.split(",") if (rule := one.strip(SPACES)))
        elif value in TRUTHS:
            error = TRUTHS[value]
        else:
            raise source.error(part.place, f"error is true or false, not {value[:20]!r}")
    skip, more = told.get("skip", frozenset()), told.get("experimental", frozenset())
    return Check(skip - {"all"}, "all" in skip, error, more - {"all"}, "all" in more)


def parse_check(text: str, *, name: str) -> Check:
    """Return what the text of a ``check`` says that is in no Dockerfile.

    :param name: what errors call it.
    :raises DockerfileError: it says something else.
    """
    return read_check(Source(name, [text]), Line(text, [0], [Place(1, 1)], last=1).word(0, len(text)))
