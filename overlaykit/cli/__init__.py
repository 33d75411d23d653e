"""The command line. Each command is a module of its own that is imported when it is called."""

from __future__ import annotations

import os
import sys

__all__ = ["main", "program"]

_GARBAGE = 20_000
"""New objects, as :func:`gc.set_threshold` counts them, that make a command look for garbage."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    :param arguments: the words after the program's name; ``None`` takes them from :data:`sys.argv`.
    :returns: the exit code; ``overlaykit --help`` has the table.
    """
    words = sys.argv[1:] if arguments is None else arguments
    # By itself, before anything else is imported: scripts ask for the version at every start.
    if words == ["--version"]:
        from overlaykit import __version__

        sys.stdout.write(f"overlaykit {__version__}\n")
        return 0
    if arguments is not None:
        from ._main import run

        return run(words)
    import gc

    # The process ends with the command. It makes little garbage that needs looking for, and none that matters at exit.
    gc.set_threshold(_GARBAGE)
    from ._main import run

    try:
        return run(words)
    finally:
        gc.freeze()


def program() -> int:
    """Be the command's process: run the command line of :data:`sys.argv`, and end.

    :returns: the exit code, where the interpreter has to end in its own way.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_missing()
    code = main()
    if _is_done():
        # To take apart what was imported takes the interpreter longer than many a command has taken.
        os._exit(code)
    return code


def _open_missing() -> None:
    """Open standard streams that whoever started this has closed.

    The next file that is opened gets the lowest number that is free: a store's database would be standard output then,
    and what a container writes there would go into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _is_done() -> bool:
    """Do what the interpreter does at its end, and tell whether nothing else is left of it."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        return False
    import atexit

    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return False
    return True
