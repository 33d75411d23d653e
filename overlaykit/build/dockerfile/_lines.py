"""From a Dockerfile's text to logical lines: comments, continuations and here-documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...values import value_class
from ._ast import Heredoc
from ._expand import SPACES, Expander, ExpansionError
from ._place import Line, Place

if TYPE_CHECKING:
    from ._place import Source, Word

__all__ = ["BLANKS", "Lines", "Logical", "heredoc_at"]

#: What separates the words of an instruction.
BLANKS = re.compile(r"[\t\v\f\r ]+")

_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.DOTALL)
_TABS = re.compile(r"^\t+", re.MULTILINE)


@value_class
class Logical:
    """One instruction's line.

    :param line: its text, joined.
    :param lines: where its here-documents are read from.
    :param comments: the comments right above it.
    :param empty: where an empty line stands between continued ones.
    """

    line: Line
    lines: Lines
    comments: tuple[str, ...] = ()
    empty: Place | None = None


@value_class
class Opening:
    """What opens a here-document: ``<<NAME`` and its like."""

    name: str
    expand: bool
    chomp: bool
    descriptor: int
    offset: int


class Lines:
    """The physical lines of a Dockerfile, read from the top.

    :param escape: the escape character.
    :param at: how many of them were read.
    """

    def __init__(self, source: Source, escape: str, at: int = 0) -> None:
        self._source = source
        self._escape = escape
        self._at = at
        mark = re.escape(escape)
        self._goes_on = re.compile(rf"(?<!{mark}){mark}[ \t]*$")

    def next(self) -> Logical | None:
        """Return the next logical line; ``None`` at the end."""
        comments: list[str] = []
        while self._at < len(self._source.lines):
            text = self._source.lines[self._at].rstrip("\r")
            bare = text.lstrip(SPACES)
            self._at += 1
            if bare.startswith("#"):
                comments.append(bare[1:].strip(SPACES))
            elif not bare:
                comments.clear()
            else:
                return self._logical(bare, len(text) - len(bare), tuple(comments))
        return None

    def _logical(self, first: str, indent: int, comments: tuple[str, ...]) -> Logical:
        lines = self._source.lines
        starts, places, parts = [0], [Place(self._at, indent + 1)], []
        empty: Place | None = None
        size = 0
        text = first
        while True:
            end = self._goes_on.search(text)
            parts.append(text if end is None else text[: end.start()])
            size += len(parts[-1])
            if end is None:
                break
            while self._at < len(lines):
                text = lines[self._at].rstrip("\r")
                bare = text.lstrip(SPACES)
                self._at += 1
                if bare and not bare.startswith("#"):
                    break
                if not bare and empty is None:
                    empty = Place(self._at, 1)
            else:
                break
            starts.append(size)
            places.append(Place(self._at, 1))
        return Logical(Line("".join(parts), starts, places, last=self._at), self, comments, empty)

    def heredocs(self, rest: Word) -> tuple[Heredoc, ...]:
        """Read the here-documents that an instruction opens.

        :param rest: what comes after its name and flags.
        :raises DockerfileError: one does not end.
        """
        if "<<" not in rest:
            return ()
        try:
            words = Expander({}, "\\", raw=True, keep=True).expand(rest).words
        except ExpansionError:
            # What the shell may understand all the same; here-documents are then its own affair, as in BuildKit.
            return ()
        openings = [(offset, opening) for word, offset in words if (opening := heredoc_at(word)) is not None]
        return tuple(self._document(rest, offset, opening) for offset, opening in openings)

    def _document(self, rest: Word, offset: int, opening: Opening) -> Heredoc:
        lines = self._source.lines
        first = self._at
        while self._at < len(lines):
            text = lines[self._at].rstrip("\r")
            self._at += 1
            if (text.lstrip("\t") if opening.chomp else text) == opening.name:
                written = "".join(f"{line}\n" for line in lines[first : self._at - 1])
                self._source.check(first + 1, self._at)
                return Heredoc(
                    rest.part(offset + opening.offset, len(rest)).with_text(opening.name),
                    _TABS.sub("", written) if opening.chomp else written,
                    opening.expand,
                    Place(first + 1, 1),
                    opening.chomp,
                    written,
                    opening.descriptor,
                )
        raise self._source.error(
            rest.at(offset),
            f"the here-document {opening.name[:50]} does not end: write {opening.name[:50]} in a line of its own",
        )


def heredoc_at(word: str) -> Opening | None:
    """Return what a word opens, where it opens a here-document.

    Its name is one word; quotes around a part of it keep variables in the document from being expanded.
    """
    found = _HEREDOC.fullmatch(word)
    if found is None:
        return None
    try:
        words = Expander({}, "\\", keep=True).expand(found[3]).words
    except ExpansionError:
        return None
    if len(words) != 1:
        return None
    escaped = found[3].replace("\\'", "").replace('\\"', "")
    quoted = "'" in escaped or '"' in escaped
    return Opening(words[0][0], not quoted, bool(found[2]), int(found[1] or 0) % (1 << 32), found.start(3))
