"""How much the property tests try, and with which seed."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest

__all__ = ["case_of", "examples_of", "seed_of"]

_EXAMPLES = 40
_SEED = 5
"""One with which so many examples find the mistakes that the suite is tested with."""


def seed_of(config: pytest.Config) -> int:
    """Return the seed: with one seed, one hypothesis and one number of examples it is always the same run."""
    seed: int | None = config.getoption("--overlaykit-seed")
    return _SEED if seed is None else seed


def examples_of(config: pytest.Config) -> int:
    """Return how many examples are tried, by the option or ``OVERLAYKIT_EXAMPLES``.

    :raises pytest.UsageError: that is no number from 1 on.
    """
    given = config.getoption("--overlaykit-examples") or os.environ.get("OVERLAYKIT_EXAMPLES") or _EXAMPLES
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        raise pytest.UsageError(f"the number of examples is {given!r}, not a number from 1 on")
    return number


def case_of(config: pytest.Config) -> tuple[str, bytes] | None:
    """Return the one example to try, as hypothesis names it: its version and a blob; ``None`` for all examples.

    :raises pytest.UsageError: it is not of the form that a report has, or of another version of hypothesis.
    """
    case = config.getoption("--overlaykit-case")
    if case is None:
        return None
    made, _, blob = case.partition(":")
    installed = version("hypothesis")
    if made != installed or not blob:
        raise pytest.UsageError(
            f"the case {case!r:.40} is not of hypothesis {installed}, which is installed; "
            "leave it out: the seed and the number of examples find it again"
        )
    return made, blob.encode()
