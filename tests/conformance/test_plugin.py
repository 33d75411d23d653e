"""The pytest plugin: doors, selection, known failures, usage errors, the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_KIT = Path(__file__).parent / "kit"
_MINE = """
import dataclasses
from overlaykit.conformance.test_{theme} import {base} as Base
from overlaykit_mutants import {mutant}, spec_of

class TestMine(Base):
    driver = dataclasses.replace(spec_of({mutant}), known_failures={known!r})
"""


def _run(place: Path, *arguments: str, code: int) -> tuple[str, list[dict[str, object]]]:
    report = place / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "--tb=line", "-p", "no:cacheprovider", "--noconftest"),
            *("-c", os.devnull, "--rootdir", str(place), "--overlaykit-report-json", str(report)),
            *arguments,
        ],
        cwd=place,
        env={"PYTHONPATH": str(_KIT), "PATH": "/usr/bin:/bin", "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output, _tests(json.loads(report.read_text())) if report.exists() else []


def _tests(document: dict[str, Any]) -> list[dict[str, object]]:
    """Return the tests of a report, each with what is said of its driver and its rule."""
    rules = {rule["id"]: {"text": rule["text"], "capability": rule["capability"]} for rule in document["rules"]}
    return [
        {**rules[test["rule"]], **test, "driver": driver["name"]}
        for driver in document["drivers"]
        for test in driver["tests"]
    ]


def _outcomes(tests: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(test["id"], test["outcome"]) for test in tests if test["outcome"] not in ("absent", "offered")]


def _write(place: Path, *, theme: str, base: str, mutant: str = "Mutant", known: dict[str, str] | None = None) -> None:
    (place / "test_mine.py").write_text(_MINE.format(theme=theme, base=base, mutant=mutant, known=known or {}))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def test_by_name(place: Path) -> None:
    """The door without code runs the suite on a registered driver, and says what it tests."""
    output, tests = _run(
        place,
        "--pyargs",
        "overlaykit.conformance.test_lifecycle",
        "--overlaykit-driver",
        "memory",
        "-k",
        "mounts or close_twice",
        code=0,
    )
    assert "driver memory" in output
    assert "overlaykit capabilities: acl, " in output
    found = {test["id"]: (test["outcome"], test["capability"]) for test in tests}
    assert found["lifecycle.close_twice"] == ("passed", None)
    assert found["lifecycle.mounts"] == ("absent", "host-mount")
    assert found["lifecycle.mounts_are_refused"] == ("passed", "host-mount")
    rules = {test["id"]: test["text"] for test in tests}
    assert rules["lifecycle.close_twice"] == "Trees and drivers can be closed twice."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "need a driver"),
        (["--overlaykit-driver", "no-such-driver"], "no-such-driver"),
        (["--overlaykit-driver", "memory", "--overlaykit-option", "x"], "is not NAME=VALUE"),
        (["--overlaykit-driver", "memory", "--overlaykit-root", "/nonexistent"], "is no directory"),
    ],
)
def test_usage_errors(place: Path, arguments: list[str], message: str) -> None:
    """What cannot be run says in one line what to do."""
    output, _ = _run(place, "--pyargs", "overlaykit.conformance.test_names", *arguments, code=4)
    assert message in output
    assert "Traceback" not in output


def test_by_class(place: Path) -> None:
    """A class that inherits runs on the driver that it names."""
    _write(place, theme="times", base="TestTimes")
    output, tests = _run(place, "test_mine.py", "-k", "every_type", code=0)
    assert "driver mutant-mutant" in output
    assert [(test["driver"], test["id"]) for test in tests] == [("mutant-mutant", "times.every_type")]


def test_known_failure(place: Path) -> None:
    """A known failure is an expected one, and its reason is reported."""
    _write(
        place, theme="files", base="TestFiles", mutant="ExclusiveIgnored", known={"files.exclusive_creation": "ours"}
    )
    _, tests = _run(place, "test_mine.py", "-k", "exclusive_creation", code=0)
    assert _outcomes(tests) == [("files.exclusive_creation", "known")]
    assert "ours" in [test["message"] for test in tests]


def test_known_failure_that_passes(place: Path) -> None:
    """A known failure that does not fail is a failure: the list is kept true."""
    _write(place, theme="files", base="TestFiles", known={"files.exclusive_creation": "ours"})
    _, tests = _run(place, "test_mine.py", "-k", "exclusive_creation", code=1)
    assert _outcomes(tests) == [("files.exclusive_creation", "failed")]


@pytest.mark.parametrize("words", [["-k", "name[long]"], ["test_mine.py::TestMine::test_name[long]"]])
def test_known_failure_of_a_case_that_is_not_run(place: Path, words: list[str]) -> None:
    """Who runs a part of the suite may leave out cases that are known to fail."""
    _write(place, theme="names", base="TestNames", known={"names.name[space]": "ours"})
    _, tests = _run(place, "test_mine.py", *words, code=0) if "-k" in words else _run(place, *words, code=0)
    assert _outcomes(tests) == [("names.name[long]", "passed")]


@pytest.mark.parametrize("id", ["files.no_such_rule", "nothing", "files.exclusive_creation[x]"])
def test_unknown_known_failure(place: Path, id: str) -> None:
    """A known failure that names no test is an error."""
    _write(place, theme="files", base="TestFiles", known={id: "ours"})
    output, _ = _run(place, "test_mine.py", code=4)
    assert "is no conformance test" in output


@pytest.mark.parametrize(
    "trick",
    [
        "    pytestmark = pytest.mark.skip(reason='too hard')",
        "    pytestmark = pytest.mark.xfail",
        "    def test_exclusive_creation(self): pass",
    ],
)
def test_core_cannot_be_skipped(place: Path, trick: str) -> None:
    """A class that inherits can neither skip nor replace a test of the core."""
    _write(place, theme="files", base="TestFiles")
    with (place / "test_mine.py").open("a") as file:
        file.write(f"    import pytest\n{trick}\n")
    output, _ = _run(place, "test_mine.py", code=4)
    assert "cannot be skipped or replaced" in output


def test_driver_that_fails_at_once(place: Path) -> None:
    """A driver whose constructor fails is named, with its error."""
    (place / "broken.py").write_text(
        "from overlaykit.driver import Probe\n"
        "def probe(root): return Probe(True, 'works')\n"
        "def make(config): raise RuntimeError('out of order')\n"
    )
    (place / "test_mine.py").write_text(
        "import sys; sys.path.insert(0, '.')\n"
        "from overlaykit.conformance import FullSuite\n"
        "from overlaykit.driver import DriverSpec\n"
        "class TestMine(FullSuite):\n"
        "    driver = DriverSpec('broken', 'broken:make', 'broken:probe')\n"
    )
    output, _ = _run(place, "test_mine.py", code=4)
    assert "'broken' fails before the first test: its factory" in output
    assert ": RuntimeError: out of order" in output


def test_core_alone(place: Path) -> None:
    """The core suite has no test of a capability."""
    (place / "test_mine.py").write_text(
        "from overlaykit.conformance import CoreSuite\nclass TestMine(CoreSuite):\n    driver = 'memory'\n"
    )
    _, tests = _run(place, "test_mine.py", "-k", "mounts or chown or close_twice", code=0)
    outcomes = {(test["capability"] is None, test["outcome"]) for test in tests}
    assert outcomes == {(True, "passed")}


def test_plugin_is_light() -> None:
    """The plugin, which every pytest run of an environment imports, brings nothing but pytest."""
    code = (
        "import sys, pytest; before = set(sys.modules); import overlaykit.conformance.plugin;"
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"overlaykit", "overlaykit.conformance", "overlaykit.conformance.plugin"}
