"""``overlaykit conformance``: do drivers keep their promises?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import OverlaykitError
from .._exit import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from ...conformance import Result, RunFacts
    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser
    from ..suite import SuiteRun

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="a driver; several give a table of rules by drivers")
    parser.add_argument(
        "--level",
        choices=("core", "declared", "full"),
        default="full",
        help="core: what no driver may fail; declared: and what it declares; full (default): and refuses the rest",
    )
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON to a file; --json FILE is the same")
    parser.let_switch_take_file("--json", "--report")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page that needs nothing else")
    parser.add_argument("--root", metavar="DIR", help="where the suite makes its stores: the file system to test on")
    parser.add_argument(
        "--only", metavar="ID", action="append", default=[], help="only the test of this id; may be given several times"
    )
    parser.add_argument("-k", dest="expression", metavar="EXPRESSION", help="only the tests that pytest's -k selects")
    parser.add_argument("-x", "--exitfirst", action="store_true", help="stop at a driver's first failure")
    parser.add_argument("--seed", metavar="N", type=int, help="of the property tests (default: 5)")
    parser.add_argument("--examples", metavar="N", type=int, help="how many the property tests try (default: 40)")
    parser.add_argument("--case", metavar="VERSION:BLOB", help="the one example to try, as a failure names it")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Run the suite on each driver, write a line for each theme as it ends, then the report.

    :returns: 0, or 1 where a test failed or a driver could not be tested.
    """
    from ...conformance import report_document, report_page, write_json
    from ..suite import write_report

    names = list(dict.fromkeys(arguments.names))
    for name in names:
        registered = context.plugins().get(name)
        context.plugins().check_options(registered, context.options.options)
    if arguments.examples is not None and arguments.examples < 1:
        raise UsageError(f"--examples {arguments.examples} is not a number from 1 on")
    runs = []
    for name in names:
        if len(names) > 1 and not context.output.json:
            context.output.line(f"{name}:")
        runs.append(_run_one(context, arguments, name, alone=len(names) == 1))
    document = report_document(runs)
    if arguments.report is not None:
        write_json(Path(arguments.report), document)
    if arguments.html is not None:
        Path(arguments.html).write_text(report_page(document), encoding="utf-8")
    if context.output.json:
        context.output.document(document)
    else:
        write_report(context.output, document)
    return ExitCode.OK if document["ok"] else ExitCode.OTHER


def _run_one(
    context: Context, arguments: argparse.Namespace, name: str, *, alone: bool
) -> tuple[RunFacts, list[Result]]:
    from ...conformance import RunFacts
    from ..suite import run_suite

    registered = context.plugins().get(name)
    facts = RunFacts(
        driver=name,
        distribution=registered.distribution,
        version=registered.version,
        options=dict(context.options.options),
        capabilities=(),
        root="",
        filesystem="",
        environment={},
        level=arguments.level,
        seed=arguments.seed or 0,
        examples=arguments.examples or 0,
    )
    results: list[Result] = []
    try:
        for told in _told(context.output, run_suite(name, list(_extra(context, arguments)))):
            if isinstance(told, RunFacts):
                facts = told
            else:
                results.append(told)
    except OverlaykitError as error:
        if alone:
            raise
        import dataclasses

        facts = dataclasses.replace(facts, error=str(error))
    return facts, sorted(results, key=lambda result: result.test)


def _extra(context: Context, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the words for pytest."""
    yield f"--overlaykit-level={arguments.level}"
    for option, value in context.options.options.items():
        yield f"--overlaykit-option={option}={value}"
    for test in arguments.only:
        yield f"--overlaykit-only={test}"
    for option, value in (
        ("--overlaykit-root", arguments.root),
        ("--overlaykit-seed", arguments.seed),
        ("--overlaykit-examples", arguments.examples),
        ("--overlaykit-case", arguments.case),
    ):
        if value is not None:
            yield f"{option}={value}"
    if arguments.expression is not None:
        yield from ("-k", arguments.expression)
    if arguments.exitfirst:
        yield "-x"


def _told(output: Output, run: Iterable[SuiteRun]) -> Iterator[SuiteRun]:
    """Pass on what a run tells, and write a line whenever a theme is through."""
    from ...conformance import Result

    group: list[Result] = []
    for told in run:
        yield told
        # What a capability leaves out is told before all else, of every theme at once.
        if not isinstance(told, Result) or not told.outcome.ran:
            continue
        if group and told.group != group[0].group:
            _write(output, group)
            group = []
        group.append(told)
    if group:
        _write(output, group)


def _write(output: Output, group: list[Result]) -> None:
    from ..suite import write_group

    if not output.json:
        write_group(output, group)
