"""The pytest plugin: options, and hooks that hand over to the suite where its tests were collected.

Imported in every pytest run of an environment that has overlaykit, so it imports nothing but pytest.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._select import Selection

_SUITE = "overlaykit.conformance._suite"
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
    group.addoption("--overlaykit-report-json", metavar="FILE", help="write the result of each conformance test")


def pytest_configure(config: pytest.Config) -> None:
    """Say which markers there are."""
    config.addinivalue_line("markers", "capability(capability): a test of a capability, run where it is declared")
    config.addinivalue_line("markers", "without(capability): a test that a capability is refused where not declared")
    if config.getoption("--overlaykit-report-json") and not hasattr(config, "workerinput"):
        from ._report import Reporter

        config.pluginmanager.register(Reporter(config), "overlaykit-report")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is tested, and where."""
    if not config.getoption("--overlaykit-driver"):
        return []
    from ._subject import header, subject_from_options

    return header(subject_from_options(config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of capabilities that the driver does not declare, and mark the known failures."""
    if _SUITE not in sys.modules:
        return
    from ._select import select

    selection = select(config, items)
    config.stash[_SELECTION] = selection
    if selection.left_out:
        config.hook.pytest_deselected(items=selection.left_out)
    items[:] = selection.kept


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Name the drivers that come from classes, which the header cannot know."""
    selection = config.stash.get(_SELECTION, None)
    if selection is None or config.getoption("--overlaykit-driver"):
        return []
    from ._subject import header

    return [line for subject in selection.subjects for line in header(subject)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach id, rule and capability to a test's report, where they survive a transfer between processes."""
    report = yield
    if _SUITE in sys.modules:
        from ._report import annotate

        annotate(item, report)
    return report
