"""The driver as the test's own user, who is root in most runs, and as a user without any privilege."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.rich import run_as

Run = Callable[[Callable[[Path], None]], None]


@pytest.fixture(params=["own", "nobody"])
def run(request: pytest.FixtureRequest, place: Path) -> Run:
    """Call a function with an empty directory of its user on each kind of file system, as each user."""

    def call(action: Callable[[Path], None]) -> None:
        run_as(request.param, place / "driver", action)

    return call
