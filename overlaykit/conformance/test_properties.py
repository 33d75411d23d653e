"""Random operations against a reference model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from overlaykit.conformance._machine import DriverMachine
from overlaykit.conformance._property import run_machine
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from overlaykit.conformance._subject import Subject


class TestProperties(Suite):
    """What no list of cases thinks of."""

    def test_random_operations(self, subject: Subject, space: Path, leaks: None, pytestconfig: pytest.Config) -> None:
        """Whatever is done, in whatever order, a driver answers and shows what a plain model of a tree does."""
        run_machine(pytestconfig, functools.partial(DriverMachine, subject, space))
