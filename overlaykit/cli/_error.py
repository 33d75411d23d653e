"""How an error is told."""

from __future__ import annotations

import contextlib
import os
import sys

from ._exit import UsageError

__all__ = ["write_error"]


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


def _message(error: BaseException) -> str:
    from ..errors import OverlaykitError

    if isinstance(error, (OverlaykitError, UsageError)):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error} (unexpected; --debug shows where)"
