"""Plugins of other versions of the driver contract, installed: built for an older one, and for one of the future.

There is one version so far, so the host is made a later one: version 3, which understands 2 by a step, and no longer 1.
In version 2, let us say, ``usage`` was called ``size`` and gave bytes alone, and specs had no options.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from testkit.wheels import install_wheels, make_wheel

import overlaykit

PLUGIN = """
from overlaykit.driver import DriverSpec, Driver, Probe
from overlaykit.plugin import hookimpl
from overlaykit_memory import MemoryDriver


def works(place):
    return Probe(True, "works")


class Made(MemoryDriver):
    def __init__(self, config):
        super().__init__(config)
        self.capabilities = frozenset()

    def size(self, id):
        return super().usage(id).bytes


class Before(Made):
    def usage(self, id):
        raise AssertionError("a driver of version 2 has none")


@hookimpl
def overlaykit_register_drivers():
    return [DriverSpec("{name}", "{module}:{cls}", "{module}:works", needs_path=False, priority=-1{fields})]


@hookimpl(optionalhook=True)
def overlaykit_of_the_future(store):
    raise AssertionError("nobody calls it yet")
"""

HOST = """
import sys
from overlaykit import driver
from overlaykit.driver import Driver, Usage
from overlaykit.plugin import _api
from overlaykit.values import replace


class Raised(Driver):
    # A driver of version 2 as one of version 3: what is as it was is handed on.
    def __init__(self, inner):
        super().__init__(inner.config)
        self.inner, self.capabilities = inner, inner.capabilities

    def prepare(self, id, parent): self.inner.prepare(id, parent)
    def commit(self, id, new): self.inner.commit(id, new)
    def remove(self, id): self.inner.remove(id)
    def tree(self, id, *, readonly): return self.inner.tree(id, readonly=readonly)
    def usage(self, id): return Usage(self.inner.size(id), 0)
    def ids(self): return self.inner.ids()
    def close(self): self.inner.close()


_api.API_VERSION = 3
_api.STEPS = {2: _api.Step(spec=lambda old: replace(old, summary="raised"), driver=Raised)}
"""

STORY = """
import overlaykit
for name in ("two", "three"):
    with overlaykit.open_store(driver=name) as store:
        with store.snapshot() as working:
            (working.tree / "kept").write_text("in " + name)
            working.commit("base")
        with store.snapshot("base") as working:
            (working.tree / "more").write_text("x")
            print(name, [change.path for change in working.changes()], store.usage("base").bytes > 0)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels, place = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    made = []
    for name, fields, requires, cls in (
        ("one", "", "overlaykit>=1", "Made"),
        ("two", ", api=2", "overlaykit>=2,<3", "Before"),
        ("three", ", api=3", "overlaykit>=3", "Made"),
        ("four", ", api=4", "overlaykit>=4.1", "Made"),
        ("five", ", api=5", "", "Made"),
        ("six", ", api=6, colour='red'", "overlaykit>=6", "Made"),
    ):
        source = PLUGIN.replace("{name}", name).replace("{module}", f"ok_{name}")
        source = source.replace("{cls}", cls).replace("{fields}", fields)
        made.append(make_wheel(wheels, f"ok-{name}", source, version=f"{len(name)}.0", requires=requires))
    install_wheels(made, place)
    return place


def start(site: Path, program: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OVERLAYKIT_"))}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=kept | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_an_older_plugin_is_raised_and_a_newer_one_is_told_what_it_needs(site: Path) -> None:
    listed = json.loads(start(site, f"{HOST}\nfrom overlaykit.cli import main\nmain(['drivers', '--json'])"))
    drivers = {driver["name"]: driver for driver in listed["drivers"]}
    # overlaykit's own, which say nothing, are of version 1 as well.
    assert set(drivers) == {"two", "three"}
    assert (drivers["two"]["usable"], drivers["two"]["summary"], drivers["three"]["summary"]) == (True, "raised", "")
    problems = {line.split("'")[1]: line for line in listed["problems"]}
    host = f"of the driver contract and overlaykit {overlaykit.__version__} speaks"
    assert {name: line for name, line in problems.items() if name.startswith("ok-")} == {
        "ok-one": (
            f"plugin 'ok-one' of ok-one 3.0: the driver one was written for version 1 {host} 2 to 3; install a newer "
            "version of the plugin"
        ),
        "ok-four": (
            f"plugin 'ok-four' of ok-four 4.0: the driver four was written for version 4 {host} 3; install "
            "'overlaykit>=4.1'"
        ),
        "ok-five": (
            f"plugin 'ok-five' of ok-five 4.0: the driver five was written for version 5 {host} 3; install an "
            "overlaykit with API_VERSION 5 or later"
        ),
        "ok-six": problems["ok-six"],
    }
    assert "colour" in problems["ok-six"]
    assert problems["ok-six"].endswith(f"(it asks for 'overlaykit>=6', this is overlaykit {overlaykit.__version__})")


def test_a_store_over_a_driver_of_an_older_version(site: Path) -> None:
    assert start(site, HOST + STORY) == "two ['.', 'more'] True\nthree ['.', 'more'] True\n"


def test_this_version_takes_a_plugin_that_says_nothing(site: Path) -> None:
    listed = json.loads(start(site, "from overlaykit.cli import main\nmain(['drivers', '--json'])"))
    assert [driver["name"] for driver in listed["drivers"] if driver["distribution"] != "overlaykit"] == ["one"]
    assert len([line for line in listed["problems"] if "of the driver contract" in line]) == 4
