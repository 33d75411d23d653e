"""Names of packages are imported when they are first asked for, and are ordinary ones then."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import overlaykit
from overlaykit.lazy import lazy_names

TOP = Path(overlaykit.__file__).parent

PACKAGES = [
    ".".join(("overlaykit", *path.parent.relative_to(TOP).parts))
    for path in sorted(TOP.rglob("__init__.py"))
    if "lazy_names(" in path.read_text()
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there_and_nothing_else(name: str) -> None:
    package = importlib.import_module(name)
    for one in package.__all__:
        assert getattr(package, one) is getattr(package, one)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'nothing'$"):
        _ = package.nothing


@pytest.mark.parametrize("name", PACKAGES)
def test_all_that_comes_later_is_offered(name: str) -> None:
    package = importlib.import_module(name)
    later = vars(package).get("_LATER", vars(package).get("_MODULES"))
    assert later is not None
    assert set(later) <= set(package.__all__)


def test_it_is_imported_when_it_is_asked_for() -> None:
    script = (
        "import sys, overlaykit.tree; before = set(sys.modules); overlaykit.tree.tree_digest;"
        "print(*sorted(set(sys.modules) - before))"
    )
    words = [sys.executable, "-c", script]
    assert "overlaykit.tree._compare" in subprocess.check_output(words, text=True).split()


def test_what_its_module_lacks_is_that_modules_error() -> None:
    get, names = lazy_names({"__name__": "overlaykit.tree"}, {"absent": "_change"})
    with pytest.raises(AttributeError, match=r"_change' has no attribute 'absent'"):
        get("absent")
    assert names() == ["__name__", "absent"]
