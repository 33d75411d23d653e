"""What can be known of the command line before a parser is made: which command, and which switches."""

from __future__ import annotations

from ._help import GLOBAL_OPTIONS

__all__ = ["split_words", "switched_on"]


def split_words(words: list[str]) -> tuple[str | None, list[str]]:
    """Find the command among the words.

    :returns: the command, ``None`` where there is none, and all other words in their order.
    """
    with_value = {option for option, value, _ in GLOBAL_OPTIONS if value}
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("-") or word == "-":
            return word, words[:position] + words[position + 1 :]
        position += 2 if word in with_value else 1
    return None, words


def switched_on(words: list[str], option: str) -> bool:
    """Tell whether a switch is among the words, for errors that come before they are parsed."""
    before = words[: words.index("--")] if "--" in words else words
    return option in before
