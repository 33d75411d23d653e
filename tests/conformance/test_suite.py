"""The suite keeps its own rules: each test is one rule, said in one sentence, with an id of its own and no branches."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import overlaykit.conformance
from overlaykit.conformance import CoreSuite, FullSuite, Level
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGE = Path(overlaykit.conformance.__file__).parent
_TESTS: dict[str, Callable[..., None]] = {
    name: value for name, value in inspect.getmembers(FullSuite, inspect.isfunction) if name.startswith("test_")
}
_MODULES = sorted(_PACKAGE.glob("test_*.py"))


def _is_branch(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        return bool(node.handlers)
    return isinstance(node, ast.If | ast.IfExp | ast.While | ast.Match)


def _marked(kind: str) -> set[Capability]:
    marks = (mark for test in _TESTS.values() for mark in getattr(test, "pytestmark", ()))
    return {one for mark in marks if mark.name == kind for one in mark.args}


@pytest.mark.parametrize("name", _TESTS)
def test_docstring_is_one_sentence(name: str) -> None:
    text = inspect.getdoc(_TESTS[name])
    assert text
    assert text.endswith(".")
    assert "\n\n" not in text


def test_names_are_unique() -> None:
    """A class that inherits every theme has every test: none hides another."""
    names: Counter[str] = Counter()
    for module in _MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names[node.name] += 1
    assert names.keys() == _TESTS.keys()
    assert set(names.values()) == {1}


@pytest.mark.parametrize("module", _MODULES, ids=lambda path: path.name)
def test_no_branches(module: Path) -> None:
    """A test that takes another way with another driver proves nothing of either."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            branches = [inner for inner in ast.walk(node) if _is_branch(inner)]
            assert not branches, f"{node.name} branches in line {branches[0].lineno}"


def test_no_test_skips() -> None:
    for module in _MODULES:
        text = module.read_text(encoding="utf-8")
        assert not [word for word in ("pytest.skip", "importorskip", "skipif", "xfail") if word in text]


def test_every_capability_is_tested() -> None:
    assert _marked("capability") == set(Capability)


def test_every_refusal_is_tested() -> None:
    assert _marked("without") == set(Capability)


def test_core_has_every_theme() -> None:
    assert issubclass(CoreSuite, FullSuite)
    assert (CoreSuite.level, FullSuite.level) == (Level.CORE, Level.FULL)
