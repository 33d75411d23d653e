"""A driver and a writable tree in it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from overlaykit_memory import MemoryDriver

from overlaykit.driver import DriverConfig, SnapshotId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit_memory import MemoryTree


@pytest.fixture
def driver() -> Iterator[MemoryDriver]:
    with MemoryDriver(DriverConfig(None)) as driver:
        yield driver


@pytest.fixture
def tree(driver: MemoryDriver) -> Iterator[MemoryTree]:
    """A writable tree of an empty snapshot ``active``."""
    driver.prepare(SnapshotId("active"), None)
    with driver.tree(SnapshotId("active"), readonly=False) as tree:
        yield tree


@pytest.fixture
def layered(driver: MemoryDriver) -> Callable[[Callable[[MemoryTree], object]], MemoryTree]:
    """Return a function that fills a base layer, commits it and returns the writable tree of a child of it."""
    numbers = itertools.count()

    def make(fill: Callable[[MemoryTree], object]) -> MemoryTree:
        number = next(numbers)
        work, base, child = (SnapshotId(f"{word}{number}") for word in ("work", "base", "child"))
        driver.prepare(work, None)
        with driver.tree(work, readonly=False) as tree:
            fill(tree)
        driver.commit(work, base)
        driver.prepare(child, base)
        return driver.tree(child, readonly=False)

    return make
