"""The pages list every capability, what each driver declares on this machine, and which rules hold it to that."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest

from overlaykit.conformance import FullSuite
from overlaykit.driver import Capability
from overlaykit.plugin import load_plugins

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "drivers.md").read_text()
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


def rules(capability: Capability, mark: str) -> dict[str, str]:
    """Return the rules that are about a capability, id to sentence.

    :param mark: ``"capability"`` for those that run where it is declared, ``"without"`` for those where it is not.
    """
    found = {}
    for name, test in inspect.getmembers(FullSuite, inspect.isfunction):
        owner = next(base for base in FullSuite.__mro__ if name in vars(base))
        marks = [*getattr(test, "pytestmark", ()), *vars(owner).get("pytestmark", ())]
        if name.startswith("test_") and any(one.name == mark and capability in one.args for one in marks):
            theme = test.__module__.rpartition(".")[2].removeprefix("test_")
            sentence = (inspect.getdoc(test) or "").split("\n\n")[0]
            found[f"{theme}.{name.removeprefix('test_')}"] = " ".join(sentence.split())
    return dict(sorted(found.items()))


def sections() -> dict[str, str]:
    parts = re.split(r"^## (\S+)\n", (DOCS / "capabilities.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_capability_has_a_section() -> None:
    assert list(sections()) == [str(one) for one in Capability]


@pytest.mark.parametrize("capability", Capability)
def test_the_rules_of_each_capability_are_listed(capability: Capability) -> None:
    promise, declared, refused = re.split(r"^\| (?:not )?declared \| \|$", sections()[capability], flags=re.MULTILINE)
    assert re.search(r"^\S.*\n\n\*\*Without it\*\*: \S", promise.strip())
    for table, mark in ((declared, "capability"), (refused, "without")):
        listed = dict(re.findall(r"^\| `([\w.]+)` \| (.+) \|$", table, re.MULTILINE))
        assert listed == rules(capability, mark)
        assert listed, f"no rule of the suite is about {capability} {mark}"
