"""Plugins that are wrong, as installed distributions: one line names each, and every other driver goes on working."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import pytest
from testkit.wheels import install_wheels, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import os, threading
from overlaykit.driver import Capability, DriverSpec, Probe, Usage
from overlaykit.plugin import hookimpl
from overlaykit_memory import MemoryDriver


def works(place):
    return Probe(True, "works", capabilities=frozenset(CAPABILITIES))


CAPABILITIES = {Capability.ACL, Capability.DEEP_STACK, Capability.DEVICE_NODES, Capability.EXCHANGE,
                Capability.OWNERSHIP, Capability.SPARSE, Capability.TRUSTED_XATTRS}


def spec(name, module, **fields):
    given = {"factory": f"{module}:Made", "probe": f"{module}:works", "needs_path": False, "priority": -1}
    return DriverSpec(name, **given | {"capabilities": frozenset(CAPABILITIES)} | fields)


class Made(MemoryDriver):
    pass
"""

REGISTERS = """
@hookimpl
def overlaykit_register_drivers():
    return [spec("{name}", "{module}"{fields})]
"""


class Bad(NamedTuple):
    """A plugin, and what is said of it.

    :param source: what follows the head of its module.
    :param says: a regular expression for the line that names it.
    :param fields: further fields of its driver's spec.
    :param registers: whether it registers a driver.
    :param requires: what its distribution requires.
    """

    source: str
    says: str
    fields: str = ""
    registers: bool = True
    requires: str = ""


#: Left out when they are loaded: "overlaykit drivers" has the line.
LEFT_OUT = {
    "bad-import": Bad(
        "raise RuntimeError('no\\nluck')", "importing it raised RuntimeError: no luck; repair or uninstall"
    ),
    "bad-base": Bad(
        "raise BaseException('no luck')", "importing it raised BaseException: no luck; repair or uninstall"
    ),
    "bad-skip": Bad("import pytest\npytest.skip('not here')", "importing it raised Skipped: not here"),
    "bad-text": Bad(
        "class Error(Exception):\n    def __str__(self): raise ValueError\nraise Error()",
        "importing it raised Error, whose text raises something itself",
    ),
    "bad-look": Bad(
        "def __getattr__(name): raise RuntimeError(name)", "looking at it raised RuntimeError: overlaykit_after_commit"
    ),
    "bad-options": Bad(
        "class Options(dict):\n    def items(self): raise ValueError('no luck')",
        "looking at it raised ValueError: no luck",
        fields=", options=Options()",
    ),
    "bad-exit": Bad("raise SystemExit(3)", "importing it raised SystemExit: 3"),
    "bad-newer": Bad(
        "Capability.TIME_TRAVEL",
        r"importing it raised AttributeError: .*TIME_TRAVEL.* \(it asks for 'overlaykit>=9', this is overlaykit ",
        requires="overlaykit>=9",
    ),
    "bad-hook": Bad(
        "@hookimpl\ndef overlaykit_register_drivers(): 1 // 0", "raised ZeroDivisionError", registers=False
    ),
    "bad-hook-base": Bad(
        "@hookimpl\ndef overlaykit_register_drivers():\n    yield spec('a', 'a')\n    raise GeneratorExit",
        "its overlaykit_register_drivers raised GeneratorExit",
        registers=False,
    ),
    "bad-type": Bad(
        "@hookimpl\ndef overlaykit_register_drivers(): return 7",
        "overlaykit_register_drivers returned an object of type int, not an iterable of DriverSpec",
        registers=False,
    ),
    "bad-field": Bad("", "the driver bad-field has priority='high', not a number", fields=', priority="high"'),
    "bad-words": Bad(
        "", "the driver bad-words has capabilities=.*, not a set of Capability", fields=', capabilities={"acl"}'
    ),
    "bad-future": Bad(
        "",
        "the driver bad-future was written for version 99 of the driver contract and overlaykit .* speaks 1; "
        "install 'overlaykit>=99'",
        fields=", api=99",
        requires="overlaykit>=99",
    ),
    "bad-zero": Bad("", "the driver bad-zero has api=0, not a number from 1 on", fields=", api=0"),
    "bad-twice": Bad(
        "@hookimpl\ndef overlaykit_register_drivers(): return [spec('a', 'a')] * 2",
        "it registers the driver a twice",
        registers=False,
    ),
}

#: Not usable, and "overlaykit drivers" says why.
UNUSABLE = {
    "bad-probe": Bad(
        "def works(place): raise KeyError('no\\nluck')", r"its probe bad_probe:works raised KeyError: .no.*luck"
    ),
    "bad-cancelled": Bad(
        "import asyncio\ndef works(place): raise asyncio.CancelledError", "its probe .* raised CancelledError"
    ),
    "bad-details": Bad(
        "def works(place): return Probe(True, details={'n': 1})",
        "returned a Probe with details that are not text to te",
    ),
    "bad-answer": Bad("def works(place): return True", "its probe bad_answer:works returned bool, not Probe"),
    "bad-boast": Bad("", "its probe offers .*acl.*, which it does not declare", fields=", capabilities=frozenset()"),
}

#: Broken when a store is used: the error is one line.
AT_WORK = {
    "bad-factory": Bad("def Made(config): raise ValueError('no luck')", "bad_factory:Made raised ValueError: no luck"),
    "bad-object": Bad("def Made(config): return config", "bad_object:Made returned DriverConfig, not a Driver"),
    "bad-more": Bad(
        "def works(place): return Probe(True, 'works')",
        "its object offers capabilities that its DriverSpec.capabilities does not declare",
        fields=", capabilities=frozenset()",
    ),
    "bad-saying": Bad(
        "class Made(MemoryDriver):\n    capabilities = property(lambda self: 1 // 0)\n"
        "    def __init__(self, config): pass\n    def close(self): raise ValueError",
        "its capabilities raised ZeroDivisionError",
    ),
    "bad-making": Bad(
        "def Made(config): raise BaseException('no luck')", "bad_making:Made raised BaseException: no luck"
    ),
    "bad-errno": Bad(
        "class Made(MemoryDriver):\n    def prepare(self, id, parent): raise OSError('no luck')",
        r"prepare\(\) raised OSError: no luck, which has no errno",
    ),
    "bad-prepare": Bad(
        "class Made(MemoryDriver):\n    def prepare(self, id, parent): raise TypeError('no luck')",
        r"prepare\(\) raised TypeError: no luck",
    ),
    "bad-commit": Bad(
        "class Made(MemoryDriver):\n    def commit(self, id, new): raise LookupError('first\\nsecond')",
        r"commit\(\) raised LookupError: first second; report",
    ),
    "bad-middle": Bad(
        "class Made(MemoryDriver):\n    def commit(self, id, new):\n"
        "        super().commit(id, new)\n        raise AssertionError('half way')",
        r"commit\(\) raised AssertionError: half way",
    ),
    "bad-tree": Bad(
        "class Made(MemoryDriver):\n    def tree(self, id, *, readonly): return '/tmp'",
        r"tree\(\) returned str, not Tree",
    ),
    "bad-usage": Bad(
        "class Made(MemoryDriver):\n    def usage(self, id): return 7", r"usage\(\) returned int, not Usage"
    ),
    "bad-number": Bad(
        "class Made(MemoryDriver):\n    def usage(self, id): return Usage(-1, 1)",
        r"usage\(\) returned bytes=-1, not a number from 0 on",
    ),
    "bad-changes": Bad(
        "class Made(MemoryDriver):\n    def changes(self, id, parent): yield 'a'",
        r"changes\(\) yielded str, not Change",
    ),
}

#: What is no Exception passes, with a note: a signal's handler may have raised it as well.
ENDING = {
    "bad-ending": Bad(
        "class Made(MemoryDriver):\n    def commit(self, id, new): raise BaseException('no luck')", "no luck"
    ),
    "bad-sys-exit": Bad("class Made(MemoryDriver):\n    def commit(self, id, new): raise SystemExit(7)", "7"),
}

#: Found by the suite: the rule, and what its line says.
BY_THE_SUITE = {
    "bad-claim": (
        Bad(
            "from overlaykit_memory._tree import MemoryTree\nimport errno\n"
            "class Tree(MemoryTree):\n    def setxattr(self, path, name, value, *a, **k):\n"
            "        if 'acl' in str(name): raise OSError(errno.EOPNOTSUPP, 'no')\n"
            "        super().setxattr(path, name, value, *a, **k)\n"
            "class Made(MemoryDriver):\n    def tree(self, id, *, readonly):\n        one = self._get(id)\n"
            "        return Tree(one, readonly=readonly or one.frozen)",
            "",
        ),
        "xattrs.default_acl",
        "capability: acl, declared",
    ),
    "bad-modest": (
        Bad(
            "def works(place): return Probe(True, 'works')\n"
            "class Made(MemoryDriver):\n    def __init__(self, config):\n        super().__init__(config)\n"
            "        self.capabilities = frozenset()",
            "",
        ),
        "xattrs.trusted_is_refused",
        "capability: trusted-xattrs, not declared",
    ),
    "bad-descriptors": (
        Bad(
            "class Made(MemoryDriver):\n    def commit(self, id, new):\n        super().commit(id, new)\n"
            "        os.open('/dev/null', os.O_RDONLY); os.open('/dev/null', os.O_RDONLY)",
            "",
        ),
        "stacking.empty_base",
        r"left behind after close\(\): \d+ descriptors \(/dev/null\)",
    ),
    "bad-children": (
        Bad(
            "import subprocess\nclass Made(MemoryDriver):\n    def commit(self, id, new):\n"
            "        super().commit(id, new)\n"
            # It ends with the pipe, when the suite's process does.
            "        self.child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)",
            "",
        ),
        "capabilities.object",
        r"in the test of: .*\n(  from: .*\n)+  left behind after close\(\): .*1 child \(\d+ cat\)",
    ),
    "bad-shown": (
        Bad("class Made(MemoryDriver):\n    def tree(self, id, *, readonly): return '/tmp'", ""),
        "stacking.empty_base",
        r"tree\(\) returned '/tmp', which is no Tree\n  at: overlaykit.conformance.test_stacking, line \d+: ",
    ),
    "bad-counted": (
        Bad("class Made(MemoryDriver):\n    def usage(self, id): return 7", ""),
        "capabilities.object",
        r"assert False where False = isinstance\(7, Usage\)",
    ),
    "bad-listing": (
        Bad("class Made(MemoryDriver):\n    def ids(self): return sorted(super().ids())[:1]", ""),
        "lifecycle.ids_lists_both_kinds",
        r"assert \['\w+'\] == \['\w+\.\.\.\w+'\]: (At index 0 diff: '\w+' != '\w+'|Right contains \d more items)",
    ),
    "bad-half": (
        Bad("class Made(MemoryDriver):\n    def commit(self, id, new): raise BaseException('half way')", ""),
        "stacking.empty_base",
        r"half way\n  at: overlaykit.conformance.test_stacking, .*\n  at: bad_half, line \d+: .*raise BaseException",
    ),
    "bad-threads": (
        Bad(
            "class Made(MemoryDriver):\n    def close(self):\n        super().close()\n"
            "        threading.Thread(target=threading.Event().wait, daemon=True, name='stays').start()",
            "",
        ),
        "stacking.empty_base",
        r"left behind after close\(\): \d+ threads? \(stays ",
    ),
}

MOUNTS = Bad(
    """
    import subprocess
    class Made(MemoryDriver):
        def commit(self, id, new):
            super().commit(id, new)
            # Not while it is only tried out, before the first test, over a directory of another name.
            if self.config.root.name == "driver":
                place = self.config.root.parent / "mounted"
                place.mkdir()
                subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    """,
    "",
    fields=", needs_path=True",
)

GOOD = "good-one"


def module(name: str, bad: Bad) -> str:
    """Return the text of a plugin's module."""
    registers = REGISTERS.format(name=name, module=name.replace("-", "_"), fields=bad.fields) if bad.registers else ""
    return f"{HEAD}\n{textwrap.dedent(bad.source)}\n{registers}"


ALL = LEFT_OUT | UNUSABLE | AT_WORK | ENDING | {name: bad for name, (bad, _, _) in BY_THE_SUITE.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place with all of them, two pairs that are in each other's way, and a good one."""
    wheels, place = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    made = [
        make_wheel(wheels, name, module(name, bad), version="2.3", requires=bad.requires) for name, bad in ALL.items()
    ]
    made += [
        make_wheel(wheels, name, re.sub('spec."same-...", ', 'spec("same", ', module(name, Bad("", ""))))
        for name in (GOOD, "same-one", "same-two")
    ]
    made += [
        make_wheel(wheels, name, module(name, Bad("", "")), entry=f"taken = {name.replace('-', '_')}")
        for name in ("plugin-one", "plugin-two")
    ]
    install_wheels(made, place)
    return place


def start(site: Path, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OVERLAYKIT_"))}
    return subprocess.run(
        [*before, sys.executable, "-P", *words],
        cwd=site,
        env=kept | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def drivers(site: Path) -> dict[str, object]:
    ran = start(site, "-m", "overlaykit", "drivers", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def problem(drivers: dict[str, object], name: str) -> str:
    problems = drivers["problems"]
    assert isinstance(problems, list)
    (line,) = [line for line in problems if line.startswith(f"plugin {name!r} of ")]
    assert "\n" not in line
    return str(line)


def listed(drivers: dict[str, object], name: str) -> dict[str, object]:
    found = drivers["drivers"]
    assert isinstance(found, list)
    (driver,) = [driver for driver in found if driver["name"] == name]
    assert isinstance(driver, dict)
    return driver


def test_the_others_go_on(site: Path, drivers: dict[str, object]) -> None:
    for name in (GOOD, "memory", "plugin-one"):
        assert listed(drivers, name)["usable"] is True, name
    program = (
        f"import overlaykit\nwith overlaykit.open_store(driver={GOOD!r}) as s, s.snapshot() as w: w.commit('base')"
    )
    ran = start(site, "-c", program)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_plugin_that_is_left_out_has_its_line(drivers: dict[str, object], name: str) -> None:
    line = problem(drivers, name)
    assert line.startswith(f"plugin {name!r} of {name} 2.3: ")
    assert re.search(LEFT_OUT[name].says, line), line
    assert name not in str(drivers["drivers"])


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_probe_that_is_wrong_is_a_driver_that_cannot_be_used(drivers: dict[str, object], name: str) -> None:
    driver = listed(drivers, name)
    assert driver["usable"] is False
    reason = str(driver["reason"])
    assert re.search(UNUSABLE[name].says, reason), reason
    assert reason.endswith(f"(plugin {name!r} of {name} 2.3)")
    assert "\n" not in reason


def test_two_of_one_name(drivers: dict[str, object]) -> None:
    for name in ("same-one", "same-two"):
        assert re.search(r"'same' is registered by same-one 1\.0 and by same-two 1\.0", problem(drivers, name))
    assert "'same'" not in str(drivers["drivers"])
    assert problem(drivers, "taken") == (
        "plugin 'taken' of plugin-two 1.0: another plugin is called 'taken' already; uninstall one of them"
    )


WORK = """
import sys
import overlaykit
from overlaykit.errors import DriverError

try:
    with overlaykit.open_store(driver=sys.argv[1]) as store:
        store.prepare("work")
        try:
            with store.tree("work") as tree:
                tree.write_bytes("kept", b"x")
            store.usage("work")
            list(store.changes("work"))
            store.commit("work", "base")
        except DriverError:
            print(*sorted((info.key, str(info.kind)) for info in store.walk()))
            raise
except DriverError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("name", AT_WORK)
def test_a_driver_that_breaks_at_work_has_its_line(site: Path, name: str) -> None:
    ran = start(site, "-c", WORK, name)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith(f"the driver {name} is broken: ")
    assert re.search(AT_WORK[name].says, ran.stderr), ran.stderr
    assert f"plugin {name!r} of {name} 2.3" in ran.stderr


@pytest.mark.parametrize("name", ENDING)
def test_what_may_end_a_program_passes_with_a_note(site: Path, name: str) -> None:
    program = WORK.replace("except DriverError as error", "except BaseException as error").replace(
        "sys.exit(str(error))", "sys.exit(f'{error} {error.__notes__}')"
    )
    ran = start(site, "-c", program, name)
    origin = f"in commit() of the driver {name} (plugin {name!r} of {name} 2.3)"
    assert ran.stderr == f"{ENDING[name].says} {[origin]}\n"


@pytest.mark.parametrize(
    ("name", "left"), [("bad-commit", "('work', 'active')"), ("bad-middle", "('base', 'committed')")]
)
def test_a_commit_that_fails_is_undone_or_finished(site: Path, name: str, left: str) -> None:
    """Whether it had happened in the storage decides; nothing is lost either way."""
    assert start(site, "-c", WORK, name).stdout == f"{left}\n"


@pytest.mark.parametrize("name", BY_THE_SUITE)
def test_the_suite_names_what_a_driver_does_not_keep(site: Path, name: str) -> None:
    _, rule, says = BY_THE_SUITE[name]
    ran = start(site, "-m", "overlaykit", "conformance", name, "--only", rule)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"✗ {rule}" in ran.stdout
    assert re.search(says, ran.stdout), ran.stdout
    assert ran.stdout.splitlines()[-1].startswith(f"{name}: 1 test failed")


def test_the_suite_shows_one_fault_in_full_a_few_times_only(site: Path) -> None:
    ran = start(site, "-m", "overlaykit", "conformance", "bad-commit", "-k", "test_links")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    full = re.findall(r"^✗ (links\.\S+)$", ran.stdout, re.MULTILINE)
    (said,) = re.findall(
        r"^✗ (\d+) more tests fail as (\S+) does; --only ID says more of one of them:$", ran.stdout, re.M
    )
    assert (len(full), said[1]) == (3, full[0])
    others = ran.stdout.partition("says more of one of them:\n")[2].partition("\n\n")[0].split()
    assert len(set(others) - set(full)) == int(said[0]) > 20


def test_a_driver_that_cannot_be_made_or_asked_is_named_by_the_suite(site: Path) -> None:
    for name, says in {
        "bad-factory": "its factory bad_factory:Made: ValueError: no luck",
        "bad-probe": "its probe ",
    }.items():
        ran = start(site, "-m", "overlaykit", "conformance", name)
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
        head = f"overlaykit: the conformance suite could not be run: the driver {name!r} of {name} 2.3 fails before"
        assert ran.stderr.startswith(f"{head} the first test: {says}")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_the_suite_counts_mounts(tmp_path: Path) -> None:
    site, name = tmp_path / "site", "bad-mounts"
    install_wheels([make_wheel(tmp_path, name, module(name, MOUNTS))], site)
    # In a mount namespace of its own, so that what the driver leaves ends with it.
    words = ["-m", "overlaykit", "conformance", name, "--only", "stacking.empty_base", "--root", str(tmp_path)]
    ran = start(site, *words, before=("unshare", "--mount"))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if "left behind" in line]
    assert re.search(r"left behind after close\(\): 1 mount \(.* tmpfs none ", line), line
