"""Runs the property tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import run_state_machine_as_test

from ._amount import case_of, examples_of, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from hypothesis.stateful import RuleBasedStateMachine

__all__ = ["run_machine"]


def run_machine(config: pytest.Config, machine: Callable[[], RuleBasedStateMachine]) -> None:
    """Run a state machine with the seed, or on the one case, that the caller asks for."""
    # Shrunk to the shortest case that fails. Nothing is kept between runs: what a seed finds it finds everywhere.
    chosen = settings(
        max_examples=examples_of(config),
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    # A case that does not fail any more is what whoever replays it hopes for.
    with contextlib.suppress(DidNotReproduce):
        run_state_machine_as_test(_decided(config, machine), settings=chosen)  # type: ignore[arg-type]


def _decided(
    config: pytest.Config, machine: Callable[[], RuleBasedStateMachine]
) -> Callable[[], RuleBasedStateMachine]:
    case = case_of(config)
    if case is None:
        return hypothesis.seed(seed_of(config))(machine)
    return hypothesis.reproduce_failure(*case)(machine)
