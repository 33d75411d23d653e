"""The results as JSON, for ``overlaykit conformance`` and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._select import rule, subject_of, test_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

__all__ = ["Reporter", "annotate"]

_KEY = "overlaykit"


def annotate(item: pytest.Item, report: pytest.TestReport) -> None:
    """Attach a conformance test's id, rule and capability to its report."""
    facts = _facts(item)
    if facts is not None and _KEY not in dict(report.user_properties):
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
        "id": id,
        "rule": rule(item),
        "capability": ", ".join(capability) or None,
        "refusal": item.get_closest_marker("without") is not None,
    }


class Reporter:
    """Collects reports and writes them at the end.

    The file holds ``{"overlaykit": [header lines], "tests": [...]}``. Each test has ``driver``, ``id``, ``rule``,
    ``capability`` (``None`` for the core), ``refusal``, ``outcome`` (passed, failed, error, skipped, xfailed, xpassed,
    or left-out for a test that the driver's capabilities leave out), ``message`` and ``seconds``.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._path = Path(config.getoption("--overlaykit-report-json"))
        self._header: list[str] = []
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_report_header(self, config: pytest.Config) -> None:
        """Keep the header."""
        from .plugin import pytest_report_header

        self._header = pytest_report_header(config)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what the driver's capabilities leave out."""
        for item in items:
            facts = _facts(item)
            if facts is not None and facts["capability"] is not None:
                self._tests[item.nodeid] = facts | {"outcome": "left-out", "message": "", "seconds": 0.0}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test; the worst phase is its outcome."""
        facts = dict(report.user_properties).get(_KEY)
        if not isinstance(facts, dict):
            return
        entry = self._tests.setdefault(report.nodeid, facts | {"outcome": "passed", "message": "", "seconds": 0.0})
        entry["seconds"] = round(entry["seconds"] + report.duration, 6)
        outcome = _outcome(report)
        if outcome != "passed" and entry["outcome"] in {"passed", "xfailed"}:
            entry["outcome"] = outcome
            entry["message"] = _message(report)

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        result = {"overlaykit": self._header, "tests": sorted(self._tests.values(), key=lambda entry: str(entry["id"]))}
        self._path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xpassed" if report.outcome == "passed" else "xfailed"
    if report.outcome == "failed":
        return "failed" if report.when == "call" else "error"
    return report.outcome


def _message(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail)
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(report.longrepr or "")
