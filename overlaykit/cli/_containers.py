"""Containers that run or ran, as commands speak of them."""

from __future__ import annotations

import datetime

from ._exit import UsageError
from ._text import age

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..runtime import ContainerState, DetachedContainer
    from ._context import Context
    from ._parse import CommandParser

__all__ = [
    "add_signal_options",
    "check_signal",
    "command_text",
    "docker_state",
    "for_each",
    "state_json",
    "status_text",
]

_SECOND = 1_000_000_000

_COMMAND = 40
"""Characters of a command in a table."""


def status_text(state: ContainerState, now: datetime.datetime) -> str:
    """Return where a container stands, as ``docker ps`` says it."""
    if state.running and state.started is not None:
        paused = " (Paused)" if state.status == "paused" else ""
        return f"Up {age(_moment(state.started), now).removesuffix(' ago')}{paused}"
    if state.exit_code is not None and state.finished is not None:
        return f"Exited ({state.exit_code}) {age(_moment(state.finished), now)}"
    return "Created"


def command_text(state: ContainerState) -> str:
    """Return what a container runs or ran, cut to what a table has room for; ``-`` for one that never did."""
    import shlex

    text = shlex.join(state.command)
    return text if len(text) <= _COMMAND else f"{text[: _COMMAND - 3]}..."


def state_json(state: ContainerState) -> dict[str, Any]:
    """Return what is known of a container's last run for a JSON document."""
    return state.as_json()


def docker_state(state: ContainerState) -> dict[str, Any]:
    """Return the same as ``docker inspect`` has it under ``State``, for what reads that."""
    from ..runtime import format_time

    def moment(value: int | None) -> str:
        return "0001-01-01T00:00:00Z" if value is None else format_time(value)

    return {
        "Status": str(state.status),
        "Running": state.running,
        "Paused": state.status == "paused",
        "Pid": state.pid,
        "ExitCode": state.exit_code or 0,
        "Error": state.error,
        "StartedAt": moment(state.started),
        "FinishedAt": moment(state.finished),
    }


def for_each(context: Context, names: Iterable[str], act: Callable[[DetachedContainer], object], *, word: str) -> int:
    """Do something with containers in the order given, up to the first with which it cannot be done; tell of each.

    :param word: the member of the JSON document that has their names.
    """
    from ..runtime import DetachedContainer

    output = context.output
    done = []
    with context.open_store() as store:
        for name in names:
            act(DetachedContainer(store, name))
            done.append(name)
            if not output.json:
                output.line(output.name(name))
                output.flush()
    if output.json:
        output.document({word: done})
    return 0


def add_signal_options(parser: CommandParser) -> None:
    """Declare how a container is asked to end."""
    parser.add_argument(
        "-t", "--time", metavar="SECONDS", type=float, help="until it is killed; -1 for never (default: 10)"
    )
    parser.add_argument("-s", "--signal", metavar="SIGNAL", help="what is sent first (default: the image's, or TERM)")


def check_signal(text: str | None) -> int | None:
    """Return the number of a signal that was named.

    :raises UsageError: there is none of this name.
    """
    from ..runtime import parse_signal

    if text is None:
        return None
    try:
        return parse_signal(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _moment(nanoseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(nanoseconds / _SECOND, datetime.UTC)
