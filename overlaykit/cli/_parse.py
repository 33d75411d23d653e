"""From the words of the command line to a command and its arguments.

A command line that is as it should be is understood here. :mod:`argparse` takes longer to import, to be told of fifty
options and to compile what it looks for than a container takes to run; it is there for help, for what is wrong, and
for whatever is not plain.
"""

from __future__ import annotations

from types import SimpleNamespace

from ..values import field, value_class
from ._exit import UsageError
from ._help import GLOBAL_OPTIONS

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["CommandParser", "Declared", "GlobalOptions", "Group"]

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


class Group:
    """Options that stand together.

    :param parser: whose they are.
    :param title: of the group in the help; ``None`` for options of which one can be given.
    """

    def __init__(self, parser: CommandParser, title: str | None) -> None:
        self._parser = parser
        self.title = title

    def add_argument(self, *names: str, **settings: Any) -> None:
        """Declare an option of the group; see :meth:`CommandParser.add_argument`."""
        self._parser.declare(Declared(names, settings, self))


class Declared:
    """An option or argument.

    :param names: of an option; else the attribute that an argument becomes.
    :param settings: as :meth:`argparse.ArgumentParser.add_argument` takes them.
    :param group: what it stands in.
    """

    __slots__ = ("dest", "group", "names", "settings")

    def __init__(self, names: tuple[str, ...], settings: dict[str, Any], group: Group | None) -> None:
        self.names = names
        self.settings = settings
        self.group = group
        name = next((name for name in names if name.startswith("--")), names[0])
        self.dest: str = settings.get("dest") or (name.lstrip("-").replace("-", "_") if name[0] == "-" else name)

    @property
    def is_option(self) -> bool:
        """Whether it is an option."""
        return self.names[0][0] == "-"

    @property
    def is_switch(self) -> bool:
        """Whether it is an option without a value."""
        return self.settings.get("action") in ("store_true", "store_const")

    @property
    def default(self) -> Any:
        """Its value where it is not given."""
        return self.settings.get("default", False if self.settings.get("action") == "store_true" else None)

    def convert(self, text: str) -> Any:
        """Return the value that a word stands for.

        :raises _NotPlainError: it cannot be one.
        """
        value: Any = text
        if "type" in self.settings:
            try:
                value = self.settings["type"](text)
            except (TypeError, ValueError):
                raise _NotPlainError from None
        if value not in self.settings.get("choices", (value,)):
            raise _NotPlainError
        return value


class _NotPlainError(Exception):
    """A command line that argparse has to look at."""


class CommandParser:
    """A parser for one command and the global options, which may stand anywhere.

    :param name: the command.
    :param summary: one line on what it does.
    """

    def __init__(self, name: str, summary: str) -> None:
        self.name = name
        self.description = summary[:1].upper() + summary[1:] + "."
        self.epilog: str | None = None
        self.declared: list[Declared] = []
        self.common = self.add_argument_group("options of every command")
        self._options: dict[str, Declared] = {}
        self._arguments: list[Declared] = []
        self._rest = ""
        self._with_file: tuple[str, str] | None = None
        for option, value, text in GLOBAL_OPTIONS:
            if option == "--option":
                self.common.add_argument(
                    option, metavar=value, help=text, action="append", default=[], dest="driver_options"
                )
            elif option == "--durability":
                self.common.add_argument(option, metavar=value, help=text, choices=DURABILITIES)
            elif value:
                self.common.add_argument(option, metavar=value, help=text)
            else:
                self.common.add_argument(option, help=text, action="store_true")

    def add_argument(self, *names: str, **settings: Any) -> None:
        """Declare an option or argument.

        :param names: as :meth:`argparse.ArgumentParser.add_argument` takes them.
        :param settings: as it takes them; there are ``action`` (``"store_true"``, ``"store_const"``, ``"append"``),
            ``choices``, ``const``, ``default``, ``dest``, ``help``, ``metavar``, ``type``, and ``nargs`` of arguments
            (``"?"``, ``"*"``, ``"+"``).
        """
        self.declare(Declared(names, settings, None))

    def add_mutually_exclusive_group(self) -> Group:
        """Return a group of options of which one can be given."""
        return Group(self, None)

    def add_argument_group(self, title: str) -> Group:
        """Return a group of options that stand under a title in the help."""
        return Group(self, title)

    def declare(self, declared: Declared) -> None:
        """Add an option or argument."""
        self.declared.append(declared)
        if declared.is_option:
            self._options.update(dict.fromkeys(declared.names, declared))
        else:
            self._arguments.append(declared)

    def take_rest(self, name: str, text: str) -> None:
        """Declare that all words behind the first one that is no option belong to somebody else.

        :param name: the attribute that they become, as they are.
        :param text: one line of help.
        """
        self._rest = name
        self.add_argument(f"[{name.upper()}...]", nargs="?", help=text)

    def let_switch_take_file(self, switch: str, option: str) -> None:
        """Let a global switch be followed by a file, which stands for another option with that file.

        A word behind the switch is a file where it has a dot or a slash in it, which no name has that a command takes,
        or follows an equals sign.

        :param switch: such as ``--json``.
        :param option: one that takes a file.
        """
        self._with_file = (switch, option)

    def _files_taken(self, words: list[str]) -> list[str]:
        if self._with_file is None:
            return words
        switch, option = self._with_file
        taken: list[str] = []
        remaining = list(words)
        while remaining and remaining[0] != "--":
            word = remaining.pop(0)
            if word.startswith(f"{switch}="):
                taken += [option, word.partition("=")[2]]
            elif word == switch and remaining and remaining[0][:1] != "-" and ({".", "/"} & set(remaining[0])):
                taken += [option, remaining.pop(0)]
            else:
                taken.append(word)
        return taken + remaining

    def parse(self, words: list[str]) -> tuple[GlobalOptions, argparse.Namespace]:
        """Return the global options and the command's arguments.

        :raises UsageError: the words do not fit.
        """
        options, others, rest = self._apart(self._files_taken(words))
        try:
            found = self._plain(options, others)
        except _NotPlainError:
            found = self.full(options, others)
        if self._rest:
            setattr(found, self._rest, rest)
        arguments: argparse.Namespace = found  # type: ignore[assignment]
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

    def _apart(self, words: list[str]) -> tuple[list[str], list[str], list[str]]:
        """Return options with their values, other words, and those that belong to somebody else."""
        # argparse gives an optional argument nothing where an option stands before its word; and its own mode for
        # mixed words does not know --.
        options: list[str] = []
        others: list[str] = []
        rest: list[str] = []
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
                declared = self._options.get(word)
                if declared is not None and not declared.is_switch:
                    options += [value for value in [next(remaining, None)] if value is not None]
        return options, others, rest

    def full(self, options: list[str], others: list[str]) -> SimpleNamespace:
        """Have argparse understand the words, or write help.

        :raises UsageError: they do not fit.
        """
        from ._argparse import FullParser

        dashed = any(word.startswith("-") for word in others)
        words = [*options, "--", *others] if dashed else [*others, *options]
        return SimpleNamespace(**vars(FullParser(self).parse_args(words)))

    def _plain(self, options: list[str], others: list[str]) -> SimpleNamespace:
        """Understand a command line that leaves no question.

        :raises _NotPlainError: it is none.
        """
        found: dict[str, Any] = {}
        for declared in self.declared:
            found.setdefault(declared.dest, declared.default)
        groups: dict[Group, Declared] = {}
        left = iter(options)
        for word in left:
            for declared, text in self._given(word, left):
                group = declared.group
                alone = group is None or group.title is not None or groups.setdefault(group, declared) is declared
                if not alone:
                    raise _NotPlainError
                if declared.is_switch:
                    found[declared.dest] = declared.settings.get("const", True)
                elif declared.settings.get("action") == "append":
                    found[declared.dest] = [*found[declared.dest], declared.convert(text)]
                else:
                    found[declared.dest] = declared.convert(text)
        self._place(others, found)
        return SimpleNamespace(**found)

    def _given(self, word: str, left: Iterator[str]) -> Iterator[tuple[Declared, str]]:
        """Yield the options that a word gives, with their values."""
        declared = self._options.get(word)
        if declared is None and word.startswith("--"):
            name, equals, text = word.partition("=")
            declared = self._options.get(name)
            if declared is None or declared.is_switch or not equals:
                raise _NotPlainError
            yield declared, text
            return
        while declared is None:
            # Several in one word, of which the last may have a value there.
            first = self._options.get(word[:2])
            if first is None:
                raise _NotPlainError
            if not first.is_switch:
                if word[2] == "=":
                    raise _NotPlainError
                yield first, word[2:]
                return
            yield first, ""
            word = f"-{word[2:]}"
            declared = self._options.get(word)
        if declared.is_switch:
            yield declared, ""
            return
        value = next(left, "-")
        if value.startswith("-"):
            raise _NotPlainError
        yield declared, value

    def _place(self, others: list[str], found: dict[str, Any]) -> None:
        """Give the arguments their words."""
        many = [number for number, one in enumerate(self._arguments) if "nargs" in one.settings]
        spare = len(others) - len(self._arguments) + len(many)
        if len(many) > 1 or spare < 0 or (spare and not many) or "--" in others:
            raise _NotPlainError
        words = iter(others)
        for declared in self._arguments:
            nargs = declared.settings.get("nargs")
            if nargs is None:
                found[declared.dest] = declared.convert(next(words))
            elif nargs == "?":
                if spare > 1:
                    raise _NotPlainError
                if spare:
                    found[declared.dest] = declared.convert(next(words))
            elif nargs in ("*", "+") and spare:
                found[declared.dest] = [declared.convert(next(words)) for _ in range(spare)]
            elif nargs == "*":
                found[declared.dest] = [] if declared.default is None else declared.default
            else:
                raise _NotPlainError


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--option {text!r} is not of the form NAME=VALUE")
        pairs[name] = value
    return pairs
