"""``overlaykit doctor``: what is right and wrong here, line by line, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import ExitCode

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}


def configure(parser: CommandParser) -> None:
    """Declare no arguments: there are none."""


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the checks as they are made.

    :returns: 0, or 1 where a check is bad.
    """
    from ..doctor import Status, check_all

    output = context.output
    checks = []
    for check in check_all(context.store_path, context.plugins()):
        checks.append(check)
        if not output.json:
            mark = output.style(f"{check.status:<4}", _STYLES[check.status])
            output.line(f"{mark}  {check.name:<16}  {output.name(check.message)}")
            if check.fix and check.status is not Status.OK:
                output.line(f"{'':<24}{output.style('->', 'bold')} {output.name(check.fix)}")
    bad = any(check.status is Status.BAD for check in checks)
    if output.json:
        output.document(
            {
                "ok": not bad,
                "checks": [
                    {"name": c.name, "status": str(c.status), "message": c.message, "fix": c.fix} for c in checks
                ],
            }
        )
    return ExitCode.OTHER if bad else ExitCode.OK
