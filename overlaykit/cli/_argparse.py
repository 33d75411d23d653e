"""A command's declarations as a parser of :mod:`argparse`: for help, and to say what is wrong with a command line."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ._exit import UsageError

if TYPE_CHECKING:
    from ._parse import CommandParser, Group

__all__ = ["FullParser"]


class FullParser(argparse.ArgumentParser):
    """What a :class:`CommandParser` declares.

    :param command: the declarations.
    """

    def __init__(self, command: CommandParser) -> None:
        super().__init__(
            prog=f"overlaykit {command.name}",
            description=command.description,
            epilog=command.epilog,
            allow_abbrev=False,
            # argparse makes one for each argument, to check it; the terminal's width counts when help is written.
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=80),
        )
        self._name = command.name
        groups: dict[Group | None, argparse._ActionsContainer] = {None: self}
        for declared in command.declared:
            group = declared.group
            if group is not None and group not in groups:
                exclusive = group.title is None
                groups[group] = (
                    self.add_mutually_exclusive_group() if exclusive else self.add_argument_group(group.title)
                )
            groups[group].add_argument(*declared.names, **declared.settings)

    def format_help(self) -> str:
        """Return the help, as wide as the terminal."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(f"{message}; see overlaykit {self._name} --help")
