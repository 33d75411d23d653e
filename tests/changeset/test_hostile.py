"""What means harm or is broken is refused in one line, leaves nothing, and nothing of it gets out of the root."""

from __future__ import annotations

import gzip
import io
import os
import re
from typing import TYPE_CHECKING

import pytest
from testkit.hostile import BASE, LAYERS, LIMITS, TAKEN
from testkit.layer_model import archive, f
from testkit.rich import run_as

from overlaykit import errors
from overlaykit.store import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native


def _held(store: Store, root: Path) -> object:
    """Return all that could have been left."""
    found: list[object] = [
        sorted(info.key for info in store.walk()),
        sorted(store._driver.ids()),
        sorted(store.content.walk()),
        sorted(os.listdir(root)),
        os.listdir(root / "beside"),
    ]
    if store.path is not None:
        # What the driver removes later is in its own place for that.
        found += [sorted(os.listdir(store.path)), sorted(os.listdir(store.path / "locks"))]
    return found


def _refusals(driver: str, root: Path) -> None:
    (root / "beside").mkdir()
    wrong = []
    with open_store(None if driver == "memory" else root / "store", driver=driver, durability="none") as store:
        base = store.apply(io.BytesIO(BASE)).snapshot.key
        store.tree(base).close()
        before = _held(store, root)
        for name, bad in LAYERS.items():
            try:
                store.apply(io.BytesIO(bad.blob()), base, "bad", limits=LIMITS, **bad.wanted)
            except errors.OverlaykitError as error:
                if type(error) is not bad.error or not re.search(bad.says, str(error)) or "\n" in str(error):
                    wrong.append(f"{name}: {type(error).__name__}: {error}")
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
            else:
                wrong.append(f"{name}: it was taken")
                store.remove("bad")
            if _held(store, root) != before:
                wrong.append(f"{name}: left {_held(store, root)} and not {before}")
                before = _held(store, root)
        store.cleanup()
        assert _held(store, root) == before
        store.apply(io.BytesIO(gzip.compress(archive([f("after", "all")]))), base, "good", limits=LIMITS)
        with store.tree("good") as tree:
            assert tree.read_text("after") == "all"
            assert tree.read_text("d/old") == "old"
    assert not wrong, "\n".join(wrong)


def test_there_are_enough() -> None:
    assert len(LAYERS) >= 60


@pytest.mark.parametrize("user", ["own", "nobody"])
@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_refused(reachable: Path, driver: str, user: str) -> None:
    run_as(user, reachable / "run", lambda root: _refusals(driver, root))


def _escapes(driver: str, root: Path) -> None:
    (root / "beside").mkdir()
    wrong = []
    with open_store(None if driver == "memory" else root / "store", driver=driver, durability="none") as store:
        base = store.apply(io.BytesIO(BASE)).snapshot.key
        with store.tree(base) as tree:
            lower = {entry.path for _, *parts in tree.walk() for entries in parts for entry in entries}
        for name, (blob, new) in TAKEN.items():
            key = store.apply(io.BytesIO(blob()), base, limits=LIMITS).snapshot.key
            with store.tree(key) as tree:
                found = {entry.path for _, *parts in tree.walk() for entries in parts for entry in entries}
            if not new <= found:
                wrong.append(f"{name}: {found - lower}")
            if not {path.partition("/")[0] for path in found} <= {path.partition("/")[0] for path in lower | new}:
                wrong.append(f"{name}: more than was wanted: {found - lower}")
            if os.listdir(root / "beside") or sorted(os.listdir(root)) != sorted({"beside", *_of(store)}):
                wrong.append(f"{name}: got out: {os.listdir(root)}")
    assert not wrong, "\n".join(wrong)


def _of(store: Store) -> list[str]:
    return [] if store.path is None else [store.path.name]


@pytest.mark.parametrize("user", ["own", "nobody"])
@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_what_climbs_stays_inside(reachable: Path, driver: str, user: str) -> None:
    run_as(user, reachable / "run", lambda root: _escapes(driver, root))
