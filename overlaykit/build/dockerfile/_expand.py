"""Variables, quotes and escapes in a word (Dockerfile reference, "Environment replacement").

The details are those of BuildKit: what a backslash does inside of which quotes, which forms of ``${}`` there are, and
that words are split after variables are expanded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._glob import PatternError, replaced, trimmed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SPACES", "Expanded", "Expander", "ExpansionError"]

#: What Go's ``unicode.IsSpace`` says is one.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

#: No string that a program gets can be longer (MAX_ARG_STRLEN, execve(2)); words that grow beyond it grow without end.
_LONGEST = 128 << 10
_DEEPEST = 40
_SPECIAL = "@*#?-$!0"


class ExpansionError(Exception):
    """A word cannot be expanded.

    :param offset: where in the word.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Expanded:
    """What a word is expanded to.

    :ivar text: all of it.
    :ivar words: its parts between blanks that were not quoted, with where each begins in the source.
    :ivar used: the variables that were there.
    :ivar missing: the variables that were not, and where they were asked for; without those that have a default.
    """

    __slots__ = ("missing", "text", "used", "words")

    def __init__(self) -> None:
        self.text = ""
        self.words: list[tuple[str, int]] = []
        self.used: set[str] = set()
        self.missing: dict[str, int] = {}


class Expander:
    """Expands words.

    :param look: the variables.
    :param escape: the escape character.
    :param quotes: whether quotes quote; else they are characters as all others.
    :param raw: whether quotes and escapes stay as they are written.
    :param keep: whether variables that are not set do.
    """

    def __init__(
        self, look: Mapping[str, str], escape: str, *, quotes: bool = True, raw: bool = False, keep: bool = False
    ) -> None:
        self._look = look
        self._escape = escape
        self._quotes = quotes
        self._raw = raw
        self._keep = keep
        self._source = ""
        self._at = 0
        self._depth = 0
        self._result = Expanded()

    def expand(self, source: str) -> Expanded:
        """Return what a word is expanded to.

        :raises ExpansionError: it cannot be.
        """
        self._source, self._at, self._depth, self._result = source, 0, 0, Expanded()
        words = _Words()
        self._result.text = self._until("", self._raw, words)
        self._result.words = words.all()
        if len(self._result.text) > _LONGEST + len(source):
            raise ExpansionError(f"it is longer than {_LONGEST >> 10} KiB after variables are expanded", 0)
        return self._result

    def text(self, source: str) -> str:
        """Return what a word is expanded to, as one text."""
        return self.expand(source).text

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _until(self, stop: str, raw: bool, words: _Words | None = None) -> str:
        made: list[str] = []
        source, size = self._source, len(self._source)
        while self._at < size:
            start, char = self._at, source[self._at]
            if char == stop:
                self._at += 1
                return "".join(made)
            quoted = True
            if char == "'" and self._quotes:
                part = self._single()
            elif char == '"' and self._quotes:
                part = self._double(raw)
            elif char == "$":
                part, quoted = self._dollar(raw), False
            elif char == "<" and self._quotes and words is not None:
                part = self._heredoc()
            elif char == self._escape:
                self._at += 2
                # An escape character at the end is left out.
                part = source[start : self._at] if raw else source[start + 1 : self._at]
            else:
                self._at += 1
                part, quoted = char, False
            made.append(part)
            if words is not None:
                words.add(part, start, quoted=quoted)
        if stop:
            raise ExpansionError(f"there is no {stop} that ends it", self._at)
        return "".join(made)

    def _heredoc(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "<":
            return "<"
        self._at += 1
        while self._peek() and self._peek() in SPACES:
            self._at += 1
        return self._source[start : self._at]

    def _single(self) -> str:
        start = self._at
        end = self._source.find("'", start + 1)
        if end < 0:
            raise ExpansionError("the quote ' does not end: write another one, or escape it", start)
        self._at = end + 1
        return self._source[start : end + 1] if self._raw else self._source[start + 1 : end]

    def _double(self, raw: bool) -> str:
        start, source = self._at, self._source
        self._at += 1
        made = ['"'] if self._raw else []
        while self._at < len(source):
            char = source[self._at]
            if char == "$":
                made.append(self._dollar(raw))
                continue
            self._at += 1
            if char == '"':
                return "".join([*made, '"'] if self._raw else made)
            if char == self._escape:
                following = self._peek()
                if raw:
                    made.append(char)
                if not following:
                    break
                if following in ('"', "$", self._escape):
                    char = following
                    self._at += 1
                elif raw:
                    continue
            made.append(char)
        raise ExpansionError('the quote " does not end: write another one, or escape it', start)

    def _name(self) -> str:
        source, start = self._source, self._at
        at = start
        if at < len(source) and source[at].isdigit():
            while at < len(source) and source[at].isdigit():
                at += 1
        elif at < len(source) and source[at] in _SPECIAL:
            at += 1
        else:
            while at < len(source) and (source[at].isalnum() or source[at] == "_"):
                at += 1
        self._at = at
        return source[start:at]

    def _value(self, name: str, at: int, *, needed: bool = True) -> str | None:
        value = self._look.get(name)
        if value is not None:
            self._result.used.add(name)
        elif needed:
            self._result.missing.setdefault(name, at)
        return value

    def _dollar(self, raw: bool) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name, start)
            return f"${name}" if value is None and self._keep else value or ""
        self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpansionError(f"more than {_DEEPEST} ${{ in each other", start)
        try:
            return self._braces(start, raw)
        finally:
            self._depth -= 1

    def _braces(self, start: int, raw: bool) -> str:
        if not self._peek():
            raise ExpansionError("${ does not end: write } after the name", start)
        if self._peek() in "{}:":
            raise ExpansionError("there is no name after ${: write ${NAME}", start)
        name = self._name()
        operator = self._peek()
        self._at += 1
        if not operator:
            raise ExpansionError("${ does not end: write } after the name", start)
        if operator == "}":
            value = self._value(name, start)
            return f"${{{name}}}" if value is None and self._keep else value or ""
        if operator == "/":
            return self._replaced(name, start)
        colon = operator == ":"
        if colon:
            operator = self._peek()
            self._at += 1
        if not name:
            raise ExpansionError("there is no name after ${: write ${NAME}", start)
        if not operator or operator not in "-+?#%" or (colon and operator in "#%"):
            shown = f"${{{name}{':' if colon else ''}{operator}"
            raise ExpansionError(f"{shown} is no form that there is: see -, +, ?, #, % and / in the reference", start)
        pattern = operator in "#%"
        word = self._rest("}", raw=pattern, start=start)
        value = self._value(name, start, needed=pattern)
        if value is None and self._keep:
            return self._source[start : self._at]
        if pattern:
            longest = word.startswith(operator)
            return self._pattern(start, value or "", word[longest:], front=operator == "#", longest=longest)
        there = value is not None and not (colon and not value)
        if operator == "-":
            return (value or "") if there else word
        if operator == "+":
            return word if there else ""
        if not there:
            raise ExpansionError(f"{name}: {word or ('it is empty' if value is not None else 'it is not set')}", start)
        return value or ""

    def _rest(self, stop: str, *, raw: bool, start: int) -> str:
        try:
            return self._until(stop, raw)
        except ExpansionError as error:
            if error.offset < len(self._source):
                raise
            raise ExpansionError(f"${{ does not end: there is no {stop}", start) from None

    def _replaced(self, name: str, start: int) -> str:
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern = self._rest("/", raw=True, start=start)
        new = self._rest("}", raw=True, start=start)
        value = self._value(name, start)
        if value is None and self._keep:
            return self._source[start : self._at]
        try:
            return replaced(value or "", pattern, new, everywhere=everywhere)
        except PatternError as error:
            raise ExpansionError(str(error), start) from None

    def _pattern(self, start: int, value: str, pattern: str, *, front: bool, longest: bool) -> str:
        try:
            return trimmed(value, pattern, front=front, longest=longest)
        except PatternError as error:
            raise ExpansionError(str(error), start) from None


class _Words:
    """Splits at blanks that are not quoted, while a word is being expanded."""

    def __init__(self) -> None:
        self._done: list[tuple[str, int]] = []
        self._open: list[str] = []
        self._start = 0

    def add(self, text: str, start: int, *, quoted: bool) -> None:
        if not self._open:
            self._start = start
        if quoted or len(text) == 1:
            if not quoted and text in SPACES:
                self._close()
            else:
                self._open.append(text)
            return
        for char in text:
            self.add(char, start, quoted=False)

    def _close(self) -> None:
        if any(self._open):
            self._done.append(("".join(self._open), self._start))
        self._open = []

    def all(self) -> list[tuple[str, int]]:
        self._close()
        return self._done
