"""A snapshot that comes and goes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ..driver import SnapshotId

if TYPE_CHECKING:
    from ..driver import Driver

__all__ = ["come_and_go", "new_id"]

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_id() -> SnapshotId:
    """Return an id as the store gives drivers."""
    return SnapshotId("".join(secrets.choice(_ALPHABET) for _ in range(26)))


def come_and_go(driver: Driver, parent: SnapshotId | None) -> None:
    """Make an empty snapshot over ``parent`` and remove it, then one of each kind without a parent."""
    over, alone, committed = new_id(), new_id(), new_id()
    driver.prepare(over, parent)
    with driver.tree(over, readonly=False) as tree:
        tree.stat("")
    driver.remove(over)
    driver.prepare(alone, None)
    driver.commit(alone, committed)
    driver.remove(committed)
    driver.cleanup()
