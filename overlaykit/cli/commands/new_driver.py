"""``overlaykit new-driver``: make a plugin project with a working driver."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ExistsError

if TYPE_CHECKING:
    import argparse

    from ...plugin import PluginManager
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="of the driver: a valid name of a distribution")
    parser.add_argument("directory", metavar="DIR", nargs="?", help="to make (default: overlaykit-NAME, here)")
    parser.add_argument(
        "--license", metavar="SPDX", default="Apache-2.0", help="the project's licence (default: %(default)s)"
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the project's files and say what to do next."""
    from ..scaffold import names_from, render, write_project

    names = names_from(arguments.name)
    _check_free(context.plugins(), names.driver)
    files = render(names, arguments.license)
    target = Path(names.distribution if arguments.directory is None else arguments.directory)
    write_project(files, target)
    output = context.output
    if output.json:
        output.document(
            {
                "driver": names.driver,
                "distribution": names.distribution,
                "package": names.package,
                "class": names.cls,
                "directory": os.path.abspath(target),
                "files": list(files),
            }
        )
        return 0
    for path in files:
        output.line(output.name(str(target / path)))
    output.flush()
    output.note(f"next: cd {shlex.quote(str(target))} && pip install -e '.[test]' && pytest")
    return 0


def _check_free(plugins: PluginManager, name: str) -> None:
    driver = plugins.drivers.get(name)
    if driver is not None:
        raise ExistsError(f"there is a driver {name!r} already, of {driver.origin}; choose another name")
    # One that cannot be used would be in the way all the same, once it is repaired.
    for problem in plugins.problems:
        if problem.plugin == name or f"driver name {name!r}" in problem.message:
            raise ExistsError(f"the name {name!r} is taken: {problem}")
    for origin in plugins.disabled:
        if origin.plugin == name:
            raise ExistsError(f"the name {name!r} is taken by the {origin}, which is disabled; choose another name")
    if name in plugins.plugins:
        raise ExistsError(f"there is a plugin {name!r} already; choose another name")
