"""The suite's results as text: a line a theme while it runs, then rules by drivers, then each failure in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...conformance import Outcome, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        for test in driver["tests"]:
            if Outcome(test["outcome"]).bad:
                _write_failure(output, driver["name"], test, rules[test["rule"]], several=len(drivers) > 1)
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


def _write_failure(
    output: Output, driver: str, test: Mapping[str, Any], rule: Mapping[str, Any], *, several: bool
) -> None:
    output.line()
    name = f"{driver}: {test['id']}" if several else test["id"]
    output.line(output.style("✗ ", "red") + output.name(name))
    output.line(f"  rule: {output.name(rule['text'])}")
    for source in rule["sources"]:
        output.line(f"  from: {source['document']}, {source['section']}")
    if rule["capability"]:
        output.line(f"  capability: {rule['capability']}, {'not declared' if rule['refusal'] else 'declared'}")
    output.line(f"  {output.name(test['message'])}")
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
    verdict = f"{bad} tests failed{level}" if bad else f"conforms{level}" if ran else "no test ran"
    return f"{verdict} ({_counted(counts)})"


def _counted(counts: Mapping[str, int]) -> str:
    """Return the counts of what ran; what a capability left out is in the matrix."""
    order: Iterable[Outcome] = sorted(Outcome, key=lambda outcome: outcome is not Outcome.PASSED)
    return ", ".join(f"{counts[one]} {one}" for one in order if counts[one] and one.ran) or "none of it applies"
