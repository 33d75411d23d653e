"""The flags of an instruction: ``--name`` and ``--name=value``, before everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._expand import SPACES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._place import Source, Word

__all__ = ["Flags", "close"]


def close(name: str, known: Iterable[str]) -> str:
    """Return the question whether another name was meant, where one is like it; else nothing."""
    # Only needed where something is wrong.
    from difflib import get_close_matches

    found = get_close_matches(name[:50].lower(), {one.lower(): one for one in known}, 1)
    by_lower = {one.lower(): one for one in known}
    return f"; did you mean {by_lower[found[0]]}?" if found else ""


class Flags:
    """The flags at the beginning of what follows an instruction's name.

    :param rest: what follows the name.
    """

    def __init__(self, source: Source, rest: Word) -> None:
        self._source = source
        self._found: list[tuple[str, Word, Word | None]] = []
        self._values: dict[str, Word | None] = {}
        self._several: dict[str, list[Word]] = {}
        #: What follows the flags.
        self.rest = self._split(rest)

    def _split(self, rest: Word) -> Word:
        at = 0
        while True:
            while at < len(rest) and rest[at] in SPACES:
                at += 1
            if not rest.startswith("--", at):
                return rest.part(at, len(rest))
            start = at
            text, at, equals = _unquoted(rest, at)
            if text == "--":
                return rest.part(at, len(rest)).trimmed(SPACES)
            name, _, value = text[2:].partition("=")
            flag = rest.part(start, at)
            self._found.append((name, flag, None if equals < 0 else rest.part(equals + 1, at).with_text(value)))

    def allow(self, *names: str, truths: Iterable[str] = (), several: Iterable[str] = ()) -> None:
        """Say which flags there are.

        :param names: those that have a value.
        :param truths: those that are true or false, and true without a value.
        :param several: those that have a value and may be there several times.
        :raises DockerfileError: there are others.
        """
        known = [*names, *truths, *several]
        for name, flag, value in self._found:
            shown = name[:40]
            if name not in known:
                there = f"; there is {', '.join('--' + one for one in known)}" if known else "; there is none here"
                raise self._source.error(
                    flag.place, f"unknown flag --{shown}{close(f'--{name}', [f'--{one}' for one in known]) or there}"
                )
            if name in self._values:
                raise self._source.error(flag.place, f"the flag --{shown} is there twice: leave one out")
            if value is None and name not in truths:
                raise self._source.error(flag.place, f"the flag --{shown} has no value: write --{shown}=VALUE")
            if name in truths and value is not None and value.lower() not in ("true", "false"):
                raise self._source.error(value.place, f"--{shown} is true or false, not {value[:20]!r}")
            if name in several and value is not None:
                self._several.setdefault(name, []).append(value)
            else:
                self._values[name] = value

    def value(self, name: str) -> Word | None:
        """Return a flag's value; ``None`` where it is not there."""
        return self._values.get(name)

    def values(self, name: str) -> list[Word]:
        """Return the values of a flag that may be there several times."""
        return self._several.get(name, [])

    def truth(self, name: str) -> bool | None:
        """Return whether a flag says true or false; ``None`` where it is not there."""
        if name not in self._values:
            return None
        value = self._values[name]
        return value is None or value.lower() == "true"

    def choice(self, name: str, *choices: str) -> str:
        """Return a flag's value, which is one of some; the first where it is not there.

        :raises DockerfileError: it is another.
        """
        value = self._values.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            raise self._source.error(value.place, f"--{name} is {', '.join(choices)}, not {value[:40]!r}")
        return str(value)


def _unquoted(rest: Word, at: int) -> tuple[str, int, int]:
    """Return a word without quotes and escapes, where it ends, and where its first equals sign is.

    A backslash escapes whatever the escape character is, as in BuildKit.
    """
    made: list[str] = []
    quote, equals = "", -1
    while at < len(rest):
        char = rest[at]
        if not quote and char in SPACES:
            break
        if char == "\\":
            at += 1
            made.append(rest[at : at + 1])
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            if char == "=" and equals < 0:
                equals = at
            made.append(char)
        at += 1
    return "".join(made), min(at, len(rest)), equals
