"""Random operations against a reference model."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from overlaykit.conformance._machine import DriverMachine
from overlaykit.conformance._suite import Suite

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.conformance._subject import Subject

_EXAMPLES = int(os.environ.get("OVERLAYKIT_EXAMPLES", "40"))


class TestProperties(Suite):
    """What no list of cases thinks of."""

    def test_random_operations(self, subject: Subject, space: Path, leaks: None) -> None:
        """Whatever is done, in whatever order, a driver answers and shows what a plain model of a tree does."""
        run_state_machine_as_test(
            functools.partial(DriverMachine, subject, space),  # type: ignore[arg-type]
            settings=settings(
                max_examples=_EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                database=None,
                # The same run everywhere, or a driver would fail by luck; more examples by the environment.
                derandomize=True,
                print_blob=True,
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
