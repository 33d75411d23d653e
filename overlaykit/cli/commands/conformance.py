"""``overlaykit conformance``: does a driver keep its promises?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._exit import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser
    from ..suite import Result

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="the driver")
    parser.add_argument("--root", metavar="DIR", help="where the suite makes its stores: the file system to test on")
    parser.add_argument("-k", dest="expression", metavar="EXPRESSION", help="only the tests that pytest's -k selects")
    parser.add_argument("-x", "--exitfirst", action="store_true", help="stop at the first failure")
    parser.add_argument("--report", metavar="FILE", help="write the JSON document to this file too")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Run the suite, write a line for each of its parts as it ends, then each failure with the rule that it broke.

    :returns: 0, or 1 where a test failed.
    """
    from ..suite import run_suite, summarize

    registered = context.plugins().get(arguments.name)
    context.plugins().check_options(registered, context.options.options)
    extra = [f"--overlaykit-option={key}={value}" for key, value in context.options.options.items()]
    if arguments.root is not None:
        extra += ["--overlaykit-root", arguments.root]
    if arguments.expression is not None:
        extra += ["-k", arguments.expression]
    if arguments.exitfirst:
        extra.append("-x")
    start = time.perf_counter()
    results = list(_told(context.output, run_suite(arguments.name, extra)))
    counts = summarize(results)
    bad = [result for result in results if result.bad]
    document = {
        "driver": arguments.name,
        "distribution": registered.distribution,
        "version": registered.version,
        "ok": bool(results) and not bad,
        "counts": counts,
        "seconds": time.perf_counter() - start,
        "tests": [_as_json(result) for result in results],
    }
    if arguments.report is not None:
        import json

        Path(arguments.report).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if context.output.json:
        context.output.document(document)
    else:
        _conclude(context.output, arguments.name, bad, counts)
    return ExitCode.OK if document["ok"] else ExitCode.OTHER


def _told(output: Output, results: Iterable[Result]) -> Iterable[Result]:
    """Pass the results on, and write a line whenever a part of the suite is through."""
    from ..suite import summarize

    group: list[Result] = []
    for result in results:
        if group and result.group != group[0].group:
            _write_group(output, group, summarize(group))
            group = []
        group.append(result)
        yield result
    if group:
        _write_group(output, group, summarize(group))


def _write_group(output: Output, group: list[Result], counts: dict[str, int]) -> None:
    if output.json:
        return
    mark = output.style("✗", "red") if any(result.bad for result in group) else output.style("✓", "green")
    seconds = sum(result.seconds for result in group)
    output.line(f"{mark} {group[0].group:<28} {_counted(counts):<40} {seconds:6.1f} s")
    output.flush()


def _conclude(output: Output, name: str, bad: list[Result], counts: dict[str, int]) -> None:
    for result in bad:
        output.line()
        output.line(output.style("✗ ", "red") + output.name(result.test))
        if result.rule:
            output.line(f"  rule: {output.name(result.rule)}")
        output.line(f"  {output.name(result.message)}")
    output.line()
    verdict = f"{len(bad)} tests failed" if bad else "conforms" if counts["passed"] else "no test ran"
    output.line(f"{name}: {verdict} ({_counted(counts)})")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "nothing"


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "test": result.test,
        "outcome": str(result.outcome),
        "seconds": result.seconds,
        "rule": result.rule,
        "message": result.message,
    }
