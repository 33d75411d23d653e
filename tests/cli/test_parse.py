"""What is understood without argparse is what argparse understands."""

from __future__ import annotations

import importlib
import random
from typing import TYPE_CHECKING

import pytest

from overlaykit.cli._argparse import FullParser
from overlaykit.cli._exit import UsageError
from overlaykit.cli._parse import CommandParser, _NotPlainError
from overlaykit.cli._table import COMMANDS

if TYPE_CHECKING:
    from overlaykit.cli._table import Command

EVERY = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def parser_of(command: Command) -> CommandParser:
    parser = CommandParser(command.name, command.summary)
    importlib.import_module(command.module).configure(parser)
    return parser


def words_for(parser: CommandParser, random: random.Random) -> list[str]:
    """Return a command line that may be right."""
    words: list[str] = []
    options = [declared for declared in parser.declared if declared.is_option]
    arguments = len(parser.declared) - len(options)
    for _ in range(random.randrange(5)):
        declared = random.choice(options)
        name = random.choice(declared.names)
        texts = ["x", "1", "2.5", "a=b", "", "-", "-x", "--", "a b", *map(str, declared.settings.get("choices", ()))]
        value = random.choice(texts)
        if value == "--" and not declared.is_switch:
            words += [name, value]  # glued to the option, argparse makes an empty list of it
        elif declared.is_switch:
            words.append(random.choice([name, name, name, f"{name}=x", name * 2]))
        elif name.startswith("--"):
            words += random.choice([[name, value], [name, value], [f"{name}={value}"], [name]])
        else:
            words += random.choice([[name, value], [name + value], [name]])
    shorts = [name for declared in options for name in declared.names if not name.startswith("--")]
    if shorts and random.random() < 0.3:
        words.append("-" + "".join(name[1:] for name in random.choices(shorts, k=random.randrange(1, 4))))
    for _ in range(max(0, arguments + random.choice([-1, 0, 0, 0, 0, 1, 2]))):
        words.insert(random.randrange(len(words) + 1), random.choice(["one", "two", "3", "-", "--", "a=b"]))
    return words


@EVERY
def test_command_lines_are_understood_alike(command: Command) -> None:
    parser = parser_of(command)
    full = FullParser(parser)
    plain = 0
    chance = random.Random(command.name)
    for _ in range(300):
        words = words_for(parser, chance)
        options, others, _ = parser._apart(words)
        try:
            found = parser._plain(options, others)
        except _NotPlainError:
            continue
        plain += 1
        dashed = any(word.startswith("-") for word in others)
        expected = full.parse_args([*options, "--", *others] if dashed else [*others, *options])
        assert vars(found) == vars(expected), words
    assert plain > 30


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--rm", "-it", "-e", "A=b", "--memory=1g", "image", "sh", "-c", "exit 1"],
        ["ps", "-a", "--json"],
        ["images", "--store", "x"],
        ["build", "-t", "x", "--build-arg", "a=b", "."],
        ["stop", "-t", "3", "one", "two"],
        ["exec", "-dit", "name", "sh"],
    ],
    ids=lambda words: words[0],
)
def test_what_is_usual_needs_no_argparse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = next(command for command in COMMANDS if command.name == words[0])
    parser = parser_of(command)
    monkeypatch.setattr(CommandParser, "full", None)
    options, arguments = parser.parse(words[1:])
    assert options.json is ("--json" in words)
    if words[0] == "run":
        assert (arguments.image, arguments.command) == ("image", ["sh", "-c", "exit 1"])
        assert (arguments.interactive, arguments.tty, arguments.env) == (True, True, ["A=b"])
        assert arguments.memory == "1g"


@EVERY
def test_what_is_wrong_is_told(command: Command) -> None:
    with pytest.raises(UsageError, match=f"see overlaykit {command.name} --help"):
        parser_of(command).parse(["--no-such-option"])
    with pytest.raises(UsageError, match="expected one argument"):
        parser_of(command).parse(["--store"])
