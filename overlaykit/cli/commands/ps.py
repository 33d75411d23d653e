"""``overlaykit ps``: what containers there are, and which of them run."""

from __future__ import annotations

from .._containers import command_text, state_json, status_text
from .._exit import UsageError
from .._image import container_json, short
from .._text import age, size

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse

    from ...image import ContainerInfo
    from ...runtime import ContainerState
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-a", "--all", action="store_true", help="all of them, as without it")
    which.add_argument("-r", "--running", action="store_true", help="only those that run")
    parser.add_argument(
        "-f",
        "--filter",
        metavar="K=V",
        action="append",
        default=[],
        help="only those with status=created|running|paused|exited, name=TEXT in their name, or exited=CODE; of "
        "several with one K any, of those with others all",
    )
    parser.add_argument("--no-usage", action="store_true", help="do not look up what each takes")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the containers in the order in which they were made."""
    import datetime

    from ...runtime import container_states

    filters = _filters(arguments.filter)
    with context.open_store() as store:
        found = [
            (info, state)
            for info, state in container_states(store)
            if (state.running or not arguments.running) and _fits(info, state, filters)
        ]
        usage = {} if arguments.no_usage else {info.name: store.usage(info.name).bytes for info, _ in found}
    output = context.output
    if output.quiet and not output.json:
        for info, _ in found:
            output.line(output.name(info.name))
        return 0
    if output.json:
        output.document(
            {
                "containers": [
                    {**container_json(info), "bytes": usage.get(info.name), "state": state_json(state)}
                    for info, state in found
                ]
            }
        )
        return 0
    from ...image import Reference

    now = datetime.datetime.now(datetime.UTC)
    rows = [
        (
            info.name,
            Reference.parse(info.reference).familiar if info.reference else short(info.image),
            status_text(state, now),
            command_text(state) or "-",
            size(usage[info.name]) if usage else "-",
            age(info.created, now),
        )
        for info, state in found
    ]
    output.table(("NAME", "IMAGE", "STATUS", "COMMAND", "SIZE", "CREATED"), rows, frozenset({4}))
    return 0


def _filters(texts: list[str]) -> dict[str, set[str]]:
    from ...runtime import Status

    found: dict[str, set[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in ("status", "name", "exited") or not value:
            raise UsageError(f"--filter {text!r}: there is status=, name= and exited=")
        if name == "status" and value not in [str(one) for one in Status]:
            raise UsageError(f"--filter {text!r}: there is {', '.join(Status)}")
        found.setdefault(name, set()).add(value)
    return found


def _fits(info: ContainerInfo, state: ContainerState, filters: dict[str, set[str]]) -> bool:
    def fits(name: str, value: str) -> bool:
        if name == "name":
            return value in info.name
        if name == "status":
            return state.status == value
        return state.status == "exited" and value == str(state.exit_code)

    return all(any(fits(name, one) for one in values) for name, values in filters.items())
