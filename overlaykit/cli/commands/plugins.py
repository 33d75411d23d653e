"""``overlaykit plugins``: what is installed, what it brings, what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...plugin import PluginProblem
from .._table import find_command
from .._text import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ...plugin import PluginManager
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare no arguments: there are none."""


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the plugins with their drivers and commands, and every problem.

    :returns: 0, also where there are problems: to list them is what was asked for.
    """
    plugins, output = context.plugins(), context.output
    problems = [*plugins.problems, *_hidden_commands(plugins)]
    found = {
        name: {
            "drivers": [driver.spec.name for driver in plugins.drivers.values() if driver.plugin == name],
            "commands": [key for key, command in plugins.commands.items() if command.origin.plugin == name],
        }
        for name in plugins.plugins
    }
    if output.json:
        output.document(
            {
                "plugins": [{"name": name, **brought} for name, brought in found.items()],
                "disabled": [origin.plugin for origin in plugins.disabled],
                "problems": [
                    {
                        "plugin": problem.plugin,
                        "distribution": problem.distribution,
                        "version": problem.version,
                        "message": problem.message,
                    }
                    for problem in problems
                ],
            }
        )
        return 0
    rows = [(name, ", ".join(b["drivers"]) or "-", ", ".join(b["commands"]) or "-") for name, b in found.items()]
    output.table(("PLUGIN", "DRIVERS", "COMMANDS"), rows)
    for command in plugins.commands.values():
        if find_command(command.spec.name) is None:
            output.line(f"overlaykit {command.spec.name}: {one_line(command.spec.summary)}")
    for origin in plugins.disabled:
        output.line(f"disabled by OVERLAYKIT_DISABLE_PLUGINS: {origin}")
    for problem in problems:
        output.line(output.style("problem", "red") + f": {one_line(str(problem))}")
    return 0


def _hidden_commands(plugins: PluginManager) -> Iterator[PluginProblem]:
    """Yield a problem for each command that nobody can call: the name is overlaykit's own."""
    for command in plugins.commands.values():
        if find_command(command.spec.name) is not None:
            message = f"its command {command.spec.name!r} is never run: overlaykit has one of that name; rename it"
            origin = command.origin
            yield PluginProblem(origin.plugin, origin.distribution, origin.version, message)
