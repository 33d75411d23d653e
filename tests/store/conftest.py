"""Stores for the tests: over a small driver of their own, and over every real one that works here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.plain import PlainPlugin

from overlaykit.plugin import load_plugins, reset_plugins
from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.plugin import PluginManager
    from overlaykit.store import Store


@pytest.fixture(autouse=True)
def plugins() -> Iterator[PluginManager]:
    """The plugin manager, fresh for each test, with the driver ``plain``."""
    reset_plugins()
    manager = load_plugins()
    manager.register(PlainPlugin(), "plain")
    yield manager
    reset_plugins()


@pytest.fixture(params=[pytest.param("plain", marks=pytest.mark.native), "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A new store, with a path and without one."""
    if request.param == "memory":
        with open_store(driver="memory") as made:
            yield made
    else:
        with open_store(tmp_path / "store", driver=request.param, durability="none") as made:
            yield made


@pytest.fixture
def disk_store(tmp_path: Path) -> Iterator[Store]:
    """A new store in ``tmp_path / "store"``."""
    with open_store(tmp_path / "store", driver="plain", durability="none") as made:
        yield made
