"""From a Dockerfile's text to logical lines: directives, comments, continuations and here-documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._ast import Check, Directives, Heredoc
from ._place import Line, Place, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Logical", "read_directives", "read_lines"]

_DIRECTIVE = re.compile(r"\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.*?)\s*$")
_HEREDOC = re.compile(r"(?<![<\S])(\d*)<<(-?)([\"']?)([a-zA-Z_][\w.-]*)\3(?=$|[\s;&|)>])")
_WITH_DOCUMENTS = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Logical:
    """One instruction's line.

    :param line: its text, joined.
    :param heredocs: the here-documents that follow it.
    """

    line: Line
    heredocs: tuple[Heredoc, ...]


def read_directives(source: Source) -> tuple[Directives, int]:
    """Return the parser directives, and how many lines they take (Dockerfile reference, "Parser directives").

    :raises DockerfileError: one is there twice, or has a value that none can have.
    """
    escape, syntax, check = "\\", None, Check()
    seen: set[str] = set()
    count = 0
    for count, text in enumerate(source.lines):
        found = _DIRECTIVE.match(text)
        if found is None or found[1].lower() not in ("syntax", "escape", "check"):
            break
        name, value = found[1].lower(), found[2]
        place = Place(count + 1, found.start(2) + 1)
        if name in seen:
            raise source.error(place, f"the directive {name} is there twice: leave one out")
        seen.add(name)
        line = Line(text, [0], [Place(count + 1, 1)], last=count + 1)
        if name == "escape":
            if value not in ("\\", "`"):
                raise source.error(place, f"{value[:20]!r} is no escape character: take \\ or `")
            escape = value
        elif name == "syntax":
            syntax = line.word(found.start(2), found.end(2))
        else:
            check = _check(source, place, value)
    else:
        count = len(source.lines)
    return Directives(escape, syntax, check), count


def _check(source: Source, place: Place, value: str) -> Check:
    told: dict[str, str] = {}
    for part in value.split(";"):
        name, equals, text = part.strip().partition("=")
        if part.strip() and (not equals or name not in ("skip", "error", "experimental")):
            raise source.error(place, f"{part.strip()[:40]!r} is nothing to check: say skip=RULE,... or error=true")
        told[name] = text
    if told.get("error", "false").lower() not in ("true", "false"):
        raise source.error(place, "error is true or false")
    skip = frozenset(one.strip() for one in told.get("skip", "").split(",") if one.strip())
    more = frozenset(one.strip() for one in told.get("experimental", "").split(",") if one.strip())
    return Check(skip - {"all"}, "all" in skip, told.get("error", "").lower() == "true", more - {"all"}, "all" in more)


def read_lines(source: Source, escape: str, start: int) -> list[Logical]:
    """Return the logical lines.

    :param start: how many physical lines were read.
    :raises DockerfileError: a here-document does not end.
    """
    lines = source.lines
    found: list[Logical] = []
    at = start
    while at < len(lines):
        if not lines[at].strip() or lines[at].lstrip().startswith("#"):
            at += 1
            continue
        line, at = _join(lines, escape, at)
        heredocs: tuple[Heredoc, ...] = ()
        if line.text.split(None, 1)[0].upper() in _WITH_DOCUMENTS and "<<" in line.text:
            heredocs, at = _documents(source, line, at)
        found.append(Logical(line, heredocs))
    return found


def _join(lines: Sequence[str], escape: str, at: int) -> tuple[Line, int]:
    text = ""
    starts: list[int] = []
    places: list[Place] = []
    while True:
        raw = lines[at]
        at += 1
        lead = len(raw) - len(raw.lstrip()) if not starts else 0
        part = raw[lead:]
        stripped = part.rstrip()
        goes_on = stripped.endswith(escape) and not stripped.endswith(escape * 2)
        starts.append(len(text))
        places.append(Place(at, lead + 1))
        text += stripped[:-1] if goes_on else stripped
        if not goes_on:
            break
        while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
            at += 1
        if at >= len(lines):
            break
    return Line(text.rstrip(), starts, places, last=at), at


def _documents(source: Source, line: Line, at: int) -> tuple[tuple[Heredoc, ...], int]:
    lines = source.lines
    found = []
    for match in _HEREDOC.finditer(line.text):
        chomp, name = bool(match[2]), match[4]
        body: list[str] = []
        first = at + 1
        while True:
            if at >= len(lines):
                where = line.place(match.start())
                raise source.error(where, f"the here-document {name} does not end: write {name} in a line of its own")
            text = lines[at]
            at += 1
            if (text.lstrip("\t") if chomp else text) == name:
                break
            body.append(text)
        written = "".join(f"{one}\n" for one in body)
        shown = "".join(f"{one.lstrip(chr(9))}\n" for one in body) if chomp else written
        word = line.word(match.start(4), match.end(4))
        number = int(match[1] or 0)
        found.append(Heredoc(word, shown, not match[3], Place(first, 1), chomp, written, number))
    return tuple(found), at
