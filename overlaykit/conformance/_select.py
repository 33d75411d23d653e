"""Which tests run: those of declared capabilities, the refusals of the others, and known failures marked as such."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ._amount import case_of, examples_of, seed_of
from ._level import Level
from ._subject import Subject, subject_from_class
from ._suite import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Selection", "is_asked_for", "level_of", "replay_options", "rule", "select", "subject_of", "test_id"]

_BLOB = re.compile(r"@reproduce_failure\('([^']+)', b'([^']+)'\)")
"""How hypothesis says which example failed."""


@dataclass(slots=True)
class Selection:
    """What of the collected items runs."""

    kept: list[pytest.Item] = field(default_factory=list)
    left_out: list[pytest.Item] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)


def test_id(item: pytest.Item) -> str | None:
    """Return the stable id of a conformance test, ``theme.name[parameter]``; ``None`` for any other test."""
    if not isinstance(item, pytest.Function) or item.cls is None or not issubclass(item.cls, Suite):
        return None
    return _function_id(item.function) + item.name.removeprefix(item.originalname)


def _function_id(function: object) -> str:
    module = getattr(function, "__module__", "")
    name = getattr(function, "__name__", "")
    return f"{module.rpartition('.')[2].removeprefix('test_')}.{name.removeprefix('test_')}"


def rule(item: pytest.Item) -> str:
    """Return the rule that a test holds a driver to: its docstring's first sentence."""
    text = inspect.getdoc(item.obj) if isinstance(item, pytest.Function) else None
    return " ".join((text or "").split("\n\n")[0].split())


def subject_of(item: pytest.Item) -> Subject:
    """Return the driver that a conformance test is run on."""
    assert isinstance(item, pytest.Function)
    assert item.cls is not None
    return subject_from_class(item.config, item.cls)


def select(config: pytest.Config, items: Sequence[pytest.Item], collected: Sequence[pytest.Item]) -> Selection:
    """Sort items into those that run and those that do not.

    :param items: those that are left, after ``-k`` and ``-m``.
    :param collected: all that were collected.
    :raises pytest.UsageError: a conformance test has no driver, or a known failure names no test.
    """
    selection = Selection()
    case_of(config)
    only = set(config.getoption("--overlaykit-only"))
    met: set[str] = set()
    for item in items:
        id = test_id(item)
        if id is None:
            selection.kept.append(item)
            continue
        assert isinstance(item, pytest.Function)
        subject = subject_of(item)
        met |= _names(id)
        # Both, though the first decides: that nobody skips a test of the core is held where it is not run, too.
        if _wanted(item, subject) and is_asked_for(item):
            selection.kept.append(item)
            _mark_known(item, id, subject)
        else:
            selection.left_out.append(item)
    if only - met:
        raise pytest.UsageError(f"there is no conformance test {sorted(only - met)[0]!r}: --overlaykit-only takes ids")
    ids: dict[Subject, set[str]] = {}
    for item in collected:
        id = test_id(item)
        if id is not None:
            ids.setdefault(subject_of(item), set()).update(_names(id))
    selection.subjects = list(ids)
    # Who names single tests may have collected some cases of a test and not others.
    whole = not any("::" in argument for argument in config.args)
    for subject, known in ids.items():
        _check_known(subject, known if whole else set())
    return selection


def _wanted(item: pytest.Function, subject: Subject) -> bool:
    declared = {one for mark in item.iter_markers("capability") for one in mark.args}
    refused = {one for mark in item.iter_markers("without") for one in mark.args}
    if not declared and not refused:
        _check_core(item, subject)
        return True
    if not level_of(item).has(capability=True, refusal=bool(refused)):
        return False
    return declared <= subject.capabilities and not refused & subject.capabilities


def level_of(item: pytest.Item) -> Level:
    """Return how much of the suite is run where a test is from: the less of what its class and the caller say."""
    assert isinstance(item, pytest.Function)
    assert item.cls is not None
    levels = list(Level)
    own: Level = item.cls.level
    return min(own, Level(item.config.getoption("--overlaykit-level")), key=levels.index)


def is_asked_for(item: pytest.Item) -> bool:
    """Tell whether ``--overlaykit-only`` names a test, or nothing."""
    only = set(item.config.getoption("--overlaykit-only"))
    return not only or not only.isdisjoint(_names(test_id(item) or ""))


def _names(id: str) -> set[str]:
    return {id, id.partition("[")[0]}


def replay_options(id: str, config: pytest.Config, detail: str, program: str) -> list[str]:
    """Return the words that make a test run as it did, besides its id.

    :param id: its id.
    :param detail: what pytest says of its failure.
    :param program: ``"pytest"`` or ``"overlaykit"``, whose options they are to be.
    """
    if not id.startswith("properties."):
        return []
    prefix = "--overlaykit-" if program == "pytest" else "--"
    words = [f"{prefix}seed={seed_of(config)}", f"{prefix}examples={examples_of(config)}"]
    found = _BLOB.search(detail)
    # Of a case that is replayed hypothesis does not say again which it is.
    case = f"{found[1]}:{found[2]}" if found is not None else config.getoption("--overlaykit-case")
    return [*words, f"{prefix}case={case}"] if case else words


def _check_core(item: pytest.Function, subject: Subject) -> None:
    # The core cannot be skipped; what a driver gets wrong and knows it says in its known failures.
    marks = {mark.name for mark in item.iter_markers()} & {"skip", "skipif", "xfail"}
    if marks or _overrides(item):
        raise pytest.UsageError(
            f"{item.nodeid}: a test of the core cannot be skipped or replaced; "
            f"list it in the known_failures of the driver {subject.spec.name!r}"
        )


def _overrides(item: pytest.Function) -> bool:
    from ._all import FullSuite

    own = getattr(FullSuite, item.originalname, None)
    return own is not None and own.__qualname__ != item.function.__qualname__


def _mark_known(item: pytest.Item, id: str, subject: Subject) -> None:
    for name in (id, id.partition("[")[0]):
        if name in subject.spec.known_failures:
            item.add_marker(pytest.mark.xfail(reason=subject.spec.known_failures[name], strict=True))
            return


def _check_known(subject: Subject, collected: set[str]) -> None:
    from ._all import FullSuite

    known = {_function_id(value) for name, value in inspect.getmembers(FullSuite) if name.startswith("test_")}
    for name in subject.spec.known_failures:
        function = name.partition("[")[0]
        # A parameter can only be checked where its test was collected: a run of one module collects no other.
        if function not in known or (function in collected and name not in collected):
            raise pytest.UsageError(
                f"the driver {subject.spec.name!r} lists the known failure {name!r}, which is no conformance test"
            )
