"""Whenever a process is killed, every operation is done or undone when the store is opened next."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.crash import killed_at

from overlaykit.driver import Capability, SnapshotKind
from overlaykit.plugin import load_plugins
from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit.store import Store

pytestmark = pytest.mark.native


@pytest.fixture(params=["plain", "directory", "overlayfs"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each driver that keeps snapshots on a disk."""
    name = str(request.param)
    spec = load_plugins().get(name).spec
    assert Capability.PERSISTENT in spec.capabilities
    probe = load_plugins().probe(name, tmp_path)
    if not probe.usable:
        pytest.skip(f"{name}: {probe.reason}")
    return name


def _fill(store: Store) -> None:
    with store.snapshot() as working:
        working.tree.write_text("hello", "hi")
        working.commit("base", labels={"a": "1"})
    with store.snapshot("base") as working:
        working.tree.write_text("hello", "hi again")
        working.commit("top")
    store.prepare("work", "base", labels={"b": "2"})
    with store.tree("work") as tree:
        tree.write_text("more", "m")
    store.prepare("spare", "base")
    store.view("look", "top")


def _working(store: Store, source: Path) -> None:
    with store.snapshot("base") as working:
        working.tree.write_text("kept", "k")
        working.commit("kept")


def _discarded(store: Store, source: Path) -> None:
    with store.snapshot("base") as working:
        working.tree.write_text("kept", "k")


BEFORE = {
    "base": ("committed", None, {"hello": "hi"}),
    "top": ("committed", "base", {"hello": "hi again"}),
    "work": ("active", "base", {"hello": "hi", "more": "m"}),
    "spare": ("active", "base", {"hello": "hi"}),
    "look": ("view", "top", {"hello": "hi again"}),
}
_UNLOOKED = {key: value for key, value in BEFORE.items() if key != "look"}
OPERATIONS: dict[str, tuple[Callable[[Store, Path], object], dict[str, Any]]] = {
    "prepare": (lambda store, _: store.prepare("new", "base"), {**BEFORE, "new": ("active", "base", {"hello": "hi"})}),
    "prepare-empty": (lambda store, _: store.prepare("new"), {**BEFORE, "new": ("active", None, {})}),
    "view": (lambda store, _: store.view("new", "base"), {**BEFORE, "new": ("view", "base", {"hello": "hi"})}),
    "commit": (
        lambda store, _: store.commit("work", "done"),
        {
            **{key: value for key, value in BEFORE.items() if key != "work"},
            "done": ("committed", "base", {"hello": "hi", "more": "m"}),
        },
    ),
    "remove-active": (lambda store, _: store.remove("spare"), {k: v for k, v in BEFORE.items() if k != "spare"}),
    "remove-view": (lambda store, _: store.remove("look"), _UNLOOKED),
    "working": (_working, {**BEFORE, "kept": ("committed", "base", {"hello": "hi", "kept": "k"})}),
    "discard": (_discarded, BEFORE),
    "import": (
        lambda store, source: store.import_tree(source, "imported"),
        {**BEFORE, "imported": ("committed", None, {"one": "1", "two": "2"})},
    ),
}


def _state(store: Store) -> dict[str, Any]:
    """Return all there is, read back, and check that database, storage and locks agree."""
    found: dict[str, Any] = {}
    for info in store.walk():
        # As one would go on with it: what is half committed may not refuse to be written.
        with store.tree(info.key) as tree:
            found[info.key] = (info.kind.value, info.parent, {name: tree.read_text(name) for name in tree.listdir()})
        if info.kind is SnapshotKind.COMMITTED:
            assert store.usage(info.key).inodes >= 1
        for _ in store.changes(info.key):
            pass
    _check_agreement(store)
    return found


def _check_agreement(store: Store) -> None:
    store.cleanup()
    assert store.damaged == []
    store._metadata.check_integrity()
    with store._metadata.read() as connection:
        rows = connection.execute("SELECT id, kind, state FROM snapshots").fetchall()
    assert {state for _, _, state in rows} <= {0}
    assert store._driver.ids() == {own for own, kind, _ in rows if kind != "view"}
    assert store.path is not None
    assert set(os.listdir(store.path / "locks")) <= {own for own, _, _ in rows}


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: what matters here is the kill, not the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as name:
        yield Path(name)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_every_step(memory_path: Path, driver: str, operation: str) -> None:
    """At every step of a commit; of the rest, unless ``OVERLAYKIT_LONG`` is set, at every second or fifth."""
    action, after = OPERATIONS[operation]
    source = memory_path / "source"
    source.mkdir()
    (source / "one").write_text("1")
    (source / "two").write_text("2")
    dice = random.Random(operation)
    path = memory_path / "store"
    outcomes = set()
    stride = 1 if "OVERLAYKIT_LONG" in os.environ or operation == "commit" else 2 if driver == "plain" else 5
    first = 1 + list(OPERATIONS).index(operation) % stride

    def run() -> None:
        with open_store(path, durability="none") as store:
            action(store, source)

    def reopen() -> None:
        open_store(path, durability="none").close()

    for step in itertools.count(first, stride):
        with open_store(path, driver=driver, durability="none") as store:
            _fill(store)
        killed = killed_at(step, run)
        killed_at(dice.randrange(1, 60), reopen)
        with open_store(path, durability="none") as store:
            state = _state(store)
        assert state in (BEFORE, after), f"killed at step {step}"
        outcomes.add(state == after)
        shutil.rmtree(path)
        if not killed:
            assert state == after
            break
    assert step > 10
    assert True in outcomes


def test_a_working_snapshot_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "store"
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store = open_store(path, driver="plain", durability="none")
            working = store.snapshot(key="of the child")
            working.tree.write_text("x", "y")
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.read(ready, 1)
        with open_store(path) as store:
            assert [info.key for info in store.walk()] == ["of the child"]
            store.cleanup()
            assert [info.key for info in store.walk()] == ["of the child"]
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            store.cleanup()
            assert list(store.walk()) == []
            _check_agreement(store)
    finally:
        os.close(ready)
        os.close(tell)


def _play(path: Path, out: int, seed: int) -> None:
    """Do random operations for ever, saying of each what it does and that it is done."""
    dice = random.Random(seed)

    def say(*words: str) -> None:
        os.write(out, ("\t".join(words) + "\n").encode())

    with open_store(path, durability="none") as store:
        for number in itertools.count():
            infos = list(store.walk())
            active = [info.key for info in infos if info.kind is SnapshotKind.ACTIVE]
            bases = [info.key for info in infos if info.kind is SnapshotKind.COMMITTED]
            leaves = [info.key for info in infos if not store.children(info.key)]
            choice = dice.random()
            name = f"{seed}-{number}"
            if choice < 0.4 or len(infos) < 3:
                say("begin", "+", name)
                store.prepare(name, dice.choice([*bases, None]))
            elif choice < 0.7 and active:
                key = dice.choice(active)
                with store.tree(key) as tree:
                    tree.write_text(name, name)
                say("begin", "-+", key, name)
                store.commit(key, name)
            elif leaves:
                key = dice.choice(leaves)
                say("begin", "-", key)
                store.remove(key)
            say("done")


def _lines(pipe: int) -> Iterator[str]:
    """Yield the lines of a pipe until nobody can write into it any more."""
    with open(pipe) as file:
        for line in file:
            yield line.removesuffix("\n")


def test_killed_at_any_time(memory_path: Path, driver: str) -> None:
    path = memory_path / "store"
    open_store(path, driver=driver, durability="none").close()
    known: set[str] = set()
    operations = 0
    for round_number in range(8):
        output, end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _play(path, end, round_number)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(1)
        os.close(end)
        pending: list[str] = []

        def follow(line: str) -> None:
            nonlocal pending, operations
            if line == "done":
                known.difference_update(pending[1:2] if pending[0].startswith("-") else [])
                known.update(pending[-1:] if pending[0].endswith("+") else [])
                pending = []
                operations += 1
            else:
                pending = line.split("\t")[1:]

        dice = random.Random(round_number)
        lines = _lines(output)
        begin = time.monotonic()
        count = dice.randrange(10, 40)
        whole = operations + count
        for line in lines:
            follow(line)
            if operations == whole:
                break
        # At any moment of the next one or two.
        time.sleep(dice.random() * 2 * (time.monotonic() - begin) / count)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert status == signal.SIGKILL
        for line in lines:
            follow(line)
        with open_store(path, durability="none") as store:
            _check_agreement(store)
            keys = {info.key for info in store.walk()}
            for info in store.walk(kind="committed"):
                with store.tree(info.key) as tree:
                    assert tree.read_text(info.key) == info.key
        if pending:
            gone = set(pending[1:2]) if pending[0].startswith("-") else set()
            new = set(pending[-1:]) if pending[0].endswith("+") else set()
            assert keys in (known, (known - gone) | new)
        else:
            assert keys == known
        known.clear()
        known.update(keys)
