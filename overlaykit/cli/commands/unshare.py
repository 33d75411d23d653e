"""``overlaykit unshare``: a command with the ids of ``/etc/subuid``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("command", metavar="COMMAND", nargs="*", help="what to run, behind -- if it has options")
    parser.epilog = (
        "In the namespace the caller is root over the ranges that /etc/subuid and /etc/subgid give.\n"
        "A store that is only used in it has real owners: overlaykit unshare -- overlaykit --store DIR ..."
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Become the command, in a user namespace."""
    from ...linux import enter_user_namespace

    words = arguments.command or [os.environ.get("SHELL") or "/bin/sh"]
    enter_user_namespace()
    os.execvp(words[0], words)  # noqa: S606 - it is what the caller asks for
