"""``overlaykit explore``: what layers add, hide and waste: a summary, a page to browse, a check for builds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._exit import ExitCode, UsageError
from .._image import short
from .._text import one_line, size

if TYPE_CHECKING:
    import argparse

    from ...explore import Analysis, Duplicate, Rules, Waste
    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_RULES = ("lowest-efficiency", "highest-wasted-bytes", "highest-user-wasted-percent")


_SHOWN = 3


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Say what each layer of an image or a container adds, changes and removes, and which stored bytes no longer "
        "show: deleted, replaced, or stored again because only a mode or an owner changed."
    )
    parser.add_argument("name", metavar="IMAGE|CONTAINER", help="what to look at")
    parser.add_argument("--top", metavar="N", type=int, default=10, help="how many wasted paths to list (default: 10)")
    parser.add_argument("--changes", action="store_true", help="with --json: each path that a layer changes too")
    parser.add_argument("--html", metavar="FILE", help="write a page to browse all of it with; - for standard output")
    group = parser.add_argument_group("check, for builds: exit code 1 and a line for each rule that is broken")
    group.add_argument("--ci", action="store_true", help="check, and write nothing else")
    group.add_argument("--ci-config", metavar="FILE", help="rules as TOML, or dive's .dive-ci")
    group.add_argument("--lowest-efficiency", metavar="RATIO", help="as 0.95 or 95%% (default: 0.9)")
    group.add_argument("--highest-wasted-bytes", metavar="SIZE", help="as 20MB (default: disabled)")
    group.add_argument(
        "--highest-user-wasted-percent",
        metavar="RATIO",
        help="wasted bytes by those of the layers above the lowest, as 0.1 (default: 0.1)",
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Analyse, and write what was asked for."""
    from .._stack import analyse_named

    rules = _rules(arguments)
    if arguments.html == "-" and (context.output.json or sys.stdout.isatty()):
        raise UsageError("a page is neither JSON nor text for a terminal: say where with --html FILE")
    with context.open_store() as store:
        analysis = analyse_named(store, arguments.name, context.output)
    output = context.output
    broken = [] if rules is None else rules.broken(analysis)
    page = _write_page(output, analysis, arguments.html) if arguments.html else None
    if arguments.html == "-":
        pass
    elif output.json:
        from ...explore import as_document

        document = as_document(analysis, changes=arguments.changes)
        if page is not None:
            document["page"] = {"path": arguments.html, "bytes": page}
        if rules is not None:
            document["broken"] = [{"rule": one.rule, "message": one.message} for one in broken]
        output.document(document)
    elif rules is None and page is None:
        _summary(output, analysis, max(0, arguments.top))
    for one in broken:
        sys.stderr.write(f"overlaykit: {one.rule}: {one_line(one.message)}\n")
    return ExitCode.OTHER if broken else ExitCode.OK


def _rules(arguments: argparse.Namespace) -> Rules | None:
    given = {name: getattr(arguments, name.replace("-", "_")) for name in _RULES}
    if not arguments.ci:
        for name, value in [*given.items(), ("ci-config", arguments.ci_config)]:
            if value is not None:
                raise UsageError(f"--{name} is a rule of the check: give --ci too")
        return None
    from ...explore import read_rules

    try:
        return read_rules(given, arguments.ci_config)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _write_page(output: Output, analysis: Analysis, target: str) -> int:
    from ...explore import write_page

    written = write_page(analysis, sys.stdout if target == "-" else target)
    if target != "-" and not output.json:
        output.note(f"{target}: {size(written)}; open it in a browser")
    return written


def _summary(output: Output, analysis: Analysis, top: int) -> None:
    from ...explore import group_waste, instruction_text
    from .._stack import percent

    def called(index: int) -> str:
        layer = analysis.layers[index]
        if layer.is_container:
            return f"container {analysis.container}"
        return " ".join(instruction_text(layer.created_by, layer.comment).split()) or f"layer {short(layer.diff_id)}"

    rows = []
    for layer in analysis.layers:
        total = layer.total
        rows.append(
            (
                "*" if layer.is_container else str(layer.index),
                "-" if layer.is_container else size(layer.size),
                size(layer.stored),
                str(total.added),
                str(total.modified),
                str(total.removed),
                size(layer.wasted),
                called(layer.index),
            )
        )
    head = ("LAYER", "BLOB", "FILES", "ADDED", "CHANGED", "REMOVED", "WASTED", "INSTRUCTION")
    output.table(head, rows, frozenset(range(7)))
    output.line()
    efficiency = output.style(f"Efficiency {percent(analysis.efficiency)}", "bold")
    output.line(
        f"{efficiency}: {size(analysis.wasted)} of {size(analysis.stored)} are wasted, "
        f"{size(analysis.duplicated)} are there twice"
    )
    groups = group_waste(analysis.waste)
    if groups and top:
        output.line()
        output.table(
            ("WASTED", "FILES", "HOW", "WHERE", "BY"),
            [
                (size(one.bytes), str(one.files), str(one.cause), one.path, f"{one.hidden_by}: {called(one.hidden_by)}")
                for one in groups[:top]
            ],
            frozenset({0, 1}),
        )
        output.line()
        output.table(
            ("WASTED", "PATH", "OF", "BY", "HOW"),
            [
                (size(one.bytes), one.path, str(one.layer), str(one.hidden_by), _how(one))
                for one in analysis.waste[:top]
            ],
            frozenset({0}),
        )
    if analysis.duplicates and top:
        output.line()
        output.table(
            ("TWICE", "PATHS"),
            [(size(one.bytes), _places(one)) for one in analysis.duplicates[:top]],
            frozenset({0}),
        )


def _places(duplicate: Duplicate) -> str:
    (first, lowest), *_ = duplicate.places
    later = [f"{path} in {layer}" for path, layer in duplicate.places if layer > lowest]
    more = f" and {len(later) - _SHOWN} more" if len(later) > _SHOWN else ""
    return f"{first} in {lowest}, again {', '.join(later[:_SHOWN])}{more}"


def _how(waste: Waste) -> str:
    from ...explore import aspect_names

    if waste.moved_to is not None:
        return f"moved to {waste.moved_to}"
    what = ", ".join(aspect_names(waste.aspects))
    return f"{waste.cause} ({what})" if what else str(waste.cause)
