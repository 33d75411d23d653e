"""A pytest plugin, loaded in the process that runs the suite: one line of JSON for each test as it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._result import REPORT_FD, Outcome, Result

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Begin to report where the environment says whereto."""
    number = os.environ.get(REPORT_FD)
    if number is not None:
        config.pluginmanager.register(_Reporter(int(number)))


class _Reporter:
    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._phases: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        phases = self._phases.setdefault(report.nodeid, [])
        phases.append(report)
        if report.when == "teardown":
            del self._phases[report.nodeid]
            outcome, message = _judge(phases)
            seconds = sum(phase.duration for phase in phases)
            # What the suite's own plugin attaches to each of its tests.
            facts: Any = dict(report.user_properties).get("overlaykit", {})
            test, rule = facts.get("id", report.nodeid), facts.get("rule", "")
            result = Result(test, outcome, seconds, rule, message)
            self._file.write(result.to_line() + "\n")

    def pytest_unconfigure(self) -> None:
        self._file.close()


def _judge(phases: list[pytest.TestReport]) -> tuple[Outcome, str]:
    for phase in phases:
        known = getattr(phase, "wasxfail", None)
        if phase.outcome == "failed":
            return (Outcome.FAILED if phase.when == "call" else Outcome.ERROR), _reason(phase)
        if phase.outcome == "skipped":
            return (Outcome.KNOWN, str(known)) if known is not None else (Outcome.SKIPPED, _reason(phase))
    return Outcome.PASSED, ""


def _reason(phase: pytest.TestReport) -> str:
    crash = getattr(phase.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message).partition("\n")[0]
    if isinstance(phase.longrepr, tuple):
        return str(phase.longrepr[2])
    return str(phase.longrepr).strip().rpartition("\n")[2]
