"""The own runner for a user without any privilege: all its tests once more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from testkit.loops import need_root
from testkit.unprivileged import command

pytestmark = pytest.mark.native

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["test_own.py", "test_own_hostile.py", "test_own_life.py", "test_own_store.py"])
def test_all_of_it(name: str) -> None:
    need_root()
    # A test that wants root skips there, and it has been run as root here.
    variables = {key: value for key, value in os.environ.items() if key != "OVERLAYKIT_REQUIRE_TOOLS"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / name)]
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
