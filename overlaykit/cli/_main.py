"""Finds the command, runs it, and turns whatever ends it into an exit code and one line."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from ._error import write_end, write_error
from ._exit import ExitCode, UsageError, exit_code
from ._help import help_text
from ._table import COMMANDS, find_command
from ._words import split_words, switched_on

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._table import Command

__all__ = ["run"]


def run(words: list[str]) -> int:
    """Run the command line; see :func:`overlaykit.cli.main`."""
    _prepare_streams()
    as_json, debug = switched_on(words, "--json"), switched_on(words, "--debug")
    try:
        with _warnings_in_one_line():
            code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()
        return ExitCode.PIPE_CLOSED
    except SystemExit as end:
        write_end(end)
        return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else ExitCode.OTHER
    except BaseException as error:
        if debug:
            import traceback

            traceback.print_exception(error)
        code = exit_code(error)
        write_error(error, code, as_json)
        try:
            sys.stdout.flush()
        except OSError:
            _let_go_of_stdout()
    return code


def _run(words: list[str]) -> int:
    name, rest = split_words(words)
    if name in (None, "help"):
        return _help(words if name is None else rest)
    command = find_command(name)
    if command is None:
        return _run_plugin_command(name, rest)
    return _run_command(command, rest)


def _help(words: list[str]) -> int:
    if "--version" in words:
        from overlaykit import __version__

        sys.stdout.write(f"overlaykit {__version__}\n")
        return ExitCode.OK
    topic, _ = split_words(words)
    if topic is not None:
        return _run([topic, "--help"])
    if "-h" in words or "--help" in words or not words:
        sys.stdout.write(help_text())
        return ExitCode.OK
    raise UsageError("no command given; see overlaykit --help")


def _run_command(command: Command, words: list[str]) -> int:
    from ._context import Context
    from ._output import Output
    from ._parse import CommandParser

    module = importlib.import_module(command.module)
    parser = CommandParser(command.name, command.summary)
    module.configure(parser)
    options, arguments = parser.parse(words)
    output = Output(json=options.json, quiet=options.quiet, color=options.color)
    code: int = module.run(Context(options, output), arguments)
    return code


def _run_plugin_command(name: str, words: list[str]) -> int:
    from ..plugin import load_object
    from ._context import loaded_plugins

    commands = loaded_plugins().commands
    registered = commands.get(name)
    if registered is None:
        raise UsageError(_unknown(name, list(commands)))
    try:
        function = load_object(registered.spec.run)
        if not callable(function):
            raise TypeError(f"{registered.spec.run} is no function")
        code = function(words)
        if not isinstance(code, int):
            raise TypeError(f"{registered.spec.run} returned {type(code).__name__}, no exit code")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        error.add_note(f"in the command {name} of the {registered.origin}")
        raise
    return code


def _unknown(name: str, further: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, [*(command.name for command in COMMANDS), *further], n=2)
    hint = f"did you mean {' or '.join(close)}?" if close else "see overlaykit --help"
    return f"there is no command {name!r}; {hint}"


def _prepare_streams() -> None:
    # File names are bytes: what came in surrogate-escaped goes out as it was.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")


def _let_go_of_stdout() -> None:
    # The interpreter flushes standard output when it ends and would complain again.
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    import warnings

    def show(message: Warning | str, *_: object, **__: object) -> None:
        from ._text import one_line

        sys.stderr.write(f"overlaykit: warning: {one_line(str(message))}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
