"""Makes results of pytest's reports, and hands them to whoever wants them."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ._difference import TREES_DIFFER, are_trees, draw_difference
from ._document import report_document, write_json
from ._place import places
from ._result import Outcome, Result
from ._select import is_asked_for, level_of, replay_options, rule, subject_of, test_id
from ._sources import source_of
from ._subject import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ._result import RunFacts
    from ._select import Selection

__all__ = ["FileSink", "Reporter", "annotate", "compare"]

_KEY = "overlaykit"
_DETAIL = 6000
"""Characters of what pytest says of a failure that are kept: its end, where the assertion and its notes are."""

_GROUPED = re.compile(r"^[ |]*((?:AssertionError|\w*Error|Failed): .+)$", re.MULTILINE)
"""The exceptions in a group, as a traceback lists them."""

_ASSERTION = "AssertionError: "
_BARE = re.compile("assert (not )?(True|False|None)")
_WHERE = re.compile(r"^ *(At index \d+ diff: |(Left|Right) contains ).*$", re.MULTILINE)
"""Where two sequences differ, as pytest explains it."""

_DIFFERENCE: pytest.StashKey[list[str]] = pytest.StashKey()


def compare(config: pytest.Config, left: object, right: object) -> list[str] | None:
    """Draw two trees that an assertion found to differ, the driver's being on its left; ``None`` for other values."""
    if not are_trees(left, right):
        return None
    assert isinstance(left, dict)
    assert isinstance(right, dict)
    lines = draw_difference(left, right)
    config.stash[_DIFFERENCE] = lines
    return lines


def annotate(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Attach what is known of a conformance test to its report, where it survives a transfer between processes."""
    facts = _facts(item)
    if facts is None or _KEY in dict(report.user_properties):
        return
    lines = item.config.stash.get(_DIFFERENCE, [])
    item.config.stash[_DIFFERENCE] = []
    # Of many comparisons that failed on the way of a random test only the one that it ended with counts.
    if report.failed and lines and call.excinfo is not None and lines[0] in str(call.excinfo.value):
        facts["difference"] = lines
    if report.failed and call.excinfo is not None and not isinstance(call.excinfo.value, BaseExceptionGroup):
        facts["at"] = places(subject_of(item).spec, call.excinfo.tb)
    report.user_properties.append((_KEY, facts))


def _facts(item: pytest.Item) -> dict[str, Any] | None:
    id = test_id(item)
    if id is None:
        return None
    capability = [
        str(one) for name in ("capability", "without") for mark in item.iter_markers(name) for one in mark.args
    ]
    return {
        "driver": subject_of(item).spec.name,
        "test": id,
        "rule": rule(item),
        "capability": ", ".join(capability),
        "refusal": item.get_closest_marker("without") is not None,
        "sources": [source.as_json() for source in source_of(id.partition("[")[0])],
        "node": item.nodeid,
    }


class Reporter:
    """Collects the phases of each test and hands its result over when it has ended.

    :param config: pytest's.
    :param begin: called with the facts of each driver, once what will run is known.
    :param tell: called with each result.
    :param end: called when all is over.
    :param start: called with the id of each test before it runs.
    """

    def __init__(
        self,
        config: pytest.Config,
        begin: Callable[[RunFacts], object],
        tell: Callable[[Result], object],
        end: Callable[[], object],
        start: Callable[[str], object] = str,
    ) -> None:
        self._config = config
        self._begin = begin
        self._tell = tell
        self._end = end
        self._start = start
        self._phases: dict[str, list[pytest.TestReport]] = {}

    def begin(self, selection: Selection) -> None:
        """Tell what is tested, and what is not because of what a driver declares."""
        for subject in selection.subjects:
            self._begin(facts(self._config, subject))
        for item in selection.left_out:
            found = _facts(item)
            if found is not None and _is_about_capability(item, refusal=found["refusal"]):
                self._tell(_result(found, Outcome.OFFERED if found["refusal"] else Outcome.ABSENT))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Tell which test runs now: it may be the one that never ends."""
        id = test_id(item)
        if id is not None:
            self._start(id)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test; the last one ends it."""
        found = dict(report.user_properties).get(_KEY)
        if not isinstance(found, dict):
            return
        phases = self._phases.setdefault(report.nodeid, [])
        phases.append(report)
        if report.when == "teardown":
            del self._phases[report.nodeid]
            self._tell(self._judge(phases, found))

    def pytest_unconfigure(self) -> None:
        """End."""
        self._end()

    def _judge(self, phases: Sequence[pytest.TestReport], found: dict[str, Any]) -> Result:
        seconds = round(sum(phase.duration for phase in phases), 6)
        for phase in phases:
            known = getattr(phase, "wasxfail", None)
            if phase.outcome == "failed":
                outcome = Outcome.FAILED if phase.when == "call" else Outcome.ERROR
                detail = phase.longreprtext[-_DETAIL:]
                return _result(
                    found,
                    outcome,
                    seconds,
                    message=_reason(phase),
                    detail=detail,
                    difference=_noted(phase, "difference"),
                    at=_noted(phase, "at"),
                    replay=self._replay(found, detail),
                )
            if phase.outcome == "skipped":
                outcome = Outcome.SKIPPED if known is None else Outcome.KNOWN
                return _result(found, outcome, seconds, message=_reason(phase) if known is None else str(known))
        return _result(found, Outcome.PASSED, seconds)

    def _replay(self, found: dict[str, Any], detail: str) -> str:
        option = self._config.getoption
        if not option("--overlaykit-driver"):
            return shlex.join(["pytest", found["node"], *replay_options(found["test"], self._config, detail, "pytest")])
        words = ["overlaykit", "conformance", found["driver"], "--only", found["test"]]
        if option("--overlaykit-root"):
            words += ["--root", option("--overlaykit-root")]
        for value in option("--overlaykit-option"):
            words += ["--option", value]
        return shlex.join([*words, *replay_options(found["test"], self._config, detail, "overlaykit")])


def _is_about_capability(item: pytest.Item, *, refusal: bool) -> bool:
    """Tell whether the driver's capabilities alone leave a test out, not its level or what was asked for."""
    capabilities = subject_of(item).capabilities
    declared = {one for mark in item.iter_markers("capability") for one in mark.args}
    refused = {one for mark in item.iter_markers("without") for one in mark.args}
    about = bool(declared - capabilities or refused & capabilities)
    return about and is_asked_for(item) and level_of(item).has(capability=True, refusal=refusal)


def _result(found: dict[str, Any], outcome: Outcome, seconds: float = 0.0, **more: Any) -> Result:
    fields = {name: found[name] for name in ("driver", "test", "rule", "capability", "refusal")}
    return Result(outcome=outcome, seconds=seconds, sources=tuple(found["sources"]), **fields, **more)


def _noted(phase: pytest.TestReport, name: str) -> tuple[str, ...]:
    # Each phase carries what the test is; trees and lines only the one that it failed in.
    found = dict(phase.user_properties).get(_KEY)
    return tuple(found.get(name, ())) if isinstance(found, dict) else ()


def _reason(phase: pytest.TestReport) -> str:
    """Return one line on why a test failed or was skipped."""
    crash = getattr(phase.longrepr, "reprcrash", None)
    if crash is not None:
        text = str(crash.message)
    elif isinstance(phase.longrepr, tuple):
        text = str(phase.longrepr[2])
    else:
        text = str(phase.longrepr).strip().rpartition("\n")[2]
    line, _, rest = text.strip().partition("\n")
    if line.partition(":")[0] in ("ExceptionGroup", "BaseExceptionGroup"):
        # Several things went wrong at the end of a test: the group's own line names none of them.
        found = _GROUPED.findall(phase.longreprtext)
        line = "; ".join(one.removeprefix(_ASSERTION) for one in dict.fromkeys(found)) or line
    line = line.removeprefix(_ASSERTION)
    if _BARE.fullmatch(line):
        # What was false stands in the next line: "+  where False = isinstance(...)".
        return f"{line} {rest.partition(chr(10))[0].strip(' +')}".strip()
    where = _WHERE.search(rest)
    if line.startswith("assert ") and where is not None:
        # What is long is abridged, often where it differs.
        return f"{line}: {where[0].strip()}"
    # What pytest writes before the explanation of an assertion says nothing to who reads the trees.
    return line.removeprefix("assert ").removesuffix(":") if TREES_DIFFER in line else line


class FileSink:
    """Writes the results of a run to a file, as ``overlaykit conformance --json`` does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: list[tuple[RunFacts, list[Result]]] = []

    def begin(self, run: RunFacts) -> None:
        """Note a driver."""
        self._runs.append((run, []))

    def tell(self, result: Result) -> None:
        """Note a result."""
        next(results for run, results in self._runs if run.driver == result.driver).append(result)

    def end(self) -> None:
        """Write the file."""
        try:
            write_json(self._path, report_document(self._runs))
        except OSError as error:
            sys.stderr.write(f"{self._path} cannot be written: {error.strerror}\n")
