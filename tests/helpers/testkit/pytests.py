"""Real runs of pytest with the plugin, in every way that trees are made."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from testkit.unprivileged import command

AS_ROOT = os.geteuid() == 0


@dataclass(frozen=True)
class Way:
    """Who runs pytest, and how trees are made then."""

    driver: str
    user: bool = False
    namespace: bool = False

    def words(self, place: Path, *arguments: str) -> list[str]:
        words = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "-p", "overlaykit.pytest_plugin"]
        # To import what is not needed is half of what such a run takes.
        unneeded = ["hypothesispytest", *(() if "xdist" in arguments else ("xdist", "xdist.looponfail"))]
        words += [word for name in unneeded for word in ("-p", f"no:{name}")]
        words += ["-c", os.devnull, "--rootdir", str(place), "--basetemp", str(place / "temp"), *arguments]
        if self.namespace:
            words[:0] = ["unshare", "--map-root-user"]
        return command(*words, need=(place,)) if self.user and AS_ROOT else words


ROOT_OVERLAYFS, ROOT_DIRECTORY = Way("overlayfs"), Way("directory")
USER_OVERLAYFS, USER_DIRECTORY = Way("overlayfs", user=True, namespace=True), Way("directory", user=True)
WAYS = {"user-overlayfs": USER_OVERLAYFS, "user-directory": USER_DIRECTORY}
if AS_ROOT:
    WAYS |= {"root-overlayfs": ROOT_OVERLAYFS, "root-directory": ROOT_DIRECTORY}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def place(pytester: pytest.Pytester) -> Path:
    """A project with a directory of data, which whoever runs pytest owns."""
    path = pytester.path
    site = path / "site"
    (site / "pages" / "old").mkdir(parents=True)
    (site / "index.html").write_text("<h1>index</h1>\n")
    (site / "pages" / "one.html").write_text("one\n")
    (site / "pages" / "old" / "two.html").write_text("two\n")
    (site / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (site / "run.sh").chmod(0o750)
    (site / "link").symlink_to("pages/one.html")
    (site / "dangling").symlink_to("/nowhere/at/all")
    (site / "pages").chmod(0o2755)
    os.utime(site / "index.html", ns=(1_000_000_000, 1_000_000_007))
    return path


@pytest.fixture
def run(pytester: pytest.Pytester, place: Path) -> Run:
    """Run pytest in a way; the project belongs to whoever that is, but for a file of ``others``."""

    def run(way: Way, *arguments: str, others: str = "") -> pytest.RunResult:
        if AS_ROOT:
            owner = 65534 if way.user else 0
            for path in (place, *place.rglob("*")):
                os.chown(path, owner, owner, follow_symlinks=False)
            (place / "site" / "pages").chmod(0o2755)
            if others:
                os.chown(place / others, 1234, 4321)
        result = pytester.run(*way.words(place, *arguments), timeout=240)
        if (place / "temp").exists():
            shutil.rmtree(place / "temp")
        return result

    return run
