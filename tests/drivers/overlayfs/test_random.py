"""Random changes: the same result as on an ordinary directory, and changes() equal to comparing the trees."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit.changes import changes, perform
from testkit.dump import differences, dump_directory, dump_tree

from overlaykit.driver import SnapshotId
from overlaykit.tree import HostTree, compare, copy_tree

from .support import base, child, driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit_overlayfs._driver import OverlayfsDriver


def check_layers(made: OverlayfsDriver, host: Path, parent: SnapshotId, number: int, seed: int) -> None:
    for layer in range(3):
        name = f"x{number}l{layer}"
        active = child(made, parent, name)
        steps = changes(host, seed=seed + layer, count=18, superuser=os.geteuid() == 0)
        with made.tree(active, readonly=False) as tree, made.tree(parent, readonly=True) as before:
            for step in steps:
                # XFS says EEXIST where ext4, and every driver, says ENOTEMPTY.
                expected = errno.ENOTEMPTY if step.error == errno.EEXIST and "rename" in step.action else step.error
                assert perform(tree, step) == expected, step
            assert differences(dump_directory(host), dump_tree(tree)) == [], steps
            assert list(made.changes(active, parent)) == list(compare(before, tree)), steps
        committed = SnapshotId(name + "c")
        made.commit(active, committed)
        with made.tree(committed, readonly=True) as tree, made.tree(parent, readonly=True) as before:
            assert differences(dump_directory(host), dump_tree(tree)) == [], steps
            assert list(made.changes(committed, parent)) == list(compare(before, tree)), steps
            assert list(made.changes(committed, None)) is not None
        made.verify(parent)
        parent = committed


def check_random(root: Path) -> None:
    (root / "store").mkdir()
    numbers = iter(range(10_000))
    with driver(root / "store") as made:
        first = base(made)

        @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.integers(0, 2**32))
        def run_one(seed: int) -> None:
            number = next(numbers)
            host = root / f"host{number}"
            host.mkdir(mode=0o755)
            with made.tree(first, readonly=True) as tree, HostTree(os.open(host, os.O_PATH)) as target:
                copy_tree(tree, target)
            check_layers(made, host, first, number, seed)

        run_one()
        made.verify(first)


def test_random_changes(run: Callable[[Callable[[Path], None]], None]) -> None:
    """Three layers of random changes look as they do on a plain directory, and changes() says what compare() says."""
    run(check_random)
