"""Waiting for facts, however long they take on a machine that has much else to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE", "until"]

#: Seconds after which something will never be, even where all takes a hundred times as long as usual.
PATIENCE = 120


def until(fact: Callable[[], object]) -> None:
    """Wait until it is so.

    :raises AssertionError: it was not within :data:`PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end, "it never was so"
        time.sleep(0.01)
