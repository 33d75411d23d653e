"""``overlaykit conformance``: pytest runs the suite in a process of its own and reports to this one as it goes."""

from __future__ import annotations

from ._result import Outcome, Result, summarize
from ._run import run_suite

__all__ = ["Outcome", "Result", "run_suite", "summarize"]
