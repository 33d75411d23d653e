"""The driver as the test's own user, who is root in most runs, and as a user without any privilege."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.rich import run_as_nobody
from testkit.unprivileged import NOBODY

Run = Callable[[Callable[[Path], None]], None]


@pytest.fixture(params=["own", "nobody"])
def run(request: pytest.FixtureRequest, place: Path) -> Run:
    """Call a function with an empty directory of its user on each kind of file system, as each user."""

    def call(action: Callable[[Path], None]) -> None:
        root = place / "driver"
        root.mkdir()
        if request.param == "own":
            action(root)
            return
        if os.geteuid() == 0:
            os.chown(root, NOBODY, NOBODY)
        run_as_nobody(lambda: action(root))

    return call
