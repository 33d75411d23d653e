"""The suite's results as text: a line a theme while it runs, then rules by drivers, then each failure in full."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...conformance import Outcome, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...conformance import Result
    from .._output import Output

__all__ = ["write_group", "write_report"]

#: How an outcome is said where many stand side by side.
_WORDS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "FAILED",
    Outcome.ERROR: "FAILED",
    Outcome.KNOWN: "known",
    Outcome.SKIPPED: "skipped",
    Outcome.ABSENT: "absent",
    Outcome.OFFERED: "offered",
}


Test = Mapping[str, Any]

_IN_FULL = 3
"""As many tests that fail in the same words are shown in full."""

_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|/[^ ,;)]+|\d+")
"""What differs between messages of one fault: names, paths, numbers."""

_KEPT = "\0"
"""A space that no line is broken at."""


def write_group(output: Output, group: Sequence[Result]) -> None:
    """Write a line for a theme whose tests have ended."""
    mark = output.style("✗", "red") if any(result.bad for result in group) else output.style("✓", "green")
    seconds = sum(result.seconds for result in group)
    output.line(f"{mark} {group[0].group:<28} {_counted(summarize(group)):<40} {seconds:6.1f} s")
    output.flush()


def write_report(output: Output, document: Mapping[str, Any]) -> None:
    """Write what a report has to say to people.

    :param document: the report.
    """
    drivers = document["drivers"]
    if len(drivers) > 1:
        _write_matrix(output, document)
    rules = {rule["id"]: rule for rule in document["rules"]}
    for driver in drivers:
        bad = [test for test in driver["tests"] if Outcome(test["outcome"]).bad]
        shown, alike = _sorted_out(bad)
        for test in shown:
            _write_failure(output, driver["name"], test, rules[test["rule"]], several=len(drivers) > 1)
        for first, others in alike:
            _write_alike(output, first, others)
    output.line()
    for driver in drivers:
        output.line(f"{driver['name']}: {_verdict(driver)}")


def _write_matrix(output: Output, document: Mapping[str, Any]) -> None:
    """Write rules by drivers, those left out that every driver passes."""
    names = [driver["name"] for driver in document["drivers"] if not driver["error"]]
    rows = [
        (rule["id"], *(_word(rule["outcomes"].get(name)) for name in names))
        for rule in document["rules"]
        if set(rule["outcomes"].values()) != {Outcome.PASSED} or len(rule["outcomes"]) < len(names)
    ]
    output.line()
    if rows:
        output.table(("rule", *names), rows)
    same = len(document["rules"]) - len(rows)
    output.line(f"{same} {'more ' if rows else ''}rules: passed by each")


def _word(outcome: str | None) -> str:
    return "" if outcome is None else _WORDS[Outcome(outcome)]


def _sorted_out(bad: Sequence[Test]) -> tuple[list[Test], list[tuple[Test, list[Test]]]]:
    """Return the failures to be shown in full, and those that failed as others did: after one of the former each.

    One fault of a driver fails tests by the hundred. Where trees differ, each shows something else.
    """
    shown: list[Test] = []
    alike: dict[tuple[str, str], list[Test]] = {}
    for test in bad:
        same = alike.setdefault((test["outcome"], _VARIES.sub("", test["message"])), [])
        if test["difference"] or len(same) < _IN_FULL:
            shown.append(test)
        if not test["difference"]:
            same.append(test)
    return shown, [(same[0], same[_IN_FULL:]) for same in alike.values() if len(same) > _IN_FULL]


def _write_alike(output: Output, first: Test, others: Sequence[Test]) -> None:
    output.line()
    count = f"{len(others)} more {'test fails' if len(others) == 1 else 'tests fail'}"
    output.line(f"{output.style('✗ ', 'red')}{count} as {first['id']} does; --only ID says more of one of them:")
    text = " ".join(test["id"].replace(" ", _KEPT) for test in others)
    for line in textwrap.wrap(text, 116, break_long_words=False, break_on_hyphens=False):
        output.line(f"  {output.name(line.replace(_KEPT, ' '))}")


def _write_failure(output: Output, driver: str, test: Test, rule: Mapping[str, Any], *, several: bool) -> None:
    output.line()
    name = f"{driver}: {test['id']}" if several else test["id"]
    output.line(output.style("✗ ", "red") + output.name(name))
    # What was left behind, or could not be set up, is not what the test itself is about.
    word = "in the test of" if test["outcome"] == Outcome.ERROR else "rule"
    output.line(f"  {word}: {output.name(rule['text'])}")
    for source in rule["sources"]:
        output.line(f"  from: {source['document']}, {source['section']}")
    if rule["capability"]:
        output.line(f"  capability: {rule['capability']}, {'not declared' if rule['refusal'] else 'declared'}")
    if test["message"] not in [line.removesuffix(":") for line in test["difference"][:1]]:
        output.line(f"  {output.name(test['message'])}")
    for line in test["at"]:
        output.line(f"  at: {output.name(line)}")
    for line in test["difference"]:
        output.line(f"    {_styled(output, output.name(line))}")
    output.line(f"  again: {output.name(test['replay'])}")


def _styled(output: Output, line: str) -> str:
    style = {"-": "red", "+": "green", "!": "yellow"}.get(line[:1])
    return output.style(line, style) if style else line


def _verdict(driver: Mapping[str, Any]) -> str:
    if driver["error"]:
        return f"could not be tested: {driver['error']}"
    counts = driver["counts"]
    bad = counts[Outcome.FAILED] + counts[Outcome.ERROR]
    ran = sum(counts[outcome] for outcome in Outcome if outcome.ran)
    level = "" if driver["level"] == "full" else f" at level {driver['level']}"
    verdict = (
        f"{bad} {'test' if bad == 1 else 'tests'} failed{level}"
        if bad
        else f"conforms{level}"
        if ran
        else "no test ran"
    )
    return f"{verdict} ({_counted(counts)})"


def _counted(counts: Mapping[str, int]) -> str:
    """Return the counts of what ran; what a capability left out is in the matrix."""
    order: Iterable[Outcome] = sorted(Outcome, key=lambda outcome: outcome is not Outcome.PASSED)
    return ", ".join(f"{counts[one]} {one}" for one in order if counts[one] and one.ran) or "none of it applies"
