"""The example of docs/drivers.md is a driver: installed as somebody else's distribution, it passes the suite's core."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plain"

pytestmark = pytest.mark.native


def test_the_example_passes_the_conformance_suite(tmp_path: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    information = tmp_path / "overlaykit_plain-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    points = project["entry-points"]["overlaykit"]
    (information / "entry_points.txt").write_text(
        "[overlaykit]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
    )
    path = os.pathsep.join([str(tmp_path), str(EXAMPLE), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest"]
    words += ["--pyargs", "overlaykit.conformance", "--overlaykit-driver", "plain"]
    # The rest is copying many layers, which a driver that copies in Python takes its time for.
    words += ["-k", "lifecycle or whiteouts or changes or copy_on_write or renames or links"]
    done = subprocess.run(
        words,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
