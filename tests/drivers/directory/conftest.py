"""A directory driver on every kind of file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from overlaykit_directory import DirectoryDriver

from overlaykit.driver import DriverConfig, Durability

MakeDriver = Callable[..., DirectoryDriver]


@pytest.fixture
def make_driver(place: Path) -> Iterator[MakeDriver]:
    """Return a function that opens the driver on one root, once more at each call."""
    made: list[DirectoryDriver] = []
    (place / "driver").mkdir()

    def make(durability: Durability = Durability.NONE) -> DirectoryDriver:
        made.append(DirectoryDriver(DriverConfig(place / "driver", durability)))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> DirectoryDriver:
    """Return a driver."""
    return make_driver()
