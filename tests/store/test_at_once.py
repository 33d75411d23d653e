"""Many threads, several processes."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from testkit.forks import at_once, forked

from overlaykit import errors
from overlaykit.driver import SnapshotKind
from overlaykit.plugin import load_plugins
from overlaykit.store import open_store
from overlaykit.store._metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.store import Store


def _work(store: Store, name: str, count: int) -> int:
    """Make, commit, view and remove snapshots; return how many are left."""
    for number in range(count):
        key = f"{name}/{number}"
        with store.snapshot("base" if number % 3 else None, labels={"by": name}) as working:
            working.tree.write_text("who", key)
            working.commit(key)
        assert store.stat(key).labels["by"] == name
        store.update_labels(key, {"number": str(number)})
        if number % 5 == 4:
            with pytest.raises(errors.ExistsError):
                store.prepare(key)
            store.view(f"{key} view", key)
            with store.tree(f"{key} view") as tree:
                assert tree.read_text("who") == key
            store.remove(f"{key} view")
            store.remove(key)
    return sum(1 for _ in store.walk(prefix=f"{name}/"))


def _add_base(store: Store) -> None:
    with store.snapshot() as working:
        working.tree.write_text("base", "base")
        working.commit("base")


def _check(store: Store, names: int, count: int) -> None:
    infos = list(store.walk())
    assert len(infos) == 1 + names * (count - count // 5)
    assert {info.kind for info in infos} == {SnapshotKind.COMMITTED}
    assert len(store._driver.ids()) == len(infos)
    for info in infos[1:]:
        with store.tree(info.key) as tree:
            assert tree.read_text("who") == info.key
    store._metadata.check_integrity()


def test_many_threads(store: Store) -> None:
    _add_base(store)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: _work(store, f"t{number}", 50), range(8)))
    assert results == [40] * 8
    _check(store, 8, 50)


@pytest.mark.native
@pytest.mark.parametrize("driver", ["plain", "directory", "overlayfs"])
def test_several_processes(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "store"
    if not load_plugins().probe(driver, tmp_path).usable:
        pytest.skip(load_plugins().probe(driver, tmp_path).reason)
    with open_store(path, driver=driver, durability="none") as store:
        _add_base(store)

    def run(number: int) -> int:
        with open_store(path, durability="none") as store:
            return _work(store, f"p{number}", 30)

    assert at_once([functools.partial(run, number) for number in range(4)]) == [24] * 4
    with open_store(path) as store:
        _check(store, 4, 30)


def test_one_key_has_one_winner_among_threads(store: Store) -> None:
    _add_base(store)
    gate = threading.Barrier(8)

    def race(number: int) -> str:
        gate.wait()
        try:
            store.prepare("wanted", "base", labels={"winner": str(number)})
        except errors.ExistsError:
            return "lost"
        return str(number)

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(race, range(8)))
        assert results.count("lost") == 7
        assert store.stat("wanted").labels["winner"] in results
        assert len(store._driver.ids()) == 2
        store.remove("wanted")


@pytest.mark.native
def test_one_key_has_one_winner_among_processes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        _add_base(store)

    def race(number: int) -> int:
        won = 0
        with open_store(path, durability="none") as store:
            for turn in range(20):
                with contextlib.suppress(errors.ExistsError):
                    store.prepare(f"wanted {turn}", "base")
                    won += 1
        return won

    results = at_once([functools.partial(race, number) for number in range(4)])
    assert sum(results) == 20  # type: ignore[arg-type]
    with open_store(path) as store:
        assert len(list(store.walk())) == len(store._driver.ids()) == 21


def test_one_removal_and_one_commit_win(store: Store) -> None:
    for action in (store.remove, store.commit):
        for turn in range(10):
            store.prepare("work")
            gate = threading.Barrier(6)

            def race(number: int, action: Callable[[str], object] = action, gate: threading.Barrier = gate) -> str:
                gate.wait()
                try:
                    action("work")
                except (errors.NotFoundError, errors.LayerInUseError) as error:
                    return type(error).__name__
                return "won"

            with ThreadPoolExecutor(6) as pool:
                assert list(pool.map(race, range(6))).count("won") == 1, turn
            assert list(store.walk(kind="active")) == []


@pytest.mark.native
def test_another_process_has_to_keep_off_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def intrude() -> list[str]:
        found = []
        with open_store(path, durability="none") as store:
            attempts: list[Callable[[], object]] = [
                lambda: store.tree("work"),
                lambda: store.commit("work"),
                lambda: store.remove("work"),
                lambda: store.remove("base"),
                lambda: store.tree("work", readonly=True).close(),
                lambda: store.tree("base").close(),
                lambda: store.prepare("other", "base"),
            ]
            for attempt in attempts:
                try:
                    attempt()
                except errors.LayerInUseError as error:
                    found.append("busy" if error.users == ("another process",) else str(error))
                else:
                    found.append("done")
            store.remove("other")
        return found

    with open_store(path, driver="plain", durability="none") as store:
        _add_base(store)
        store.prepare("work")
        with store.tree("work"), store.tree("base"):
            assert forked(intrude) == ["busy"] * 4 + ["done"] * 3
        with store.tree("base", readonly=True), open_store(path) as second, pytest.raises(errors.LayerInUseError):
            second.remove("base")
        with store.tree("work"), open_store(path) as second, pytest.raises(errors.LayerInUseError):
            second.tree("work")
        with open_store(path) as second:
            second.tree("work").close()
            second.remove("work")
            with pytest.raises(errors.NotFoundError):
                store.tree("work")


@pytest.mark.native
def test_a_forked_child_has_to_open_the_store_itself(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        _add_base(store)
        store.prepare("work")
        tree = store.tree("work")

        def child() -> str:
            with pytest.raises(errors.StoreClosedError, match="forked"):
                store.stat("base")
            with pytest.raises(errors.StoreClosedError, match="forked"):
                store.prepare("x")
            with open_store(path) as own:
                own.prepare("from the child", "base")
            store.close()
            return "fine"

        assert forked(child) == "fine"
        assert [info.key for info in store.walk()] == ["base", "work", "from the child"]
        tree.write_text("still", "open")
        tree.close()


@pytest.mark.native
def test_a_child_that_lives_on_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "store"
    hold, release = os.pipe()
    with open_store(path, driver="plain", durability="none") as store:
        store.prepare("work")
        tree = store.tree("work")
        child = os.fork()
        if child == 0:
            os.close(release)
            os.read(hold, 1)
            os._exit(0)
        tree.close()
        with open_store(path) as second:
            second.tree("work").close()
            second.remove("work")
    os.close(release)
    os.close(hold)
    os.waitpid(child, 0)


def test_a_store_without_a_path_lives_on_in_a_child() -> None:
    with open_store(driver="memory") as store:
        _add_base(store)

        def child() -> str:
            store.prepare("mine", "base")
            with store.tree("mine") as tree:
                return tree.read_text("base")

        assert forked(child) == "base"
        assert [info.key for info in store.walk()] == ["base"]


@pytest.mark.native
def test_a_blocked_database_is_busy_not_broken(tmp_path: Path) -> None:
    path = tmp_path / "store"
    open_store(path, driver="plain", durability="none").close()
    from overlaykit.driver import Durability

    one = Metadata(path / "metadata.db", Durability.NONE)
    two = Metadata(path / "metadata.db", Durability.NONE, timeout=0.05)
    with one.write(), pytest.raises(errors.StoreBusyError, match="locked by another process") as caught, two.write():
        pass
    assert isinstance(caught.value, BlockingIOError)
    with two.write() as connection:
        connection.execute("SELECT 1")
    one.close()
    two.close()


def test_closing_waits_for_operations(store: Store) -> None:
    _add_base(store)
    outcome: list[str] = []
    started = threading.Event()

    def busy() -> None:
        for number in range(10_000):
            try:
                store.prepare(f"work {number}", "base")
            except errors.StoreClosedError:
                outcome.append("closed")
                return
            started.set()

    threads = [threading.Thread(target=busy)]
    threads[0].start()
    started.wait()
    store.close()
    threads[0].join()
    assert outcome == ["closed"]


@pytest.mark.native
def test_recovery_stays_out_of_operations(tmp_path: Path) -> None:
    """A store opened in the middle of another one's operation takes nothing for the leavings of a crash."""
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        real = store._driver.driver.prepare

        def prepare(id: str, parent: str | None) -> None:
            real(id, parent)  # type: ignore[arg-type]
            assert forked(lambda: open_store(path).close()) is None

        store._driver.driver.prepare = prepare  # type: ignore[method-assign]
        store.prepare("work")
        assert store.stat("work").key == "work"
        with store.tree("work") as tree:
            assert tree.listdir() == []
