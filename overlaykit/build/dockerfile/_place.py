"""Where things stand in a Dockerfile: places, and words that know theirs."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Self

from ... import errors
from ...values import value_class

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "Place", "Source", "Word"]

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@value_class
class Place:
    """A place in a Dockerfile; places are in the order of the text.

    :param line: counted from 1.
    :param column: counted from 1, in characters.
    """

    line: int
    column: int

    def __lt__(self, other: Place) -> bool:
        return (self.line, self.column) < (other.line, other.column)


class Source:
    """The text of a Dockerfile, to show lines of it.

    :param name: what errors call the file.
    :param lines: its lines, without their line feeds.
    """

    __slots__ = ("lines", "name")

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        self.name = name
        self.lines = lines

    def error(self, place: Place, message: str) -> errors.DockerfileError:
        """Return the error that something is wrong at a place.

        :param message: what is wrong, and the way out.
        """
        shown = self.lines[place.line - 1].rstrip("\r") if place.line <= len(self.lines) else ""
        # Bytes that are no UTF-8 are kept as half surrogate pairs, which nothing can show.
        shown = shown.encode("utf-8", "replace").decode("utf-8")
        # What is quoted from the file must not break the line.
        message = "".join(char if char.isprintable() else "?" for char in message)
        return errors.DockerfileError(message, file=self.name, line=place.line, column=place.column, source=shown)

    def check(self, first: int, last: int) -> None:
        """See that lines are text.

        :param first: the first one's number.
        :param last: the last one's.
        :raises DockerfileError: one has what is no UTF-8, or a NUL.
        """
        for number in range(first, last + 1):
            found = _NO_TEXT.search(self.lines[number - 1])
            if found is not None:
                what = "a NUL: remove it" if found[0] == "\0" else "not UTF-8: save the file as UTF-8"
                raise self.error(Place(number, found.start() + 1), f"this is {what}")


class Line:
    """A logical line: physical lines joined at their ends by the escape character.

    :param text: what they are joined to.
    :param starts: the offset in ``text`` where each physical line's part begins, in ascending order.
    :param places: where each of those parts stands.
    :param last: the number of the last physical line.
    """

    __slots__ = ("last", "places", "starts", "text")

    def __init__(self, text: str, starts: Sequence[int], places: Sequence[Place], *, last: int) -> None:
        self.text = text
        self.starts = starts
        self.places = places
        self.last = last

    def place(self, offset: int) -> Place:
        """Return the place of a character of ``text``, or of its end."""
        part = bisect_right(self.starts, offset) - 1
        place = self.places[part]
        return Place(place.line, place.column + offset - self.starts[part])

    def word(self, start: int, end: int) -> Word:
        """Return a part of ``text`` as a word."""
        return Word(self.text[start:end], self, start)


class Word(str):
    """A piece of a Dockerfile's text that knows where it stands; in all else a string.

    :param text: its text, which may differ from what is written there, as after expansion.
    :param line: the logical line that it is from.
    :param offset: where in that line.
    """

    __slots__ = ("line", "offset")

    line: Line
    offset: int

    def __new__(cls, text: str, line: Line, offset: int) -> Self:
        """Make one."""
        self = super().__new__(cls, text)
        self.line = line
        self.offset = offset
        return self

    @property
    def place(self) -> Place:
        """Where its first character stands."""
        return self.line.place(self.offset)

    def at(self, index: int) -> Place:
        """Return where one of its characters stands; right only while its text is what is written."""
        return self.line.place(self.offset + index)

    def part(self, start: int, end: int) -> Word:
        """Return a part of it, while its text is what is written."""
        return Word(self[start:end], self.line, self.offset + start)

    def trimmed(self, characters: str) -> Word:
        """Return it without some characters at both ends."""
        start = len(self) - len(self.lstrip(characters))
        return self.part(start, len(self.rstrip(characters))) if start < len(self) else self.part(start, start)

    def with_text(self, text: str) -> Word:
        """Return a word at the same place with another text."""
        return Word(text, self.line, self.offset)

    def __reduce__(self) -> tuple[type[Word], tuple[str, Line, int]]:
        return Word, (str(self), self.line, self.offset)
