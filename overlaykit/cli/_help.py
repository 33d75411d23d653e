"""The text of ``overlaykit --help``, made without a parser: it is asked for before anything is known."""

from __future__ import annotations

from ._table import COMMANDS

__all__ = ["GLOBAL_OPTIONS", "help_text"]

#: Options that every command takes: the option, its value's name (empty for a switch), and one line of help.
GLOBAL_OPTIONS = (
    ("--store", "PATH", "the store (default: $OVERLAYKIT_STORE, or in the home)"),
    ("--driver", "NAME", "for a new store; auto takes the best that works here"),
    ("--option", "K=V", "an option of the driver; may be given several times"),
    ("--durability", "LEVEL", "what survives a power cut: none, commit (default) or full"),
    ("--json", "", "write one JSON document, for programs"),
    ("--quiet", "", "write no more than was asked for: no progress, no notes"),
    ("--no-color", "", "no colour; $NO_COLOR does the same"),
    ("--debug", "", "show the traceback of an error"),
)

_EXIT_CODES = (
    ("0", "done"),
    ("1", "something else went wrong, or a check failed"),
    ("2", "the command line cannot be understood"),
    ("3", "not found: snapshot, store, driver, file"),
    ("4", "exists already, or two plugins claim one name"),
    ("5", "in use: has children, is open, or the store is busy"),
    ("6", "not supported, or the driver cannot be used here"),
    ("7", "no valid name or input, or not possible for this kind of snapshot"),
    ("8", "the store or a snapshot is damaged, no store, or a newer one"),
    ("9", "no space left, or read-only"),
    ("10", "not permitted, or a plugin or registry refuses"),
    ("11", "a registry cannot be reached, or says there is an error"),
    ("130", "interrupted"),
    ("141", "the reader of the output went away"),
)


def help_text() -> str:
    """Return what ``overlaykit --help`` writes."""
    lines = [
        "overlaykit: layers of files: stack, write on top, see the difference, keep it",
        "",
        "usage: overlaykit [OPTIONS] COMMAND ...",
        "       overlaykit COMMAND --help",
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines += ["", f"{group}:"]
        lines += [
            _row(f"{command.name} {command.usage}".strip(), command.summary, 28)
            for command in COMMANDS
            if command.group == group
        ]
    lines += [
        "",
        "Plugins bring further commands and drivers: overlaykit plugins.",
        "",
        "Options, before or after the command:",
    ]
    lines += [_row(f"{option} {value}".strip(), text, 20) for option, value, text in GLOBAL_OPTIONS]
    lines += [_row("--version", "write the version", 20), _row("-h, --help", "write this text, or a command's", 20)]
    lines += ["", "Exit codes:"]
    lines += [_row(code, text, 5) for code, text in _EXIT_CODES]
    return "\n".join(lines) + "\n"


def _row(left: str, right: str, width: int) -> str:
    return f"  {left:<{width}}{right}"
