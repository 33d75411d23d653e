"""A pytest plugin, loaded in the process that runs the suite: one line of JSON for each test as it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from overlaykit.conformance import Reporter
from overlaykit.conformance.plugin import add_reporter

from ._run import REPORT_FD, test_started

if TYPE_CHECKING:
    import pytest

    from overlaykit.conformance import Result, RunFacts

__all__ = ["pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Begin to report where the environment says whereto."""
    number = os.environ.get(REPORT_FD)
    if number is None:
        return
    file = os.fdopen(int(number), "w", encoding="utf-8", buffering=1)

    def tell(what: Result | RunFacts) -> None:
        file.write(what.to_line() + "\n")

    def start(test: str) -> None:
        file.write(test_started(test) + "\n")

    add_reporter(config, Reporter(config, tell, tell, file.close, start))
