"""``overlaykit exec``: one more program in a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._error import write_error
from .._exit import UsageError
from .._run_options import add_process_options, environment

if TYPE_CHECKING:
    import argparse

    from ...runtime import DetachedContainer
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_FAILED = 125
"""What Docker ends with where it is not the program that failed."""


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a running container")
    parser.take_rest("command", "what to run, with its options")
    parser.add_argument("-i", "--interactive", action="store_true", help="give it this command's standard input")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for it; what it writes is lost")
    add_process_options(parser)
    parser.epilog = (
        "The exit code is the program's; 125 where it could not be started, 126 where the program cannot be\n"
        "executed, 127 where there is none, 128 and the number of the signal that ended it. What runs is killed\n"
        "when this command is."
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Run it, with its streams untouched, and end with its exit code."""
    if not arguments.command:
        raise UsageError("nothing is said of what to run; see overlaykit exec --help")
    variables = environment(arguments)
    from ...errors import RunError
    from ...runtime import DetachedContainer

    try:
        with context.open_store() as store:
            box = DetachedContainer(store, arguments.name)
            return _run(box, arguments, variables)
    except RunError as error:
        if context.options.debug:
            raise
        write_error(error, error.exit_code, context.options.json)
        return error.exit_code


def _run(box: DetachedContainer, arguments: argparse.Namespace, variables: dict[str, str]) -> int:
    from ...runtime import Stdio
    from .._foreground import follow
    from .._terminal import on_terminal

    options = {"env": variables, "cwd": arguments.workdir, "user": arguments.user}
    words = arguments.command
    if arguments.detach:
        with box.start_exec(words, detached=True, **options) as session:
            return session.wait()
    if arguments.tty:
        return on_terminal(
            lambda stdio: box.start_exec(words, terminal=True, stdio=stdio, **options),
            interactive=arguments.interactive,
        )
    stdio = Stdio(0 if arguments.interactive else -1, 1, 2)
    return follow(lambda: box.start_exec(words, stdio=stdio, **options))
