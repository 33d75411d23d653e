"""The plugin manager with installed distributions."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.plugin import PluginManager, load_plugins, reset_plugins

if TYPE_CHECKING:
    from .conftest import Site

GOOD = """
@hookimpl
def overlaykit_register_drivers():
    yield DriverSpec("{0}", factory="{1}:Driver", probe="{1}:works")
"""

#: Source of a broken plugin, and what its problem says.
BROKEN = {
    "fails-at-import": ("raise RuntimeError('no luck today')", "importing it raised RuntimeError: no luck today"),
    "exits-at-import": ("raise SystemExit(5)", "importing it raised SystemExit: 5"),
    "has-bad-syntax": ("def (", "importing it raised SyntaxError"),
    "is-not-there": (None, "importing it raised ModuleNotFoundError"),
    "needs-another": ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that"),
    "has-no-hook": ("x = 1", "implements no hook"),
    "misspells": (
        "@hookimpl\ndef overlaykit_register_driver(): return []",
        "no hook overlaykit_register_driver; did you mean overlaykit_register_drivers?",
    ),
    "raises": (
        "@hookimpl\ndef overlaykit_register_drivers(): 1 // 0",
        "overlaykit_register_drivers raised ZeroDivision",
    ),
    "returns-text": ("@hookimpl\ndef overlaykit_register_drivers(): return 'memory'", "object of type str"),
    "bad-name": (
        "@hookimpl\ndef overlaykit_register_drivers(): return [DriverSpec('My Driver', 'a:b', 'a:b')]",
        "driver name 'My Driver'",
    ),
    "bad-arguments": ("@hookimpl\ndef overlaykit_register_drivers(): return [DriverSpec('x', flavour=1)]", "flavour"),
}


def loaded() -> PluginManager:
    plugins = PluginManager()
    plugins.load_installed()
    return plugins


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_and_the_others_go_on(site: Site, name: str) -> None:
    source, message = BROKEN[name]
    site.install("aa-good", GOOD.format("aa", "aa_good"))
    site.install(name, source, version="2.3")
    site.install("zz-good", GOOD.format("zz", "zz_good"))
    plugins = loaded()
    assert {"aa", "zz"} <= set(plugins.drivers)
    (problem,) = [problem for problem in plugins.problems if problem.plugin == name]
    assert (problem.distribution, problem.version) == (name, "2.3")
    assert message in problem.message
    assert "\n" not in problem.message
    assert str(problem).startswith(f"plugin '{name}' of {name} 2.3: ")


def test_an_entry_point_to_an_attribute_that_is_missing(site: Site) -> None:
    site.install("half", "", entry="half = half:plugin")
    (problem,) = [problem for problem in loaded().problems if problem.plugin == "half"]
    assert "AttributeError" in problem.message


def test_a_driver_of_the_future_says_which_overlaykit_it_needs(site: Site) -> None:
    source = "@hookimpl\ndef overlaykit_register_drivers(): return [DriverSpec('later', 'a:b', 'a:b', api=2)]"
    site.install("ok-later", source, requires="overlaykit>=2.0,<3")
    site.install("ok-later-still", source.replace("api=2", "api=3").replace("later", "still"))
    problems = {problem.plugin: problem.message for problem in loaded().problems}
    assert "version 2 of the driver contract" in problems["ok-later"]
    assert "install 'overlaykit" in problems["ok-later"]
    assert ">=2.0" in problems["ok-later"]
    assert "install an overlaykit with API_VERSION 3 or later" in problems["ok-later-still"]


def test_missing_driver_is_explained_by_its_plugins_problem(site: Site) -> None:
    site.install("zfs", "import a_module_that_is_not_there")
    with pytest.raises(
        errors.UnknownDriverError, match=r"plugin 'zfs' of zfs 1\.0: importing it raised ModuleNotFound"
    ):
        loaded().get("zfs")


def test_two_distributions_with_one_driver_name(site: Site) -> None:
    site.install("one-zfs", GOOD.format("zfs", "one_zfs"), version="1.5")
    site.install("two-zfs", GOOD.format("zfs", "two_zfs"), version="0.2")
    site.install("aa-good", GOOD.format("aa", "aa_good"))
    plugins = loaded()
    assert "zfs" not in plugins.drivers
    assert "aa" in plugins.drivers
    with pytest.raises(
        errors.DriverConflictError, match=r"one-zfs 1\.5 and by two-zfs 0\.2.*OVERLAYKIT_DISABLE"
    ) as caught:
        plugins.get("zfs")
    assert caught.value.distributions == ("one-zfs", "two-zfs")
    with pytest.raises(errors.DriverConflictError):
        plugins.choose("zfs", None)
    assert {p.plugin for p in plugins.problems if "zfs" in p.message} == {"one-zfs", "two-zfs"}


def test_two_distributions_with_one_plugin_name(site: Site) -> None:
    site.install("one-zfs", GOOD.format("one", "one_zfs"), entry="zfs = one_zfs")
    site.install("two-zfs", GOOD.format("two", "two_zfs"), entry="zfs = two_zfs")
    plugins = loaded()
    assert "one" in plugins.drivers
    assert "two" not in plugins.drivers
    (problem,) = [problem for problem in plugins.problems if problem.plugin == "zfs"]
    assert problem.distribution == "two-zfs"
    assert "another plugin is called 'zfs'" in problem.message


def test_plugins_can_be_disabled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("one-zfs", GOOD.format("zfs", "one_zfs"))
    site.install("two-zfs", GOOD.format("zfs", "two_zfs"))
    site.install("fails", "raise RuntimeError")
    monkeypatch.setenv("OVERLAYKIT_DISABLE_PLUGINS", " two-zfs ,fails,unknown")
    plugins = loaded()
    assert plugins.get("zfs").distribution == "one-zfs"
    assert not [problem for problem in plugins.problems if problem.distribution != "overlaykit"]
    assert {origin.plugin for origin in plugins.disabled} == {"two-zfs", "fails"}
    monkeypatch.setenv("OVERLAYKIT_DISABLE_PLUGINS", "all-external")
    assert {driver.distribution for driver in loaded().drivers.values()} <= {"overlaykit"}
    assert "zfs" not in loaded().drivers


def test_a_distribution_without_a_name_does_not_stop_the_others(site: Site) -> None:
    site.install("aa-good", GOOD.format("aa", "aa_good"))
    site.install("half-gone", GOOD.format("half", "half_gone"))
    (site.path / "half_gone-1.0.dist-info" / "METADATA").unlink()
    assert {"aa"} <= set(loaded().drivers)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("entry_points.txt", b"[overlaykit]\nhalf", "its entry_points.txt cannot be read: "),
        ("entry_points.txt", b"\xff[overlaykit]\nhalf = half", "its entry_points.txt cannot be read: Unicode"),
        ("entry_points.txt", b"[overlaykit]\nhalf = :x", "its entry point 'half = :x' is not of the form"),
        ("entry_points.txt", b"[overlaykit]\nhalf =", "its entry point 'half = ' is not of the form"),
        ("entry_points.txt", b"[overlaykit]\n= half", "its entry point ' = half' is not of the form"),
        ("entry_points.txt", b"[console_scripts]\nhalf", None),
        ("entry_points.txt", b"\xff[console_scripts]\nhalf = half", None),
        ("METADATA", b"\xff", "importing it raised RuntimeError: no luck"),
        ("METADATA", b"", "importing it raised RuntimeError: no luck"),
    ],
)
def test_a_distribution_that_is_damaged_does_not_stop_the_others(
    site: Site, file: str, content: bytes, says: str | None
) -> None:
    site.install("aa-good", GOOD.format("aa", "aa_good"))
    site.install("half", "raise RuntimeError('no luck')")
    (site.path / "half-1.0.dist-info" / file).write_bytes(content)
    plugins = loaded()
    assert {"aa"} <= set(plugins.drivers)
    found = [str(problem) for problem in plugins.problems if problem.distribution == "half"]
    assert [line.partition(" of half 1.0: ")[2].startswith(says or "?") for line in found] == [True] * (
        says is not None
    )


def test_of_two_versions_the_first_on_the_path_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("ok-two", GOOD.format("old", "ok_two"), version="1.0")
    newer = type(site)(site.path / "newer")
    newer.path.mkdir()
    newer.install("ok-two", GOOD.format("new", "ok_two"), version="2.0")
    monkeypatch.syspath_prepend(str(newer.path))
    (driver,) = [driver for driver in loaded().drivers.values() if driver.distribution == "ok-two"]
    assert (driver.spec.name, driver.version) == ("new", "2.0")


def test_listing_drivers_imports_no_driver(site: Site) -> None:
    site.install("aa-good", GOOD.format("aa", "aa_good_driver"))
    (site.path / "aa_good_driver.py").write_text("raise AssertionError('imported to be listed')")
    assert loaded().get("aa").spec.factory == "aa_good_driver:Driver"
    assert "aa_good_driver" not in sys.modules


def test_our_own_drivers_are_listed_without_being_imported() -> None:
    program = (
        "import sys\nfrom overlaykit.plugin import load_plugins\nload_plugins()\n"
        "print(*(name for name in sys.modules if name.startswith('overlaykit_')))"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    names = {name for name in ran.stdout.split() if not name.startswith("_editable")}
    assert {"overlaykit_overlayfs.plugin", "overlaykit_directory.plugin", "overlaykit_memory.plugin"} <= names
    assert {name.partition(".")[2] for name in names} == {"", "plugin"}


def test_load_plugins_looks_once_until_reset(site: Site) -> None:
    reset_plugins()
    try:
        first = load_plugins()
        site.install("aa-good", GOOD.format("aa", "aa_good"))
        assert load_plugins() is first
        assert "aa" not in first.drivers
        reset_plugins()
        assert "aa" in load_plugins().drivers
    finally:
        reset_plugins()


def test_trace_tells_what_was_loaded_refused_and_called(site: Site) -> None:
    site.install("aa-good", "@hookimpl\ndef overlaykit_before_remove(snapshot): return 'because'")
    site.install("fails", "raise RuntimeError('no luck')")
    site.install("off", "raise RuntimeError('off')")
    program = (
        "from overlaykit.plugin import load_plugins, StoreInfo\n"
        "load_plugins().before_remove(StoreInfo(None, 'aa'), None)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(site.path),
        "OVERLAYKIT_TRACE_PLUGINS": "1",
        "OVERLAYKIT_DISABLE_PLUGINS": "off",
    }
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "plugin 'aa-good' of aa-good 1.0: loaded" in ran.stderr
    assert "plugin 'fails' of fails 1.0: refused: importing it raised RuntimeError: no luck" in ran.stderr
    assert "plugin 'off' of off 1.0: disabled by OVERLAYKIT_DISABLE_PLUGINS" in ran.stderr
    assert "overlaykit_before_remove" in ran.stderr
    assert "because" in ran.stderr
    assert ran.stdout == ""
