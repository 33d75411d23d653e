"""From the words of the command line to a command and its arguments."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ..values import field, value_class
from ._exit import UsageError
from ._help import GLOBAL_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CommandParser", "GlobalOptions"]

DURABILITIES = ("none", "commit", "full")


@value_class
class GlobalOptions:
    """The values of the options that every command takes."""

    store: str | None = None
    driver: str = "auto"
    options: Mapping[str, str] = field(default_factory=dict)
    durability: str | None = None
    json: bool = False
    quiet: bool = False
    color: bool = True
    debug: bool = False


class CommandParser(argparse.ArgumentParser):
    """A parser for one command and the global options, which may stand anywhere.

    :param name: the command.
    :param summary: one line on what it does.
    """

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(
            prog=f"overlaykit {name}",
            description=summary[:1].upper() + summary[1:] + ".",
            allow_abbrev=False,
            # argparse makes one for each argument, to check it; the terminal's width counts when help is written.
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=80),
        )
        self._name = name
        self._rest = ""
        group = self.add_argument_group("options of every command")
        for option, value, text in GLOBAL_OPTIONS:
            if option == "--option":
                group.add_argument(option, metavar=value, help=text, action="append", default=[], dest="driver_options")
            elif option == "--durability":
                group.add_argument(option, metavar=value, help=text, choices=DURABILITIES)
            elif value:
                group.add_argument(option, metavar=value, help=text)
            else:
                group.add_argument(option, help=text, action="store_true")

    def take_rest(self, name: str, text: str) -> None:
        """Declare that all words behind the first one that is no option belong to somebody else.

        :param name: the attribute that they become, as they are.
        :param text: one line of help.
        """
        self._rest = name
        self.add_argument(f"[{name.upper()}...]", nargs="?", help=text)

    def format_help(self) -> str:
        """Return the help, as wide as the terminal."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(f"{message}; see overlaykit {self._name} --help")

    def parse(self, words: list[str]) -> tuple[GlobalOptions, argparse.Namespace]:
        """Return the global options and the command's arguments.

        :raises UsageError: the words do not fit.
        """
        rest: list[str] = []
        arguments = self.parse_args(self._together(words, rest))
        if self._rest:
            setattr(arguments, self._rest, rest)
        return (
            GlobalOptions(
                store=arguments.store,
                driver=arguments.driver or "auto",
                options=_pairs(arguments.driver_options),
                durability=arguments.durability,
                json=arguments.json,
                quiet=arguments.quiet,
                color=not arguments.no_color,
                debug=arguments.debug,
            ),
            arguments,
        )

    def _together(self, words: list[str], rest: list[str]) -> list[str]:
        # argparse gives an optional argument nothing where an option stands before its word; and its own mode for
        # mixed words does not know --.
        options: list[str] = []
        others: list[str] = []
        remaining = iter(words)
        for word in remaining:
            if word == "--":
                others += remaining
                if self._rest:
                    rest += others[1:]
                    del others[1:]
            elif not word.startswith("-") or word == "-":
                others.append(word)
                if self._rest:
                    rest += remaining
            else:
                options.append(word)
                action = self._option_string_actions.get(word)
                if action is not None and action.nargs != 0:
                    options += [value for value in [next(remaining, None)] if value is not None]
        if any(word.startswith("-") for word in others):
            return [*options, "--", *others]
        return [*others, *options]


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--option {text!r} is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs
