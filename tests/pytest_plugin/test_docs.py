"""The tests that docs/pytest.md shows pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from testkit.pytests import Run, Way

pytestmark = pytest.mark.native

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pytest.md"


def test_the_examples_pass(pytester: pytest.Pytester, run: Run, way: Way) -> None:
    data = pytester.path / "tests" / "data"
    (data / "site" / "pages").mkdir(parents=True)
    (data / "site" / "pages" / "old.html").write_text("old")
    (data / "empty").mkdir()
    examples = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in examples:
        (pytester.path / name).write_text(text)
    assert len(examples) == 2
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=5)
