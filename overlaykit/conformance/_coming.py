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


def come_and_go(driver: Driver) -> None:
    """Make a snapshot of each kind and remove them."""
    base, id, committed = new_id(), new_id(), new_id()
    driver.prepare(base, None)
    driver.commit(base, committed)
    driver.prepare(id, committed)
    with driver.tree(id, readonly=False) as tree:
        tree.stat("")
    driver.remove(id)
    driver.remove(committed)
    driver.cleanup()
