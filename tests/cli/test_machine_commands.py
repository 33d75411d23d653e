"""drivers, plugins, doctor and conformance: what the machine and its drivers can do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

DRIVER = """
from overlaykit.driver import DriverSpec, Probe
from overlaykit.plugin import hookimpl

@hookimpl
def overlaykit_register_drivers():
    yield DriverSpec("never", "ok_never:nothing", "ok_never:probe", priority=1000, summary="never works")
    yield DriverSpec(
        "forgetful", "ok_never:forgetful", "ok_never:yes", priority=-1, needs_path=False, options={"how": "how"}
    )

def probe(root):
    return Probe(False, "the moon is full", "wait for two weeks", details={"moon": "full"})

def yes(root):
    return Probe(True, "always")

def forgetful(config):
    from overlaykit_memory import MemoryDriver

    class Forgetful(MemoryDriver):
        def __init__(self, config):
            super().__init__(config)
            self.capabilities = frozenset()

        def changes(self, id, parent):
            for change in super().changes(id, parent):
                if change.kind != "deleted":
                    yield change

    return Forgetful(config)
"""


@pytest.fixture
def never(cli: Cli, tmp_path: Path) -> Cli:
    """The command line with a driver that never works, and one that forgets a change."""
    site = tmp_path / "site"
    info = site / "ok_never-3.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ok-never\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text("[overlaykit]\nnever = ok_never\nlost = ok_lost\n")
    (site / "ok_never.py").write_text(DRIVER)
    cli.environment["PYTHONPATH"] = str(site)
    return cli


def test_drivers(never: Cli) -> None:
    document = never.json("drivers")
    assert set(document) == {"root", "auto", "why", "drivers", "problems"}
    drivers = {driver["name"]: driver for driver in document["drivers"]}
    assert {"memory", "never"} <= set(drivers)
    for driver in drivers.values():
        assert set(driver) == {
            "name", "summary", "plugin", "distribution", "version", "priority", "needs_path", "usable", "reason", "fix",
            "capabilities", "declares", "options", "details",
        }  # fmt: skip
        assert set(driver["capabilities"]) <= set(driver["declares"])
    assert drivers["memory"]["usable"] is True
    assert drivers["memory"]["distribution"] == "overlaykit"
    assert (drivers["never"]["usable"], drivers["never"]["version"]) == (False, "3.1")
    assert document["auto"] != "never"
    assert "not never: the moon is full (to fix it: wait for two weeks)" in document["why"]
    assert any("ok_lost" in problem for problem in document["problems"])


def test_drivers_for_people(never: Cli) -> None:
    text = never.run("drivers").stdout
    assert text.startswith("never  ok-never 3.1  not usable\n    never works\n    because: the moon is full\n")
    assert "    to fix it: wait for two weeks\n" in text
    assert "    moon: full\n" in text
    assert "problem: plugin 'lost' of ok-never 3.1: importing it raised ModuleNotFoundError" in text
    assert "\x1b" not in text


def test_a_driver_that_is_not_usable_says_why(never: Cli) -> None:
    message = never.error("prepare", "x", "--driver", "never", code=6)
    assert message == "the driver never cannot be used here: the moon is full (to fix it: wait for two weeks)"
    assert never.error_json("demo", "--driver", "never", code=6)["kind"] == "DriverUnavailableError"
    assert "did you mean never?" in never.error("demo", "--driver", "nevr", code=3)
    assert not never.store.exists()


def test_doctor(never: Cli) -> None:
    document = json.loads(never.run("doctor", "--json", expect=1).stdout)
    assert document["ok"] is False
    checks = {check["name"]: check for check in document["checks"]}
    for check in checks.values():
        assert set(check) == {"name", "status", "message", "fix"}
        assert check["status"] in ("ok", "warn", "bad")
        assert check["status"] == "ok" or check["fix"], check
    assert {
        "overlaykit", "native module", "kernel", "overlayfs", "user namespaces", "mount limit", "open files", "store",
        "permission", "file system", "free space", "open by", "mounts", "driver memory", "driver never", "plugin",
    } <= set(checks)  # fmt: skip
    assert checks["driver never"] == {
        "name": "driver never", "status": "warn", "message": "the moon is full", "fix": "wait for two weeks",
    }  # fmt: skip
    lines = never.run("doctor", expect=1).stdout.splitlines()
    assert "warn  driver never      the moon is full" in lines
    fix = lines[lines.index("warn  driver never      the moon is full") + 1]
    assert fix.split() == ["->", "wait", "for", "two", "weeks"]
    never.environment["OVERLAYKIT_DISABLE_PLUGINS"] = "all-external"
    assert never.json("doctor")["ok"] is True
    assert not never.store.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_doctor_finds_a_leftover_mount_and_little_space(never: Cli) -> None:
    never.environment["OVERLAYKIT_DISABLE_PLUGINS"] = "all-external"
    never.store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(never.store)], check=True)
    try:
        document = json.loads(never.run("doctor", "--json", expect=1).stdout)
    finally:
        subprocess.run(["umount", str(never.store)], check=True)
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["mounts"]["status"] == "warn"
    assert checks["mounts"]["fix"] == f"umount {never.store}"
    assert checks["free space"]["status"] == "bad"
    assert checks["file system"]["message"].startswith("tmpfs at ")


def test_conformance_streams_a_table_and_writes_a_report(never: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["conformance", "memory", "-k", "TestChanges or TestLinks or changes or links", "--report", str(report)]
    text = never.run(*words).stdout
    document = json.loads(report.read_text())
    assert (document["schema"], document["schema_version"], document["ok"]) == ("overlaykit-conformance", 1, True)
    (driver,) = document["drivers"]
    passed = driver["counts"]["passed"]
    assert sum(test["outcome"] == "passed" for test in driver["tests"]) == passed > 10
    assert all(rule["text"].endswith(".") for rule in document["rules"])
    groups = [line[2:30].strip() for line in text.splitlines() if line.startswith("✓")]
    assert len(groups) == len(set(groups))
    assert {"changes", "links"} <= set(groups)
    assert text.splitlines()[-1] == f"memory: conforms ({passed} passed)"
    assert max(map(len, text.splitlines())) <= 80


def test_conformance_tells_the_rule_that_is_broken(never: Cli) -> None:
    text = never.run("conformance", "forgetful", "-k", "changes", "--option", "how=well", expect=1).stdout
    assert re.search(r"^✗ changes +\d+ passed, \d+ failed", text, re.MULTILINE)
    assert re.search(
        r"^✗ changes\.\w+\n  rule: .*delete.*\.\n  from: docs/semantics.md, Changes\n  \S", text, re.MULTILINE
    )
    assert re.search(r"^forgetful: \d+ tests failed", text, re.MULTILINE)
    document = json.loads(never.run("demo", "--driver", "forgetful", "--json", expect=1).stdout)
    assert [check["claim"] for check in document["checks"] if not check["holds"]] == [
        "exactly what web-1 did, nothing else",
        "exactly what web-2 did, nothing else",
    ]
    text = never.run("demo", "--driver", "forgetful", expect=1).stdout
    assert "✗ NOT TRUE: exactly what web-2 did, nothing else" in text
    assert "checks hold" not in text


def test_conformance_that_cannot_run(never: Cli) -> None:
    assert "no driver 'memry'" in never.error("conformance", "memry", code=3)
    assert "no option 'size'" in never.error("conformance", "memory", "--option", "size=1", code=2)
    assert "could not be run" in never.error("conformance", "memory", "-k", "not (", code=1)
    ran = never.run("conformance", "memory", "-k", "no_test_has_this_name", expect=1)
    assert "no test ran" in ran.stdout
    program = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'hypothesis' else find(name)\n"
        "from overlaykit.cli import main; sys.exit(main(['conformance', 'memory']))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=never.environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 6
    assert ran.stderr == "overlaykit: the conformance suite needs hypothesis: pip install overlaykit[conformance]\n"


def test_json_takes_a_file_where_one_follows(cli: Cli, tmp_path: Path) -> None:
    words = ["-k", "close_twice"]
    cli.run("conformance", "memory", "--json", "./a", *words, cwd=tmp_path)
    cli.run("conformance", "--json", "b.json", "memory", *words, cwd=tmp_path)
    cli.run("conformance", "memory", *words, "--json=c", cwd=tmp_path)
    for name in ("a", "b.json", "c"):
        assert json.loads((tmp_path / name).read_text())["ok"] is True
    for order in (["--json", "conformance", "memory"], ["conformance", "--json", "memory"], ["conformance", "memory"]):
        document = json.loads(cli.run(*order, *words, *([] if "--json" in order else ["--json"])).stdout)
        assert [driver["name"] for driver in document["drivers"]] == ["memory"]


def test_a_driver_that_cannot_be_tested_does_not_stop_the_others(never: Cli) -> None:
    ran = never.run("conformance", "never", "memory", "-k", "close_twice", expect=1)
    assert "never: could not be tested: the conformance suite could not be run: the driver 'never'" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "memory: conforms (2 passed)"
