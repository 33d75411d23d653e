"""docs/errors.md lists every error as the code has it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from overlaykit import errors
from overlaykit.cli._exit import ExitCode, exit_code

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w ,`]+) \| (\d+) \|", re.MULTILINE)
EXIT_ROW = re.compile(r"^\| (\d+) \| `(\w+)` \|", re.MULTILINE)


def kinds() -> dict[str, type[errors.OverlaykitError]]:
    found = {name: getattr(errors, name) for name in errors.__all__}
    return {name: kind for name, kind in found.items() if issubclass(kind, errors.OverlaykitError)}


def make(kind: type[errors.OverlaykitError]) -> errors.OverlaykitError:
    error = kind.__new__(kind)
    OSError.__init__(error, kind.code, "message")
    error.message = "message"
    return error


def builtin_bases(kind: type) -> set[str]:
    return {
        base.__name__
        for base in kind.__mro__
        if base.__module__ == "builtins" and base not in (object, BaseException, Exception, OSError)
    }


def test_every_error_is_listed_with_its_errno_bases_and_exit_code() -> None:
    listed = {}
    for name, code, bases, exits in ROW.findall(PAGE.read_text()):
        listed[name] = (code, set(re.findall(r"\w+", bases)) - {"OSError"}, int(exits))
    wanted = {
        name: (errno.errorcode[kind.code], builtin_bases(kind), int(exit_code(make(kind))))
        for name, kind in kinds().items()
    }
    assert listed == wanted


def test_every_exit_code_is_listed() -> None:
    listed = {(int(code), name) for code, name in EXIT_ROW.findall(PAGE.read_text())}
    assert listed == {(int(code), code.name) for code in ExitCode}
