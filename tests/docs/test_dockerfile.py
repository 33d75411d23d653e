"""docs/dockerfile.md names tests that there are, and the rules of the lint as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from overlaykit.build.dockerfile import RULES

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "dockerfile.md").read_text(encoding="utf-8")


def test_each_feature_has_its_test() -> None:
    table = PAGE.split("| feature | test |")[1].split("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines() if row.startswith("| ")]
    assert len(rows) >= 28
    there = {
        name
        for file in (TOP / "tests" / "build").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert named, row
        assert not set(named) - there, row


def test_every_rule_is_listed() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+?)(?: \(experimental.*)? \|$", PAGE, re.MULTILINE))
    assert listed == {name: rule.summary for name, rule in RULES.items()}
