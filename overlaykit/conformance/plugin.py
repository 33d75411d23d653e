"""The pytest plugin: options, and hooks that hand over to the suite where its tests were collected.

Imported in every pytest run of an environment that has overlaykit, so it imports nothing but pytest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._report import Reporter
    from ._select import Selection

# They hold the assertions that compare trees.
pytest.register_assert_rewrite("overlaykit.conformance._rig", "overlaykit.conformance._machine")

_SUITE = "overlaykit.conformance._suite"
_REPORTERS: pytest.StashKey[list[Reporter]] = pytest.StashKey()
_SELECTION: pytest.StashKey[Selection] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("overlaykit", "overlaykit driver conformance")
    group.addoption("--overlaykit-driver", metavar="NAME", help="the driver that overlaykit.conformance tests")
    group.addoption(
        "--overlaykit-root", metavar="DIR", help="make the drivers' directories below DIR (default: the temporary one)"
    )
    group.addoption(
        "--overlaykit-option",
        metavar="K=V",
        action="append",
        default=[],
        help="an option for the driver; may be given several times",
    )
    group.addoption(
        "--overlaykit-level",
        metavar="LEVEL",
        choices=("core", "declared", "full"),
        default="full",
        help="core, declared (and what the driver declares) or full (and that the rest is refused)",
    )
    group.addoption(
        "--overlaykit-only",
        metavar="ID",
        action="append",
        default=[],
        help="only the test of this id, such as links.write or links.write[case]; may be given several times",
    )
    group.addoption("--overlaykit-seed", metavar="N", type=int, help="of the property tests (5)")
    group.addoption("--overlaykit-examples", metavar="N", type=int, help="how many the property tests try (40)")
    group.addoption("--overlaykit-case", metavar="VERSION:BLOB", help="the one example of hypothesis to try")
    group.addoption("--overlaykit-report-json", metavar="FILE", help="write the report of docs/conformance.md")


def pytest_configure(config: pytest.Config) -> None:
    """Say which markers there are."""
    config.addinivalue_line("markers", "capability(capability): a test of a capability, run where it is declared")
    config.addinivalue_line("markers", "without(capability): a test that a capability is refused where not declared")
    path = config.getoption("--overlaykit-report-json")
    if path and not hasattr(config, "workerinput"):
        from ._report import FileSink, Reporter

        sink = FileSink(Path(path))
        add_reporter(config, Reporter(config, sink.begin, sink.tell, sink.end))


def add_reporter(config: pytest.Config, reporter: Reporter) -> None:
    """Let a reporter hear of this run."""
    config.stash.setdefault(_REPORTERS, []).append(reporter)
    config.pluginmanager.register(reporter)


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Draw two trees that differ as one."""
    if op != "==" or _SUITE not in sys.modules:
        return None
    from ._report import compare

    return compare(config, left, right)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is tested, and where."""
    if not config.getoption("--overlaykit-driver"):
        return []
    from ._subject import header, subject_from_options

    return header(subject_from_options(config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Leave out the tests of capabilities that the driver does not declare, and mark the known failures."""
    collected = list(items)
    yield
    if _SUITE not in sys.modules:
        return
    from ._select import select

    selection = select(config, items, collected)
    config.stash[_SELECTION] = selection
    if selection.left_out:
        config.hook.pytest_deselected(items=selection.left_out)
    items[:] = selection.kept
    for reporter in config.stash.get(_REPORTERS, []):
        reporter.begin(selection)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Name the drivers that come from classes, which the header cannot know."""
    selection = config.stash.get(_SELECTION, None)
    if selection is None or config.getoption("--overlaykit-driver"):
        return []
    from ._subject import header

    return [line for subject in selection.subjects for line in header(subject)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach id, rule and capability to a test's report, where they survive a transfer between processes."""
    report = yield
    if _SUITE in sys.modules:
        from ._report import annotate

        annotate(item, call, report)
    return report
