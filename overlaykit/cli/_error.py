"""How an error is told."""

from __future__ import annotations

import contextlib
import os
import sys

from ._exit import UsageError

__all__ = ["write_end", "write_error"]


def write_error(error: BaseException, code: int, as_json: bool) -> None:
    """Write what went wrong to standard error, in one line or as a JSON document.

    :param code: what the command ends with.
    """
    from ._text import one_line

    message = one_line(_message(error))
    if as_json:
        import json

        number = error.errno if isinstance(error, OSError) else None
        document = {"kind": type(error).__name__, "errno": number, "exit": int(code), "message": message}
        line = json.dumps({"error": document})
    else:
        line = f"overlaykit: {message}"
    with contextlib.suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def write_end(end: SystemExit) -> None:
    """Write why the program was ended, where there is something to say: a text, or whose code ended it."""
    from ._text import one_line

    said = end.code if isinstance(end.code, str) else f"ended with {end.code!r}" if _notes(end) else ""
    if said:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"overlaykit: {one_line(said + _notes(end))}\n")


def _notes(error: BaseException) -> str:
    return "".join(f" {note}" for note in getattr(error, "__notes__", ()))


def _message(error: BaseException) -> str:
    from ..errors import OverlaykitError

    if isinstance(error, (OverlaykitError, UsageError)):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted{_notes(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    from ..plugin import describe_error

    return f"{describe_error(error)}{_notes(error) or _whose(error)} (unexpected; --debug shows where)"


def _whose(error: BaseException) -> str:
    """Say which plugin's code an exception comes from that was not raised through a call of a driver or hook.

    A tree, a writer: their methods are called without anything in between.
    """
    import re
    import traceback

    from ._context import loaded_plugins

    drivers = loaded_plugins().drivers.values()
    packages = {re.split("[.:]", driver.spec.factory)[0]: driver for driver in drivers}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        driver = packages.get(frame.f_globals.get("__name__", "").partition(".")[0])
        if driver is not None:
            return f" in the driver {driver.spec.name} ({driver.origin})"
    return ""
