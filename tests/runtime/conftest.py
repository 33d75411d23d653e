"""What tests of running containers share."""

from __future__ import annotations

import pytest
from testkit.loops import need_tool


@pytest.fixture(params=["crun", "runc", "own"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime there is."""
    return "own" if request.param == "own" else need_tool(request.param)
