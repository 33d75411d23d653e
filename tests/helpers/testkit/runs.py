"""Test runs inside tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["run"]


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run pytest in a process of its own, with ``testkit`` and without overlaykit's own plugin."""
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), known]))
    try:
        # Hypothesis and xdist take as long to import as all the rest.
        unneeded = ("cacheprovider", "overlaykit", "hypothesispytest", "xdist", "xdist.looponfail")
        words = [word for name in unneeded for word in ("-p", f"no:{name}")]
        return pytester.runpytest_subprocess(*words, *options)
    finally:
        os.environ["PYTHONPATH"] = known
