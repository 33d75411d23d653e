"""The plugins of a few lines under examples/ observe and refuse, installed as anyone's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from testkit.wheels import install_wheels, make_wheel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    wheels = []
    for name in ("overlaykit-commit-log", "overlaykit-keep"):
        project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
        module = (EXAMPLES / name / f"{name.replace('-', '_')}.py").read_text()
        assert len(module.splitlines()) <= 25
        ((entry, target),) = project["entry-points"]["overlaykit"].items()
        entry = f"{entry} = {target}"
        wheels.append(make_wheel(tmp_path, project["name"], module, version=project["version"], entry=entry))
    install_wheels(wheels, tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.native
def test_commits_are_logged_and_what_is_to_be_kept_is(site: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OVERLAYKIT_")}
    environment = kept | {
        "PYTHONPATH": str(site),
        "OVERLAYKIT_COMMIT_LOG": str(log),
        "OVERLAYKIT_STORE": str(tmp_path / "store"),
    }

    def run(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-P", "-m", "overlaykit", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr

    run("prepare", "work", "--driver", "directory")
    run("commit", "work", "base")
    run("prepare", "again", "base")
    run("commit", "again", "top", "--label", "keep=the customer has it")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["key"], entry["parent"], entry["driver"]) for entry in entries] == [
        ("base", None, "directory"),
        ("top", "base", "directory"),
    ]
    assert {entry["store"] for entry in entries} == {str(tmp_path / "store")}
    said = run("remove", "top", code=10)
    assert "the customer has it (plugin 'keep' of overlaykit-keep 1.0)" in said
    assert said.count("\n") == 1
    run("label", "top", "keep-")
    run("remove", "top")
    assert (
        "commit-log"
        in subprocess.run(
            [sys.executable, "-P", "-m", "overlaykit", "plugins"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
