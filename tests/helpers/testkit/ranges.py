"""A user with ids in /etc/subuid, or without, who uses the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from testkit.loops import need_root, need_tool
from testkit.rich import open_to_all
from testkit.unprivileged import NOBODY, command

__all__ = ["FIRST", "RangedUser", "ranged_user", "user_without_ranges"]

FIRST, COUNT = 200_000, 65_536


@dataclass(frozen=True)
class RangedUser:
    """Runs commands as an ordinary user in a directory of that user's own.

    :param home: the directory; its ``store`` is the user's store.
    :param ranges: as :func:`testkit.unprivileged.command` takes them.
    """

    home: Path
    ranges: str

    @property
    def store(self) -> Path:
        """The user's store."""
        return self.home / "store"

    def run(self, *words: str, expect: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run overlaykit with some words, and check its exit code."""
        return self.python("-m", "overlaykit", "--store", str(self.store), *words, expect=expect, **environment)

    def python(self, *words: str, expect: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program, and check its exit code."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("OVERLAYKIT_")}
        done = subprocess.run(
            command(sys.executable, *words, need=(self.home,), ranges=self.ranges),
            cwd=self.home,
            env=known | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == expect, (words, done.returncode, done.stdout, done.stderr)
        return done

    def owners(self) -> set[int]:
        """Return who owns what is in the store, as the machine has it."""
        return {path.lstat().st_uid for path in self.store.rglob("*")}


@pytest.fixture
def ranged_user(tmp_path: Path) -> RangedUser:
    """A user who has 65,536 ids from :data:`FIRST` on."""
    need_tool("newuidmap")
    return _user(tmp_path, f"{FIRST}:{COUNT}")


@pytest.fixture
def user_without_ranges(tmp_path: Path) -> RangedUser:
    """A user who has no line in /etc/subuid."""
    need_tool("newuidmap")
    return _user(tmp_path, "none")


def _user(place: Path, ranges: str) -> RangedUser:
    need_root()
    open_to_all(place)
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    return RangedUser(home, ranges)
