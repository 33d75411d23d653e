"""What the suite says of a failure: its rule, where that comes from, the trees that differ, and how to see it again."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.chromium import start_browser

from overlaykit.conformance import (
    FullSuite,
    Level,
    Outcome,
    Result,
    RunFacts,
    report_document,
    report_page,
    source_of,
    summarize,
)
from overlaykit.conformance._describe import DIR, FIFO, Node, Special, Symlink
from overlaykit.conformance._difference import are_trees, draw_difference
from overlaykit.conformance._model import Record
from overlaykit.conformance._sources import _RULES, _THEMES
from overlaykit.driver import Aspect, ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.chromium import Browser

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = {
    f"{value.__module__.rpartition('.')[2].removeprefix('test_')}.{name.removeprefix('test_')}"
    for name, value in inspect.getmembers(FullSuite, inspect.isfunction)
    if name.startswith("test_")
}

# -- sources ---------------------------------------------------------------------------------------------------------


def test_every_rule_says_where_it_comes_from() -> None:
    assert len(RULES) > 400
    for rule in RULES:
        sources = source_of(rule)
        assert sources, rule
        assert len(set(sources)) == len(sources), rule


def test_no_source_is_of_a_rule_that_does_not_exist() -> None:
    assert set(_RULES) <= RULES
    assert set(_THEMES) == {rule.partition(".")[0] for rule in RULES}


def test_the_pages_have_the_sections_that_rules_come_from() -> None:
    for source in {source for rule in RULES for source in source_of(rule)}:
        assert source.kind in {"semantics", "contract", "kernel", "specification"}
        assert (source.kind in {"semantics", "contract"}) == source.document.startswith("docs/"), source
        if source.document.startswith("docs/"):
            text = (DOCS.parent / source.document).read_text()
            assert re.search(rf"^#+ {re.escape(source.section)}$", text, re.MULTILINE), source


# -- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "core", "capability", "refusal"),
    [(Level.CORE, True, False, False), (Level.DECLARED, True, True, False), (Level.FULL, True, True, True)],
)
def test_levels(level: Level, core: bool, capability: bool, refusal: bool) -> None:
    assert level.has(capability=False, refusal=False) is core
    assert level.has(capability=True, refusal=False) is capability
    assert level.has(capability=True, refusal=True) is refusal


# -- trees -----------------------------------------------------------------------------------------------------------


def test_two_trees_are_drawn_as_one() -> None:
    expected = {"d": DIR, "d/b": b"2", "d/c": b"", "l": Symlink("x"), "p": FIFO, **dict.fromkeys("qrstu", b"")}
    shown = {
        "d": DIR,
        "d/a": b"x" * 99,
        "d/b": b"1",
        "l": DIR,
        "p": FIFO,
        **dict.fromkeys("qrstu", b""),
    }
    assert draw_difference(shown, expected) == [
        "the trees differ in 4 paths (- expected, + shown):",
        "  /",
        "  ├── d",
        f"+ │   ├── a  file content {b'x' * 40!r}... (99 bytes)",
        "! │   ├── b  content: expected b'2', shown b'1'",
        "- │   └── c  file content b''",
        "! ├── l  type: expected symbolic link, shown directory; target: expected x, shown none",
        "  ├── p",
        "  ├── q",
        "  └── ... 4 more, the same in both",
    ]


def test_attributes_and_changes_are_drawn() -> None:
    node = Node(stat.S_IFREG, 0o644, 0, 0, 1, b"x", 0, (), ("f",))
    other = Node(stat.S_IFREG, 0o600, 0, 5, 2, b"x", 0, (("user.a", b"1"),), ("f", "g"))
    assert draw_difference({"f": other}, {"f": node})[2] == (
        "! └── f  mode: expected 0644, shown 0600; owner: expected 0:0, shown 0:5; mtime: expected 1 ns, shown 2 ns; "
        "xattrs: expected none, shown user.a=b'1'; names of the file: expected f, shown f, g"
    )
    record = Record("symlink", 0o777, b"t", (), "l")
    assert "expected t, shown u" in draw_difference({"l": Record("symlink", 0o777, b"u", (), "l")}, {"l": record})[2]
    changes = {"f": (ChangeKind.MODIFIED, Aspect.MODE | Aspect.CONTENT)}
    assert draw_difference({}, changes)[2] == "- └── f  change modified content|mode"
    assert draw_difference({".": other}, {".": node})[1].startswith("! /  mode: expected 0644")
    assert "socket" in draw_difference({"s": Special(0o140000)}, {})[2]


def test_names_are_drawn_on_one_line_and_large_trees_are_cut() -> None:
    lines = draw_difference({"a\nb": b"", "\udcff": b""}, {})
    assert [line[6:] for line in lines[2:]] == ["'a\\nb'  file content b''", "'\\udcff'  file content b''"]
    lines = draw_difference({f"{number:03}": b"" for number in range(100)}, {})
    assert len(lines) == 41
    assert lines[-1] == "  ... 62 lines more"


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ({"a": b""}, {}, True),
        ({}, {}, False),
        ({"a": 1}, {"a": b""}, False),
        ({1: b""}, {"a": b""}, False),
        ("a", {"a": b""}, False),
        ({"a": (1, 2)}, {}, False),
    ],
)
def test_what_trees_are(one: object, other: object, are: bool) -> None:
    assert are_trees(one, other) is are


# -- results and the document ----------------------------------------------------------------------------------------


def facts(driver: str, **fields: Any) -> RunFacts:
    return RunFacts(
        **{
            "driver": driver, "distribution": "ok-x", "version": "1", "options": {}, "capabilities": ("acl",),
            "root": "/", "filesystem": "ext4", "environment": {"overlaykit": "1"}, "level": "full",
            "seed": 5, "examples": 40,
        }
        | fields
    )  # fmt: skip


def test_results_survive_the_pipe() -> None:
    results = [
        Result(
            "links.one", Outcome.PASSED, 0.5, "A rule.", sources=({"kind": "kernel", "document": "x", "section": ""},)
        ),
        Result("links.two", Outcome.FAILED, 0.25, "Another\u2028rule.", "boom\nbang", difference=("- a", "+ b")),
        Result("white_outs.x[a.b]", Outcome.KNOWN),
    ]
    assert [Result.from_line(result.to_line()) for result in results] == results
    assert not any("\n" in result.to_line() for result in results)
    assert [result.group for result in results] == ["links", "links", "white outs"]
    assert [result.rule_id for result in results] == ["links.one", "links.two", "white_outs.x"]
    assert [result.bad for result in results] == [False, True, False]
    assert {name: count for name, count in summarize(results).items() if count} == {
        "passed": 1,
        "failed": 1,
        "known": 1,
    }
    run = facts("one")
    assert RunFacts.from_line(run.to_line()) == run
    assert RunFacts.from_line(results[0].to_line()) is None


def test_the_document_has_rules_by_drivers() -> None:
    one = [
        Result("a.x[1]", Outcome.PASSED, rule="X."),
        Result("a.x[2]", Outcome.FAILED, rule="X.", message="no"),
        Result("a.y", Outcome.ABSENT, rule="Y.", capability="acl"),
    ]
    two = [Result("a.x[1]", Outcome.PASSED, rule="X."), Result("a.y", Outcome.PASSED, rule="Y.", capability="acl")]
    document = report_document([(facts("one"), one), (facts("two"), two), (facts("three", error="no luck"), [])])
    assert (document["schema"], document["schema_version"]) == ("overlaykit-conformance", 1)
    assert document["ok"] is False
    assert [driver["ok"] for driver in document["drivers"]] == [False, True, False]
    assert [(rule["id"], rule["capability"], rule["outcomes"]) for rule in document["rules"]] == [
        ("a.x", None, {"one": "failed", "two": "passed"}),
        ("a.y", "acl", {"one": "absent", "two": "passed"}),
    ]
    assert report_document([(facts("two"), two)])["ok"] is True
    # That nothing ran is no success.
    assert report_document([(facts("two"), [Result("a.y", Outcome.ABSENT)])])["ok"] is False


def test_the_document_is_what_the_page_says_it_is() -> None:
    """Each field of the schema stands in docs/conformance.md, and no other one."""
    text = (DOCS / "conformance.md").read_text()
    section = text[text.index("## The report") : text.index("| outcome | means |")]
    named = set(re.findall(r"^\| `([\w.]+)", section, re.MULTILINE))
    result = Result("a.x", Outcome.FAILED, sources=({"kind": "kernel", "document": "d", "section": "s"},))
    found: set[str] = set()

    def walk(value: object, prefix: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                found.add(prefix + name)
                if prefix + name not in {"drivers.options", "drivers.environment", "drivers.counts", "rules.outcomes"}:
                    walk(inner, f"{prefix}{name}.")
        elif isinstance(value, list):
            for inner in value:
                walk(inner, prefix)

    walk(report_document([(facts("one"), [result])]), "")
    assert found == named


# -- a whole run -----------------------------------------------------------------------------------------------------

MUTE = """
from overlaykit.driver import Capability, DriverSpec, Probe
from overlaykit.plugin import hookimpl

@hookimpl
def overlaykit_register_drivers():
    yield DriverSpec(
        "careless", "ok_careless:careless", "ok_careless:probe", priority=-1, needs_path=False,
        capabilities=frozenset({Capability.ACL}), known_failures={"renames.over_a_lower_file": "<b>on the list</b>"},
    )

def probe(root):
    return Probe(True, "always", capabilities=frozenset({Capability.ACL}))

def careless(config):
    from overlaykit_memory import MemoryDriver
    from overlaykit_memory._tree import MemoryTree

    class Tree(MemoryTree):
        def rename(self, source, target, *rest, **named):
            super().rename(source, target, *rest, **named)
            if self.is_file(target):
                self.write_bytes(target, b"<script>oops</script>")

    class Careless(MemoryDriver):
        def __init__(self, config):
            super().__init__(config)
            self.capabilities = frozenset({Capability.ACL})

        def tree(self, id, *, readonly):
            snapshot = self._get(id)
            return Tree(snapshot, readonly=readonly or snapshot.frozen)

    return Careless(config)
"""


class Bench:
    """Runs the command line with a careless driver, in a directory that is nowhere near the project."""

    def __init__(self, place: Path) -> None:
        self.place = place
        info = place / "site" / "ok_careless-2.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ok-careless\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text("[overlaykit]\ncareless = ok_careless\n")
        (place / "site" / "ok_careless.py").write_text(MUTE)

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command and return what it writes."""
        return self._run(words, code).stdout

    def error(self, *words: str, code: int) -> str:
        """Run a command that says nothing but its error, and return that."""
        done = self._run(words, code)
        assert done.stdout == ""
        return done.stderr

    def _run(self, words: tuple[str, ...], code: int) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OVERLAYKIT_"))}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "overlaykit", *words],
            cwd=self.place,
            env=kept | {"PYTHONPATH": str(self.place / "site"), "HOME": str(self.place)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def matrix(bench: Bench) -> str:
    """Two drivers on some themes; the report is in the bench's directory."""
    words = ["conformance", "memory", "careless", "-k", "test_renames or test_properties or acl", "--examples", "20"]
    return bench.run(*words, "--json", "./report.json", "--html", "report.html", code=1)


@pytest.fixture(scope="module")
def document(bench: Bench, matrix: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.place / "report.json").read_text())
    return found


def test_several_drivers_give_a_matrix(matrix: str, document: dict[str, Any]) -> None:
    rows = {line.split()[0]: line.split()[1:] for line in matrix.splitlines() if re.match(r"[a-z_]+\.\w+ ", line)}
    assert rows["renames.file"] == ["passed", "FAILED"]
    assert rows["renames.over_a_lower_file"] == ["passed", "known"]
    assert rows["renames.exchange_files"] == ["passed", "absent"]
    assert rows["renames.exchange_is_refused"] == ["offered", "FAILED"]
    assert all(set(row) != {"passed"} for row in rows.values())
    outcomes = {rule["id"]: rule["outcomes"] for rule in document["rules"]}
    assert outcomes["renames.exchange_files"] == {"memory": "passed", "careless": "absent"}
    assert re.search(r"^\d+ more rules: passed by each$", matrix, re.MULTILINE)
    assert re.search(r"^memory: conforms \(\d+ passed\)$", matrix, re.MULTILINE)
    assert re.search(r"^careless: \d+ tests failed \(\d+ passed, \d+ failed, 1 known\)$", matrix, re.MULTILINE)


def test_a_failure_names_rule_source_trees_and_the_way_back(bench: Bench, matrix: str) -> None:
    at = matrix.index("✗ careless: renames.file\n")
    lines = matrix[at:].split("\n\n")[0].splitlines()
    assert lines[1:6] == [
        "  rule: A renamed lower file has its content at the new name and is gone at the old.",
        "  from: docs/semantics.md, Renaming",
        "  from: Linux man-pages, rename(2), DESCRIPTION",
        '  at: overlaykit.conformance.test_renames, line 28: box.shows({"b": "1"})',
        "    the trees differ in 1 path (- expected, + shown):",
    ]
    assert "    ! └── b  content: expected b'1', shown b'<script>oops</script>'" in lines
    assert lines[-1] == "  again: overlaykit conformance careless --only renames.file"
    again = bench.run(*shlex.split(lines[-1].removeprefix("  again: "))[1:], code=1)
    assert again.splitlines()[-1] == "careless: 1 test failed (1 failed)"


def test_a_claimed_capability_is_named(matrix: str) -> None:
    block = matrix[matrix.index("✗ careless: renames.exchange_is_refused\n") :].split("\n\n")[0]
    assert "  capability: exchange, not declared\n" in block


def test_random_operations_are_replayed_from_seed_and_case(bench: Bench, document: dict[str, Any]) -> None:
    (driver,) = [driver for driver in document["drivers"] if driver["name"] == "careless"]
    (test,) = [test for test in driver["tests"] if test["id"] == "properties.random_operations"]
    assert test["outcome"] == "failed"
    assert "rename(" in test["detail"]
    words = shlex.split(test["replay"])
    assert words[:5] == ["overlaykit", "conformance", "careless", "--only", "properties.random_operations"]
    assert {"--seed=5", "--examples=20"} <= set(words)
    assert any(word.startswith("--case=") for word in words)
    said = json.loads(bench.run(*words[1:], "--json", code=1))
    (again,) = said["drivers"][0]["tests"]
    assert (again["difference"], again["replay"]) == (test["difference"], test["replay"])
    # The same case on a driver that has it right passes.
    assert "memory: conforms" in bench.run("conformance", "memory", *words[3:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "renames.nothing"], "there is no conformance test 'renames.nothing'"),
        (["--case", "1.0:AXic"], "the case '1.0:AXic' is not of hypothesis"),
        (["--case", "x"], "the case 'x' is not of hypothesis"),
    ],
)
def test_what_cannot_be_run_is_one_line(bench: Bench, words: list[str], message: str) -> None:
    said = bench.error("conformance", "memory", *words, code=1)
    assert said.startswith(f"overlaykit: the conformance suite could not be run: {message}")
    assert said.count("\n") == 1
    assert bench.error("conformance", "memory", "--examples", "0", code=2) == (
        "overlaykit: --examples 0 is not a number from 1 on\n"
    )


def test_levels_of_a_run(bench: Bench) -> None:
    tests = {}
    for level in Level:
        said = bench.run("conformance", "memory", "--level", level, "-k", "test_renames", "--json")
        tests[level] = {test["id"]: test["outcome"] for test in json.loads(said)["drivers"][0]["tests"]}
    assert tests[Level.CORE].keys() < tests[Level.DECLARED].keys() < tests[Level.FULL].keys()
    assert tests[Level.DECLARED].keys() - tests[Level.CORE].keys() == {
        "renames.exchange_files",
        "renames.exchange_file_and_directory",
        "renames.exchange_needs_both",
    }
    assert tests[Level.FULL].keys() - tests[Level.DECLARED].keys() == {"renames.exchange_is_refused"}
    assert set(tests[Level.CORE].values()) == {"passed"}


# -- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = start_browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_opens_on_failures(bench: Bench, document: dict[str, Any], browser: Browser, dark: bool) -> None:
    failed = [
        test["id"]
        for driver in document["drivers"]
        for test in driver["tests"]
        if test["outcome"] in ("failed", "error")
    ]
    with browser.page(f"file://{bench.place}/report.html", dark=dark) as page:
        assert page.texts("h1") == ["1 of 2 drivers conform"]
        assert [text.rpartition(" ")[2] for text in page.texts("article h3")] == failed
        top = page.box("#failures article")[1]
        assert 0 < top < 300
        assert any("expected b'1', shown b'<script>oops</script>'" in text for text in page.texts(".trees .differs"))
        assert "overlaykit conformance careless --only renames.file" in page.texts(".replay")
        assert page.texts("#known td")[2] == "<b>on the list</b>"
        # Themes with a failure are open, the others are not.
        opened = page.evaluate("[...document.querySelectorAll('details.theme[open] summary')].map(e => e.innerText)")
        assert any(text.startswith("renames") for text in opened)
        assert not any(text.startswith("xattrs") for text in opened)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        requests = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
        assert requests == [f"file://{bench.place}/report.html"]
        assert page.events("Log.entryAdded", "Runtime.exceptionThrown") == []
        assert len(page.screenshot()) > 10_000


def test_a_page_without_failures_begins_with_the_drivers(tmp_path: Path, browser: Browser) -> None:
    document = report_document([(facts("one"), [Result("a.x", Outcome.PASSED, rule="X.")])])
    (tmp_path / "report.html").write_text(report_page(document))
    with browser.page(f"file://{tmp_path}/report.html") as page:
        assert page.texts("h1") == ["one conforms"]
        assert page.texts("h2") == ["Drivers", "Rules (1)"]
    broken = report_page(report_document([(facts("one", error="it <is> not there"), [])]))
    assert "it &lt;is&gt; not there" in broken
