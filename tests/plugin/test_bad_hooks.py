"""Hooks and commands that are wrong, plugins that hang: one line names the plugin, from the command line too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from testkit.wheels import install_wheels, make_wheel

HEAD = """
import os, sys, time
from overlaykit.plugin import CommandSpec, hookimpl
"""


def words(site: Path) -> tuple[list[str], dict[str, str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OVERLAYKIT_"))}
    return [sys.executable, "-P", "-m", "overlaykit"], kept | {"PYTHONPATH": str(site)}


def start(site: Path, *given: str) -> subprocess.CompletedProcess[str]:
    program, environment = words(site)
    return subprocess.run(
        [*program, *given], cwd=site, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def install(tmp_path: Path, **sources: str) -> Path:
    """Install a distribution of version 0.7 for each source, and return where."""
    site = tmp_path / "site"
    install_wheels(
        [make_wheel(tmp_path, name.replace("_", "-"), HEAD + text, version="0.7") for name, text in sources.items()],
        site,
    )
    return site


HOOKS = """
@hookimpl
def overlaykit_after_commit(store, snapshot):
    raise RuntimeError("no\\nluck")

@hookimpl
def overlaykit_before_remove(store, snapshot):
    {0}
"""


@pytest.mark.native
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 // 0", "failed when asked whether 'base' may be removed: ZeroDivisionError"),
        ("return 7", "answered int when asked whether 'base' may be removed, not a text or None"),
    ],
)
def test_a_hook_that_fails_is_named(tmp_path: Path, body: str, says: str) -> None:
    site = install(tmp_path, bad_hooks=HOOKS.format(body))
    store = ("--store", str(tmp_path / "store"), "--driver", "directory")
    assert start(site, "prepare", "work", *store).returncode == 0
    ran = start(site, "commit", "work", "base", *store)
    assert ran.returncode == 0
    assert ran.stderr == (
        "overlaykit: warning: the plugin 'bad-hooks' of bad-hooks 0.7 failed after the commit of 'base', which stands: "
        "RuntimeError: no luck\n"
    )
    ran = start(site, "remove", "base", *store)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"overlaykit: the plugin 'bad-hooks' of bad-hooks 0.7 {says}")
    assert ran.stderr.count("\n") == 1
    assert "OVERLAYKIT_DISABLE_PLUGINS" in ran.stderr
    assert "base" in start(site, "snapshots", *store).stdout


ENDS = """
@hookimpl(tryfirst=True)
def overlaykit_after_commit(store, snapshot):
    sys.exit(7)

@hookimpl
def overlaykit_before_remove(store, snapshot):
    raise BaseException("no luck")
"""

TELLS = """
@hookimpl
def overlaykit_after_commit(store, snapshot):
    print("told of", snapshot.key, file=sys.stderr)
"""


@pytest.mark.native
def test_a_hook_that_ends_the_program_is_named(tmp_path: Path) -> None:
    """The other plugins are told first; what a guard that fails was asked about stays."""
    site = install(tmp_path, bad_ends=ENDS, tells=TELLS)
    store = ("--store", str(tmp_path / "store"), "--driver", "directory")
    assert start(site, "prepare", "work", *store).returncode == 0
    ran = start(site, "commit", "work", "base", *store)
    origin = "the plugin 'bad-ends' of bad-ends 0.7"
    assert (ran.returncode, ran.stderr) == (
        7,
        f"told of base\noverlaykit: ended with 7 in overlaykit_after_commit of {origin}; the commit of 'base' stands\n",
    )
    ran = start(site, "remove", "base", *store)
    assert ran.returncode == 1
    assert ran.stderr == (
        f"overlaykit: BaseException: no luck in overlaykit_before_remove of {origin}; 'base' is not removed "
        "(unexpected; --debug shows where)\n"
    )
    assert "base" in start(site, "snapshots", *store).stdout


COMMANDS = """
@hookimpl
def overlaykit_cli_commands():
    names = {"c-raise": "fails", "c-none": "silent", "c-gone": "gone", "c-base": "ends", "c-exit": "leaves"}
    names["drivers"] = "ends"
    return [CommandSpec(name, "tries", f"bad_commands:{run}") for name, run in names.items()]

def fails(words): raise ValueError("no\\nluck")
def silent(words): pass
def ends(words): raise BaseException("no luck")
def leaves(words): sys.exit("said why")
"""


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    site = install(tmp_path, bad_commands=COMMANDS)
    for name, says in {
        "c-raise": "ValueError: no luck",
        "c-none": "TypeError: bad_commands:silent returned NoneType, no exit code",
        "c-gone": "AttributeError: module 'bad_commands' has no attribute 'gone'",
        "c-base": "BaseException: no luck",
    }.items():
        ran = start(site, name)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == (
            f"overlaykit: {says} in the command {name} of the plugin 'bad-commands' of bad-commands 0.7 "
            "(unexpected; --debug shows where)\n"
        )
    ran = start(site, "c-exit")
    assert (ran.returncode, ran.stderr) == (1, "overlaykit: said why\n")
    said = start(site, "plugins").stdout
    assert "overlaykit c-raise: tries\n" in said
    assert (
        "problem: plugin 'bad-commands' of bad-commands 0.7: its command 'drivers' is never run: overlaykit has one of "
        "that name; rename it\n"
    ) in said
    (problem,) = json.loads(start(site, "plugins", "--json").stdout)["problems"]
    assert problem["plugin"] == "bad-commands"


DRIVER = """
from overlaykit_directory import DirectoryDriver
from overlaykit_directory import plugin as directory
from overlaykit.tree import HostTree
from overlaykit.values import replace

@hookimpl
def overlaykit_register_drivers():
    return [replace(directory.overlaykit_register_drivers()[0], name="bad-tree", factory="bad_tree:Made", priority=-1)]

class Tree(HostTree):
    def stat(self, *given, **named): raise TypeError("no luck")
    lstat = scandir = stat

class Made(DirectoryDriver):
    def tree(self, id, *, readonly):
        return Tree(os.open(self.config.root, os.O_RDONLY), readonly=True)
"""


@pytest.mark.native
def test_a_tree_that_fails_is_named(tmp_path: Path) -> None:
    """Its methods are called without anything in between: whose they are is in the traceback."""
    site = install(tmp_path, bad_tree=DRIVER)
    store = ("--store", str(tmp_path / "store"), "--driver", "bad-tree")
    assert start(site, "prepare", "work", *store).returncode == 0
    ran = start(site, "ls", "work", *store)
    assert ran.returncode == 1
    assert ran.stderr == (
        "overlaykit: TypeError: no luck in the driver bad-tree (plugin 'bad-tree' of bad-tree 0.7) "
        "(unexpected; --debug shows where)\n"
    )


PRINTS = """
print("of its own")

@hookimpl
def overlaykit_after_commit(store, snapshot):
    pass
"""


def test_what_a_plugin_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    site = install(tmp_path, prints=PRINTS)
    for command in ("drivers", "plugins", "doctor"):
        ran = start(site, command, "--json", "--store", str(tmp_path / "store"))
        assert ran.stderr == "of its own\n"
        assert json.loads(ran.stdout)


HANGS = """
print("waits", file=sys.stderr, flush=True)
while True:
    time.sleep(0.05)
"""

SLOW = """
from overlaykit.driver import DriverSpec

@hookimpl
def overlaykit_register_drivers():
    return [DriverSpec("slow", "slow:none", "slow:probe")]

def probe(place):
    print("waits", file=sys.stderr, flush=True)
    while True:
        time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("hangs", HANGS, "while the plugin 'hangs' of hangs 0.7 was being loaded"),
        ("slow", SLOW, "while the probe of the driver slow (plugin 'slow' of slow 0.7) was asked"),
    ],
)
def test_who_waits_for_a_plugin_that_hangs_is_told_which_one(tmp_path: Path, name: str, text: str, says: str) -> None:
    site = install(tmp_path, **{name: text})
    program, environment = words(site)
    with subprocess.Popen(
        [*program, "drivers"],
        env=environment | {"OVERLAYKIT_TRACE_PLUGINS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        before = list(iter(process.stderr.readline, "waits\n"))
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()[-1]
    assert process.returncode == 130
    assert any(f"plugin {name!r} of {name} 0.7: loading" in line for line in before)
    assert last == f"overlaykit: interrupted {says}; OVERLAYKIT_DISABLE_PLUGINS={name} leaves it out"


STUCK = """
from overlaykit.driver import DriverSpec, Probe
from overlaykit_memory import MemoryDriver

@hookimpl
def overlaykit_register_drivers():
    return [DriverSpec("stuck", "stuck:Made", "stuck:probe", needs_path=False, priority=-1)]

def probe(place):
    return Probe(True, "works")

class Made(MemoryDriver):
    def __init__(self, config):
        super().__init__(config)
        self.capabilities = frozenset()

    def usage(self, id):
        open(os.environ["WAITS"], "w").close()
        while True:
            time.sleep(0.05)
"""


def test_who_waits_for_a_test_that_hangs_is_told_which_one(tmp_path: Path) -> None:
    site, waits = install(tmp_path, stuck=STUCK), tmp_path / "waits"
    program, environment = words(site)
    with subprocess.Popen(
        [*program, "conformance", "stuck", "-k", "test_lifecycle and usage_grows"],
        env=environment | {"WAITS": str(waits)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not waits.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said == (
        "overlaykit: interrupted in the test lifecycle.usage_grows; --only lifecycle.usage_grows runs it alone\n"
    )
