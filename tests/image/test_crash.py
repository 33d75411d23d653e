"""Whenever a process is killed, images and containers are as before or as after, and pruning leaves nothing over."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.crash import killed_at, steps_of
from testkit.images import layer, make_image, write_layout

import overlaykit
from overlaykit.image._model import chain_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit.image import ImageStore

pytestmark = pytest.mark.native

_POINTS = 14
"""At how many steps an operation is killed, unless ``OVERLAYKIT_LONG`` is set: then at all."""

BASE = layer({"etc": None, "etc/motd": b"hello\n", **{f"etc/f{n}": b"x" * 50 for n in range(5)}})
APP = layer({"app": None, "app/main": b"run\n" * 100, "etc/.wh.motd": b""})
TOOL = layer({"tool": b"other\n", "etc/f1": b"new"})
NEXT = layer({"next": b"n" * 5000, "d": None, "d/x": b"y"})


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory where there is one: what matters here is the kill, not the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        path = Path(name)
        write_layout(path / "one", {"one:1": make_image([BASE, APP])})
        write_layout(path / "two", {"two:1": make_image([BASE, TOOL])})
        write_layout(path / "three", {"three:1": make_image([BASE, APP, NEXT]), "four:1": make_image([NEXT])})
        (path / "files" / "sub").mkdir(parents=True)
        for number in range(5):
            (path / "files" / "sub" / str(number)).write_text(str(number))
        yield path


def _fill(place: Path, driver: str) -> None:
    with overlaykit.open_store(place / "store", driver=driver, durability="none") as store:
        store.load(place / "one")
        store.load(place / "two")
        with store.create_container("one:1", "box").tree as tree:
            tree.write_text("mine", "m")
        store.create_container("one:1", "spare")
        # Unnamed, and with a layer that nothing else has: what pruning takes.
        with store.container("two:1") as box:
            box.tree.write_text("unnamed", "u")
            box.commit(epoch=0)
        with store.snapshot() as working:
            working.tree.write_text("own", "o")
            working.commit("own")


def _cp(store: ImageStore, place: Path) -> None:
    box = store.open_container("box")
    box.copy_in(place / "files", "copied")
    box.close()


def _commit(store: ImageStore, place: Path) -> None:
    store.open_container("box").commit("made:1", epoch=0, message="a change")


OPERATIONS: dict[str, Callable[[ImageStore, Path], object]] = {
    "load": lambda store, place: store.load(place / "three", references=()),
    "commit": _commit,
    "rmi": lambda store, _: store.remove_image("two:1"),
    "prune": lambda store, _: store.prune(),
    "tag": lambda store, _: store.tag("one:1", "other:1", "two:1"),
    "create": lambda store, _: store.create_container("two:1", "new"),
    "rm": lambda store, _: store.remove_container("spare"),
    "cp": _cp,
}


def _state(store: ImageStore) -> dict[str, Any]:
    """Return all that can be seen, having read all of it."""
    found: dict[str, Any] = {"own": _tree(store, "own")}
    for image in store.images():
        store.history(image)
        assert image.top is not None
        for blob in (*store.manifest(image).layers, store.manifest(image).config):
            assert store.content.size(blob.digest) == blob.size
        found[image.digest] = image.references, _tree(store, image.top)
    for box in store.containers():
        found[box.name] = box.image, _tree(store, box.name)
    return found


def _tree(store: ImageStore, key: str) -> dict[str, bytes | None]:
    with store.tree(key) as tree:
        entries = [entry for _, *parts in tree.walk() for part in parts for entry in part]
        return {entry.path: tree.read_bytes(entry.path) if entry.is_file() else None for entry in entries}


def _check_pruned(store: ImageStore) -> None:
    """Nothing is here but what images and containers use, and what is no image's."""
    used: set[str] = set()
    blobs: set[str] = set()
    for image in store.images():
        used.update(chain_ids(store.config(image).diff_ids))
        blobs.update((image.digest, image.config, *(one.digest for one in store.manifest(image).layers)))
    keys = {info.key for info in store.walk()}
    assert keys == used | {"own"} | {box.name for box in store.containers()}
    assert set(store.content.walk()) == blobs
    assert store.path is not None
    ingest = store.path / "content" / "ingest"
    assert not ingest.exists() or os.listdir(ingest) == []
    assert store.damaged == []
    assert len(store._driver.ids()) == len(keys)
    known = {"overlaykit.json", "lock", "locks", "reserve", "content", "images.lock", "driver"}
    assert {name for name in os.listdir(store.path) if not name.startswith("metadata.db")} <= known


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed(place: Path, driver: str, operation: str) -> None:
    path = place / "store"

    def run() -> None:
        with overlaykit.open_store(path, durability="none") as store:
            OPERATIONS[operation](store, place)

    _fill(place, driver)
    with overlaykit.open_store(path, durability="none") as store:
        before = _state(store)
    count = steps_of(run)
    with overlaykit.open_store(path, durability="none") as store:
        after = _state(store)
    dice = random.Random(f"{operation} {driver}")
    steps = list(range(1, count + 1))
    if "OVERLAYKIT_LONG" not in os.environ and count > _POINTS:
        # Most of the steps at the beginning are those of opening the store.
        steps = sorted({*dice.sample(steps, _POINTS // 2), *dice.sample(steps[count // 3 :], _POINTS // 2)})
    outcomes = set()
    for step in steps:
        shutil.rmtree(path)
        _fill(place, driver)
        killed = killed_at(step, run)
        with overlaykit.open_store(path, durability="none") as store:
            state = _state(store)
            outcomes.add(state == before)
            _check(operation, state, before, after, f"killed at step {step} of {count}")
            store.prune()
            pruned = _state(store)
            gone = state.keys() - pruned.keys()
            assert all(state[key][0] == () for key in gone)
            assert pruned == {key: value for key, value in state.items() if key not in gone}
            _check_pruned(store)
            if not killed:
                continue
            if operation in ("load", "commit"):
                # The same thing again succeeds.
                OPERATIONS[operation](store, place)
                again = _state(store)
                assert {key: again.get(key) for key in after if key not in gone} == {
                    key: value for key, value in after.items() if key not in gone
                }
    assert True in outcomes


def _check(operation: str, state: dict[str, Any], before: dict[str, Any], after: dict[str, Any], when: str) -> None:
    if operation == "cp":
        # Files come one after the other; nothing else changes.
        now, first, last = (one["box"][1] for one in (state, before, after))
        assert {**state, "box": None} == {**before, "box": None}, when
        assert {name: now[name] for name in first} == first, when
        assert first.keys() <= now.keys() <= last.keys(), when
    elif operation == "load":
        # One image after the other.
        assert before.keys() <= state.keys() <= after.keys(), when
        assert state == {key: after[key] for key in state}, when
    else:
        assert state in (before, after), when
