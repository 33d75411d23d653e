"""``overlaykit conformance``: pytest runs the suite in a process of its own and reports to this one as it goes."""

from __future__ import annotations

from ._run import SuiteRun, run_suite
from ._text import write_group, write_report

__all__ = ["SuiteRun", "run_suite", "write_group", "write_report"]
