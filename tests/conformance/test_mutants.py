"""The suite finds what it is there to find: drivers with one mistake each are killed by a named test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIT = Path(__file__).parent / "kit"
sys.path.insert(0, str(_KIT))
try:
    import overlaykit_mutants
finally:
    sys.path.remove(str(_KIT))

_MODULE = """
import importlib

from overlaykit_mutants import subjects

for subject in subjects():
    theme = importlib.import_module(f"overlaykit.conformance.test_{subject.theme}")
    base = getattr(theme, "Test" + subject.theme.title().replace("_", ""))
    globals()[f"Test{subject.name}"] = type(f"Test{subject.name}", (base,), {"driver": subject.spec})
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], dict[str, str]]:
    """The outcome of each killer on its mutant and on the driver without a mistake, by driver and test."""
    place = tmp_path_factory.mktemp("mutants")
    (place / "test_mutants.py").write_text(_MODULE)
    nodes = []
    for mutant in overlaykit_mutants.MUTANTS:
        theme, _, name = mutant.killer.partition(".")
        nodes += [f"test_mutants.py::Test{one}::test_{name}" for one in (mutant.__name__, f"Unmutated_{theme}")]
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            str(place),
            "--overlaykit-report-json",
            "report.json",
            *dict.fromkeys(nodes),
        ],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_KIT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((place / "report.json").read_text())
    return {(driver["name"], test["id"]): test for driver in report["drivers"] for test in driver["tests"]}


@pytest.mark.parametrize("mutant", overlaykit_mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_killed(
    outcomes: Mapping[tuple[str, str], dict[str, str]], mutant: type[overlaykit_mutants.Mutant]
) -> None:
    """The named test fails on the mutant and passes on the driver that it was made of."""
    killed = outcomes[overlaykit_mutants.spec_of(mutant).name, mutant.killer]
    assert killed["outcome"] in {"failed", "error"}, f"{mutant.__name__} survives {mutant.killer}"
    alive = outcomes.get(("mutant-mutant", mutant.killer), {"outcome": "absent"})
    assert alive["outcome"] == ("absent" if mutant.claims else "passed")


def test_there_are_enough_mutants() -> None:
    """The suite is held to at least 20 mutants, no two of which are killed by the same test."""
    killers = [mutant.killer for mutant in overlaykit_mutants.MUTANTS]
    assert len(killers) >= 20
    assert len(set(killers)) == len(killers)
