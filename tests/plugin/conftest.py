"""Distributions for the tests: real ones, with metadata and entry points, in a directory of their own."""

from __future__ import annotations

import importlib
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Site:
    """A directory like site-packages that distributions can be put into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(
        self, name: str, source: str | None, *, version: str = "1.0", entry: str = "", requires: str = ""
    ) -> None:
        """Put a distribution of one module there.

        :param name: of the distribution, of its module with underscores, and of its plugin unless ``entry`` says else.
        :param source: the module's text; ``None`` for a distribution whose module is missing.
        """
        module = name.replace("-", "_")
        info = self.path / f"{module}-{version}.dist-info"
        info.mkdir()
        requirement = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}")
        (info / "entry_points.txt").write_text(f"[overlaykit]\n{entry or f'{name} = {module}'}\n")
        if source is not None:
            (self.path / f"{module}.py").write_text(HEAD + textwrap.dedent(source))


HEAD = """\
from overlaykit.driver import Capability, DriverSpec, Probe
from overlaykit.plugin import CommandSpec, hookimpl


def works(root):
    return Probe(True, "works")

"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site directory that this process imports from until the end of the test."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)
    yield Site(directory)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(directory) in str(sys.modules[name].__file__):
            del sys.modules[name]
    importlib.invalidate_caches()
