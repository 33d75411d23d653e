"""Variables and quotes in a word (Dockerfile reference, "Environment replacement")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Expander", "ExpansionError", "split_words"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!-]")


class ExpansionError(Exception):
    """A word cannot be expanded.

    :param offset: where in the word.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def split_words(text: str, escape: str, start: int = 0) -> list[tuple[int, int]]:
    """Return where each word begins and ends: between blanks that are not quoted.

    :param start: where to begin.
    :raises ExpansionError: a quote does not end.
    """
    found = []
    at, end = start, len(text)
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        begin, quote = at, ""
        opened = at
        while at < end:
            char = text[at]
            if char == escape and quote != "'":
                at += 1
            elif quote:
                if char == quote:
                    quote = ""
            elif char in "\"'":
                quote, opened = char, at
            elif char == "$" and text[at + 1 : at + 2] == "{":
                depth = 0
                while at < end:
                    depth += (text[at] == "{") - (text[at] == "}")
                    if text[at] == "}" and not depth:
                        break
                    at += 1
            elif char.isspace():
                break
            at += 1
        if quote:
            raise ExpansionError(f"the quote {quote} does not end: write another one", opened)
        found.append((begin, min(at, end)))
    return found


class Expander:
    """Expands words.

    :param look: the variables.
    :param escape: the escape character.
    :param used: called with each name that is looked up.
    """

    def __init__(self, look: Mapping[str, str], escape: str, used: Callable[[str], object] = lambda _: None) -> None:
        self._look = look
        self._escape = escape
        self._used = used
        self._text = ""
        self._at = 0

    def word(self, text: str) -> str:
        """Return a word with variables expanded and quotes removed.

        :raises ExpansionError: it cannot be.
        """
        self._text, self._at = text, 0
        return self._until("", quotes=True)

    def document(self, text: str) -> str:
        """Return a here-document with variables expanded; quotes stay."""
        self._text, self._at = text, 0
        return self._until("", quotes=False)

    def _until(self, end: str, *, quotes: bool) -> str:
        made = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if end and char in end:
                break
            if char == "'" and quotes:
                close = text.find("'", self._at + 1)
                if close < 0:
                    raise ExpansionError("the quote ' does not end: write another one", self._at)
                made.append(text[self._at + 1 : close])
                self._at = close + 1
            elif char == '"' and quotes:
                made.append(self._double())
            elif char == self._escape:
                following = text[self._at + 1 : self._at + 2]
                kept = "" if quotes or following in ("$", self._escape) else char
                made.append(kept + following)
                self._at += 2
            elif char == "$":
                made.append(self._variable())
            else:
                made.append(char)
                self._at += 1
        return "".join(made)

    def _double(self) -> str:
        opened = self._at
        self._at += 1
        made: list[str] = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char == '"':
                self._at += 1
                return "".join(made)
            if char == self._escape and text[self._at + 1 : self._at + 2] in ('"', "$", self._escape):
                made.append(text[self._at + 1])
                self._at += 2
            elif char == "$":
                made.append(self._variable())
            else:
                made.append(char)
                self._at += 1
        raise ExpansionError('the quote " does not end: write another one', opened)

    def _value(self, name: str) -> str | None:
        self._used(name)
        return self._look.get(name)

    def _variable(self) -> str:
        text, start = self._text, self._at
        self._at += 1
        if text[self._at : self._at + 1] != "{":
            found = _NAME.match(text, self._at)
            if found is None:
                return "$"
            self._at = found.end()
            return self._value(found[0]) or ""
        self._at += 1
        found = _NAME.match(text, self._at)
        if found is None:
            raise ExpansionError("there is no name after ${: write ${NAME}", start)
        name = found[0]
        self._at = found.end()
        value = self._value(name)
        if text[self._at : self._at + 1] == "}":
            self._at += 1
            return value or ""
        made = self._modified(name, value, start)
        if text[self._at : self._at + 1] != "}":
            raise ExpansionError("${ does not end: write } after it", start)
        self._at += 1
        return made

    def _modified(self, name: str, value: str | None, start: int) -> str:
        text = self._text
        operator = text[self._at : self._at + 1]
        colon = operator == ":"
        if colon:
            self._at += 1
            operator = text[self._at : self._at + 1]
        if operator in ("-", "+", "?") and operator:
            self._at += 1
            word = self._until("}", quotes=True)
            there = bool(value) if colon else value is not None
            if operator == "-":
                return (value or "") if there else word
            if operator == "+":
                return word if there else ""
            if not there:
                raise ExpansionError(f"{name}: {word or 'it is not set'}", start)
            return value or ""
        if colon or operator not in ("#", "%", "/"):
            raise ExpansionError(f"${{{name}{operator} is no form that is known: see ${{NAME:-default}}", start)
        self._at += 1
        twice = text[self._at : self._at + 1] == operator
        self._at += twice
        if operator == "/":
            pattern = self._until("/}", quotes=True)
            new = ""
            if text[self._at : self._at + 1] == "/":
                self._at += 1
                new = self._until("}", quotes=True)
            expression = re.compile(_glob(pattern, greedy=True), re.DOTALL)
            return expression.sub(lambda _: new, value or "", count=0 if twice else 1) if pattern else value or ""
        pattern = self._until("}", quotes=True)
        return _trimmed(value or "", pattern, front=operator == "#", longest=bool(twice))


def _glob(pattern: str, *, greedy: bool) -> str:
    many = ".*" if greedy else ".*?"
    return "".join(many if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)


def _trimmed(value: str, pattern: str, *, front: bool, longest: bool) -> str:
    expression = re.compile(_glob(pattern, greedy=longest), re.DOTALL)
    ends = range(len(value) + 1)
    for size in reversed(ends) if longest else ends:
        part = value[:size] if front else value[len(value) - size :]
        if expression.fullmatch(part):
            return value[size:] if front else value[: len(value) - size]
    return value
