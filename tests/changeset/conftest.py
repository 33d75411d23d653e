"""Stores over every driver that works here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.plain import PlainPlugin

from overlaykit.plugin import load_plugins, reset_plugins
from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.store import Store

DRIVERS = [
    pytest.param("overlayfs", marks=pytest.mark.native),
    pytest.param("directory", marks=pytest.mark.native),
    "memory",
]


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Return what makes a new store over the driver of a name, ``plain`` included."""
    reset_plugins()
    load_plugins().register(PlainPlugin(), "plain")
    stores: list[Store] = []

    def make(driver: str) -> Store:
        path = None if driver == "memory" else tmp_path / f"store-{len(stores)}"
        stores.append(open_store(path, driver=driver, durability="none"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
    reset_plugins()


@pytest.fixture(params=DRIVERS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """A new store over each driver."""
    return make_store(request.param)
