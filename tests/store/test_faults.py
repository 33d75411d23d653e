"""What is changed below our feet, drivers that break their contract, and how much is made durable."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from overlaykit import errors
from overlaykit.driver import Durability, SnapshotKind
from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.store import Store


def _place(store: Store, key: str) -> Path:
    assert store.path is not None
    return store.path / "driver" / "snapshots" / store._engine.find(key).id


def _fill(store: Store) -> None:
    with store.snapshot() as working:
        working.tree.write_text("hello", "hi")
        working.commit("base")
    store.prepare("work", "base")
    store.view("look", "base")


@pytest.mark.native
@pytest.mark.parametrize("reopen", [False, True])
def test_content_that_is_gone_is_told_of_and_never_dropped(tmp_path: Path, reopen: bool) -> None:
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        _fill(store)
        shutil.rmtree(_place(store, "base"))
        shutil.rmtree(_place(store, "work"))
        store.prepare("fine")
        if reopen:
            store.close()
            store = open_store(path)
            assert store.damaged == ["base", "work"]
        uses: list[Callable[[], object]] = [
            lambda: store.tree("base"),
            lambda: store.tree("look"),
            lambda: store.tree("work"),
            lambda: store.tree("work", readonly=True),
            lambda: store.prepare("other", "base"),
            lambda: store.commit("work", "other"),
            lambda: list(store.changes("work")),
            lambda: list(store.changes("base")),
        ]
        for use in uses:
            with pytest.raises(errors.SnapshotDamagedError, match="is missing from the driver plain") as caught:
                use()
            assert caught.value.errno == errno.EUCLEAN
        assert [info.key for info in store.walk()] == ["base", "work", "look", "fine"]
        with pytest.raises(errors.LayerInUseError):
            store.remove("base")
        store.remove("work")
        store.remove("look")
        store.remove("base")
        assert [info.key for info in store.walk()] == ["fine"]
        assert store.damaged == []
        store.close()


@pytest.mark.native
def test_what_nobody_knows_is_removed_at_the_next_open(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        _fill(store)
        kept = store._driver.ids()
        store._driver.prepare("unknown", None)  # type: ignore[arg-type]
        (path / "locks" / "unknown").touch()
    with open_store(path) as store:
        assert store._driver.ids() == kept
        assert not (path / "locks" / "unknown").exists()
        with store.tree("base") as tree:
            assert tree.read_text("hello") == "hi"


@pytest.mark.native
def test_a_store_that_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="none") as store:
        _fill(store)
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(errors.OverlaykitError):
            store.tree("work")
        with pytest.raises(OSError, match="No such file"):
            store.prepare("new", "base")
        (tmp_path / "elsewhere").rename(path)
        assert [info.key for info in store.walk()] == ["base", "work", "look"]
        assert len(store._driver.ids()) == 2
        store.prepare("new", "base")
    with open_store(path) as store:
        assert store.damaged == []
    shutil.rmtree(path / "driver")
    shutil.rmtree(path / "locks")
    with pytest.raises(errors.StoreCorruptError, match="content of all snapshots"):
        open_store(path)


class _Broken:
    """Puts faults into one method of a store's driver."""

    def __init__(self, store: Store, method: str) -> None:
        self.driver: Any = store._driver.driver
        self.method = method
        self.real = getattr(self.driver, method)

    def returns(self, value: object) -> None:
        setattr(self.driver, self.method, lambda *_, **__: value)

    def raises(self, error: BaseException, *, after: bool = False) -> None:
        def broken(*arguments: object, **named: object) -> None:
            if after:
                self.real(*arguments, **named)
            raise error

        setattr(self.driver, self.method, broken)

    def mend(self) -> None:
        setattr(self.driver, self.method, self.real)


def _yields_text() -> Iterator[str]:
    yield "text"


USES: dict[str, Callable[[Store], object]] = {
    "prepare": lambda store: store.prepare("new", "base"),
    "commit": lambda store: store.commit("work", "done"),
    "remove": lambda store: store.remove("work"),
    "tree": lambda store: store.tree("work"),
    "usage": lambda store: store.usage("work"),
    "changes": lambda store: list(store.changes("work")),
    "mounts": lambda store: store.mounts("work"),
    "verify": lambda store: store.verify("base"),
}


@pytest.mark.parametrize("method", USES)
def test_a_driver_that_raises_anything_is_named(store: Store, method: str) -> None:
    _fill(store)
    before = list(store.walk())
    broken = _Broken(store, method)
    for error, expected in (
        (ZeroDivisionError("division\nby zero"), errors.DriverError),
        (KeyError("x"), errors.DriverError),
        (OSError(errno.EIO, "broken disk"), OSError),
        (OSError(errno.ENOSPC, "no space"), errors.StoreFullError),
        (OSError(errno.EROFS, "read-only"), errors.ReadOnlyError),
    ):
        broken.raises(error)
        with pytest.raises(expected) as caught:
            USES[method](store)
        assert type(caught.value) is expected
        if expected is not OSError:
            assert caught.value.__cause__ is error
            assert "\n" not in str(caught.value)
        if expected is errors.DriverError:
            assert store.driver_name in str(caught.value)
            assert "plugin" in str(caught.value)
        broken.mend()
        assert list(store.walk()) == before
        assert len(store._driver.ids()) == 2
    if method not in ("mounts", "verify"):
        result = USES[method](store)
        if method == "tree":
            result.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["tree", "usage", "changes"])
def test_a_driver_that_returns_something_else_is_named(store: Store, method: str) -> None:
    _fill(store)
    broken = _Broken(store, method)
    broken.returns(_yields_text() if method == "changes" else "text")
    with pytest.raises(errors.DriverError, match=f"the driver {store.driver_name} is broken: {method}.* str"):
        USES[method](store)
    broken.mend()


@pytest.mark.parametrize("method", ["prepare", "commit", "remove"])
def test_an_interrupt_after_the_driver_is_done_is_settled(store: Store, method: str) -> None:
    _fill(store)
    broken = _Broken(store, method)
    broken.raises(KeyboardInterrupt(), after=True)
    with pytest.raises(KeyboardInterrupt):
        USES[method](store)
    broken.mend()
    keys = {info.key for info in store.walk()}
    assert (
        keys
        == {
            "prepare": {"base", "work", "look"},
            "commit": {"base", "done", "look"},
            "remove": {"base", "look"},
        }[method]
    )
    assert len(store._driver.ids()) == len(keys - {"look"})
    for key in keys:
        store.tree(key).close()


@pytest.mark.native
def test_a_database_that_fails_after_the_driver_committed_loses_nothing(disk_store: Store) -> None:
    store = disk_store
    _fill(store)
    with store.tree("work") as tree:
        tree.write_text("mine", "m")
    real = store._driver.driver.usage

    def usage(id: Any) -> Any:
        result = real(id)
        with store._metadata.read() as connection:
            connection.execute("PRAGMA query_only = ON")
        return result

    store._driver.driver.usage = usage  # type: ignore[method-assign]
    with pytest.raises(errors.ReadOnlyError):
        store.commit("work", "done")
    store._driver.driver.usage = real  # type: ignore[method-assign]
    with store._metadata.read() as connection:
        connection.execute("PRAGMA query_only = OFF")
    store.prepare("next")
    assert {info.key for info in store.walk()} == {"base", "look", "done", "next"}
    with store.tree("done") as tree:
        assert tree.read_text("mine") == "m"


@pytest.mark.native
@pytest.mark.parametrize("name", ["directory", "overlayfs", "memory"])
def test_open_files_keep_a_commit_away_and_change_nothing(tmp_path: Path, name: str) -> None:
    path = None if name == "memory" else tmp_path / "store"
    try:
        store = open_store(path, driver=name, durability="none")
    except errors.DriverUnavailableError as error:
        pytest.skip(str(error))
    with store:
        store.prepare("work")
        first, second = store.tree("work"), store.tree("work")
        with second.open("file", "w") as file:
            file.write("one")
            file.flush()
            with pytest.raises(errors.LayerInUseError):
                store.commit("work", "done")
            file.write(" two")
            assert not first.closed
            assert not second.closed
            first.write_text("other", "three")
            second.write_text("another", "four")
        assert [info.key for info in store.walk()] == ["work"]
        store.commit("work", "done")
        assert first.closed
        assert second.closed
        with store.tree("done") as tree:
            assert [tree.read_text(entry) for entry in ("file", "other", "another")] == ["one two", "three", "four"]


@pytest.mark.native
@pytest.mark.parametrize(("durability", "level", "raised"), [("none", 0, 0), ("commit", 1, 2), (Durability.FULL, 2, 2)])
def test_durability_sets_how_the_database_syncs(tmp_path: Path, durability: str, level: int, raised: int) -> None:
    with open_store(tmp_path / "store", driver="plain", durability=durability) as store:

        def synchronous(connection: Any) -> int:
            return int(connection.execute("PRAGMA synchronous").fetchone()[0])

        with store._metadata.read() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
            assert synchronous(connection) == level
        with store._metadata.write() as connection:
            assert synchronous(connection) == level
        with store._metadata.write(durable=True) as connection:
            assert synchronous(connection) == raised
        with pytest.raises(ZeroDivisionError), store._metadata.write(durable=True):
            raise ZeroDivisionError
        with store._metadata.read() as connection:
            assert synchronous(connection) == level
        assert store._driver.driver.config.durability == durability
    with pytest.raises(ValueError, match="some"):
        open_store(tmp_path / "store", durability="some")


@pytest.mark.native
def test_what_is_recorded_before_the_storage_changes(tmp_path: Path) -> None:
    """A commit and the removal of a committed snapshot are written down, to the disk, before the driver begins."""
    path = tmp_path / "store"
    with open_store(path, driver="plain", durability="commit") as store:
        _fill(store)
        seen: list[tuple[str, list[tuple[str, int]]]] = []
        driver: Any = store._driver.driver

        def watch(method: str) -> None:
            real = getattr(driver, method)

            def watched(*arguments: Any) -> None:
                with store._metadata.read() as connection:
                    rows = connection.execute("SELECT key, state FROM snapshots WHERE state != 0 ORDER BY n").fetchall()
                seen.append((method, rows))
                real(*arguments)

            setattr(driver, method, watched)

        for method in ("prepare", "commit", "remove"):
            watch(method)
        store.prepare("new", "base")
        store.commit("new", "done")
        store.remove("done")
        assert seen == [("prepare", [("new", 1)]), ("commit", [("done", 2)]), ("remove", [])]
        assert store.stat("work").kind is SnapshotKind.ACTIVE


@pytest.mark.native
def test_nothing_is_left_open(disk_store: Store) -> None:
    store = disk_store
    _fill(store)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        with store.snapshot("base") as working:
            working.tree.write_text("x", "y")
            if number % 2:
                working.commit(f"done {number}")
        with store.tree("base"), store.tree("look"), store.tree("work"):
            pass
        for _ in store.changes("work"):
            pass
        with pytest.raises(errors.ExistsError):
            store.prepare("work")
    assert len(os.listdir("/proc/self/fd")) == before
    assert store._engine.trees._uses == {}
