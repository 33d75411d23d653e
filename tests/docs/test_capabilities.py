"""docs/drivers.md lists every capability, and what each driver declares on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from overlaykit.driver import Capability
from overlaykit.plugin import load_plugins

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "drivers.md").read_text()
DECLARED = re.compile(r"^\| `([\w-]+)` \| (yes|) ?\| (yes|) ?\| (yes|) ?\| (yes|) ?\| (yes|) ?\|$", re.MULTILINE)


def test_every_capability_is_listed() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE) == [str(one) for one in Capability]


@pytest.mark.native
@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_what_each_driver_declares_is_listed(driver: str, tmp_path: Path) -> None:
    without_root = {"overlayfs": 2, "directory": 4, "memory": 5}[driver]
    column = without_root - (1 if os.geteuid() == 0 and driver != "memory" else 0)
    listed = {row[0] for row in DECLARED.findall(PAGE) if row[column] == "yes"}
    probe = load_plugins().probe(driver, None if driver == "memory" else tmp_path)
    assert probe.usable, probe.reason
    assert {str(one) for one in probe.capabilities} == listed
