"""Which tests run: those of declared capabilities, the refusals of the others, and known failures marked as such."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ._subject import Subject, subject_from_class
from ._suite import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Selection", "rule", "select", "subject_of", "test_id"]


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


def select(config: pytest.Config, items: Sequence[pytest.Item]) -> Selection:
    """Sort the collected items into those that run and those that do not.

    :raises pytest.UsageError: a conformance test has no driver, or a known failure names no test.
    """
    selection = Selection()
    ids: dict[Subject, set[str]] = {}
    for item in items:
        id = test_id(item)
        if id is None:
            selection.kept.append(item)
            continue
        assert isinstance(item, pytest.Function)
        subject = subject_of(item)
        ids.setdefault(subject, set()).update((id, id.partition("[")[0]))
        if _wanted(item, subject):
            selection.kept.append(item)
            _mark_known(item, id, subject)
        else:
            selection.left_out.append(item)
    selection.subjects = list(ids)
    for subject, collected in ids.items():
        _check_known(subject, collected)
    return selection


def _wanted(item: pytest.Function, subject: Subject) -> bool:
    declared = {one for mark in item.iter_markers("capability") for one in mark.args}
    refused = {one for mark in item.iter_markers("without") for one in mark.args}
    if not declared and not refused:
        _check_core(item, subject)
        return True
    assert item.cls is not None
    return not item.cls.core_only and declared <= subject.capabilities and not refused & subject.capabilities


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
