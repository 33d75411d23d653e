"""The driver as the test's own user, who is root in most runs, and as a user without any privilege."""

from __future__ import annotations

import ctypes
import functools
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


@pytest.fixture(params=["own", "nobody"])
def run_here(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Call a function with an empty directory of its user, on the disk."""

    def call(action: Callable[[Path], None]) -> None:
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
        own = request.param == "own"
        run_as(request.param, tmp_path / "driver", action if own else functools.partial(dumpable, action))

    return call


def dumpable(action: Callable[[Path], None], root: Path) -> None:
    """Call a function in a process that owns what it has in /proc, as one has that was started without privileges."""
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
    action(root)
