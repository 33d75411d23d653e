"""Snapshots from making to removing."""

from __future__ import annotations

import datetime
import sqlite3
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.driver import ChangeKind, SnapshotKind, Usage
from overlaykit.plugin import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.driver import SnapshotInfo
    from overlaykit.plugin import PluginManager, StoreInfo
    from overlaykit.store import Store


def _base(store: Store, name: str = "base") -> SnapshotInfo:
    with store.snapshot() as working:
        working.tree.write_text("hello", "hi")
        return working.commit(name)


def test_prepare_commit_and_use_as_a_parent(store: Store) -> None:
    made = store.prepare("work", labels={"a": "1"})
    assert (made.key, made.kind, made.parent, dict(made.labels)) == ("work", SnapshotKind.ACTIVE, None, {"a": "1"})
    assert store.stat("work") == made
    with store.tree("work") as tree:
        tree.write_text("hello", "hi")
    done = store.commit("work", "base", labels={"b": "2"})
    assert (done.key, done.kind, dict(done.labels)) == ("base", SnapshotKind.COMMITTED, {"a": "1", "b": "2"})
    assert store.stat("base") == done
    with pytest.raises(errors.NotFoundError, match="'work'"):
        store.stat("work")
    above = store.prepare("above", "base")
    assert above.parent == "base"
    with store.tree("above") as tree:
        assert tree.read_text("hello") == "hi"
        tree.write_text("more", "x")
    assert [(change.kind, change.path) for change in store.changes("above") if change.path != "."] == [
        (ChangeKind.ADDED, "more")
    ]
    assert store.children("base") == ["above"]


def test_a_view_shows_its_parent_read_only_and_keeps_it(store: Store) -> None:
    _base(store)
    view = store.view("look", "base")
    assert (view.kind, view.parent) == (SnapshotKind.VIEW, "base")
    with store.tree("look") as tree:
        assert tree.readonly
        assert tree.read_text("hello") == "hi"
    assert list(store.changes("look")) == []
    assert store.usage("look") == Usage(0, 0)
    with pytest.raises(errors.ReadOnlyError):
        store.tree("look", readonly=False)
    with pytest.raises(errors.SnapshotKindError):
        store.commit("look", "other")
    with pytest.raises(errors.SnapshotKindError):
        store.prepare("x", "look")
    with pytest.raises(errors.LayerInUseError) as caught:
        store.remove("base")
    assert caught.value.users == ("look",)
    store.remove("look")
    store.remove("base")
    assert list(store.walk()) == []


def test_a_committed_snapshot_is_read_only(store: Store) -> None:
    _base(store)
    with pytest.raises(errors.ReadOnlyError):
        store.tree("base", readonly=False)
    with store.tree("base") as tree, pytest.raises(OSError, match=r"[Rr]ead-only"):
        tree.write_text("hello", "changed")
    with pytest.raises(errors.SnapshotKindError):
        store.commit("base", "again")


def test_times_are_aware_and_move_with_labels(store: Store) -> None:
    before = datetime.datetime.now(datetime.UTC)
    made = store.prepare("work")
    assert made.created.tzinfo is datetime.UTC
    assert before - datetime.timedelta(seconds=1) < made.created <= datetime.datetime.now(datetime.UTC)
    assert made.updated == made.created
    changed = store.update_labels("work", {"a": "1"})
    assert changed.created == made.created
    assert changed.updated > made.updated


def test_labels_are_set_deleted_and_replaced_at_once(store: Store) -> None:
    store.prepare("work", labels={"a": "1", "b": "2"})
    assert dict(store.update_labels("work", {"b": None, "c": "3", "never": None}).labels) == {"a": "1", "c": "3"}
    assert dict(store.update_labels("work", {"d": ""}, replace=True).labels) == {"d": ""}
    with pytest.raises(errors.InvalidNameError):
        store.update_labels("work", {"e": "5", "f": 6})  # type: ignore[dict-item]
    assert dict(store.stat("work").labels) == {"d": ""}
    with pytest.raises(errors.NotFoundError):
        store.update_labels("nothing", {})
    with pytest.raises(TypeError):
        store.stat("work").labels["x"] = "y"  # type: ignore[index]


def test_a_taken_key_is_refused_and_nothing_is_left(store: Store) -> None:
    _base(store)
    store.prepare("work")
    attempts: list[Callable[[], object]] = [
        lambda: store.prepare("base"),
        lambda: store.prepare("work", "base"),
        lambda: store.view("work", "base"),
        lambda: store.commit("work", "base"),
        lambda: store.commit("work", "work"),
    ]
    for make in attempts:
        with pytest.raises(errors.ExistsError) as caught:
            make()
        assert isinstance(caught.value, FileExistsError)
    assert [info.key for info in store.walk()] == ["base", "work"]
    assert len(store._driver.ids()) == 2
    with store.tree("work") as tree:
        tree.write_text("still", "writable")


def test_a_key_is_free_again_after_removal_and_commit(store: Store) -> None:
    store.prepare("work")
    store.commit("work", "one")
    store.prepare("work", "one")
    store.remove("work")
    store.prepare("work", "one")
    store.commit("work")
    assert len(list(store.walk())) == 2


def test_the_parent_must_be_there_and_committed(store: Store) -> None:
    store.prepare("active")
    with pytest.raises(errors.NotFoundError):
        store.prepare("work", "nothing")
    with pytest.raises(errors.SnapshotKindError, match="active"):
        store.prepare("work", "active")
    with pytest.raises(errors.SnapshotKindError):
        store.view("work", "active")
    with pytest.raises(errors.NotFoundError):
        store.view("work", "nothing")
    assert [info.key for info in store.walk()] == ["active"]


def test_children_are_named_when_they_keep_a_parent(store: Store) -> None:
    _base(store)
    for number in range(5):
        store.prepare(f"work {number}", "base")
    with pytest.raises(errors.LayerInUseError, match=r"'work 0', 'work 1', 'work 2' and 2 more are over it") as caught:
        store.remove("base")
    assert caught.value.users == tuple(f"work {number}" for number in range(5))
    assert store.stat("base").kind is SnapshotKind.COMMITTED


def test_walk_filters(store: Store) -> None:
    _base(store)
    store.prepare("app/one", "base", labels={"team": "red", "x": "1"})
    store.prepare("app/two", "base", labels={"team": "blue"})
    store.view("look", "base", labels={"team": "red"})
    store.prepare("APP/none")

    def keys(**filters: object) -> list[str]:
        return [info.key for info in store.walk(**filters)]  # type: ignore[arg-type]

    assert keys() == ["base", "app/one", "app/two", "look", "APP/none"]
    assert keys(kind="active") == ["app/one", "app/two", "APP/none"]
    assert keys(kind=SnapshotKind.VIEW) == ["look"]
    assert keys(parent=None) == ["base", "APP/none"]
    assert keys(parent="base") == ["app/one", "app/two", "look"]
    assert keys(parent="nothing") == []
    assert keys(labels={"team": "red"}) == ["app/one", "look"]
    assert keys(labels={"team": "red", "x": None}) == ["app/one"]
    assert keys(prefix="app/") == ["app/one", "app/two"]
    assert keys(prefix="%") == []
    assert keys(prefix="app/", labels={"team": "blue"}, kind="active", parent="base") == ["app/two"]
    with pytest.raises(ValueError, match="kind"):
        store.walk(kind="kind")


def test_the_store_can_be_used_inside_walk(store: Store) -> None:
    for number in range(600):
        store.prepare(f"work {number}")
    seen: list[str] = []
    for info in store.walk():
        assert store.stat(info.key) == info
        store.remove(info.key)
        if len(seen) < 5:
            store.prepare(f"new {info.key}")
        seen.append(info.key)
    assert seen[:600] == [f"work {number}" for number in range(600)]
    assert len(seen) == len(set(seen))


def test_leaving_a_working_snapshot_discards_it(store: Store) -> None:
    working = store.snapshot(key="work")
    tree = working.tree
    tree.write_text("x", "y")
    with pytest.raises(ZeroDivisionError), working:
        raise ZeroDivisionError
    assert tree.closed
    assert list(store.walk()) == []
    assert store._driver.ids() == set()
    with pytest.raises(errors.StoreClosedError):
        _ = working.tree
    working.discard()


def test_a_working_snapshot_is_committed_once(store: Store) -> None:
    with store.snapshot(labels={"a": "1"}) as working:
        assert working.info.labels == {"a": "1"}
        assert working.tree is working.tree
        working.tree.write_text("x", "y")
        assert [change.path for change in working.changes() if change.path != "."] == ["x"]
        done = working.commit()
        with pytest.raises(errors.StoreClosedError):
            working.commit()
    assert store.stat(done.key) == done == working.info
    with store.tree(done.key) as tree:
        assert tree.read_text("x") == "y"


def test_a_failed_commit_leaves_a_working_snapshot_usable(store: Store) -> None:
    _base(store)
    with store.snapshot("base") as working:
        working.tree.write_text("x", "y")
        with pytest.raises(errors.ExistsError):
            working.commit("base")
        working.tree.write_text("x", "z")
        working.commit("other")
    with store.tree("other") as tree:
        assert tree.read_text("x") == "z"


def test_somebody_elses_tree_is_in_the_way_of_removal(store: Store) -> None:
    store.prepare("work")
    tree = store.tree("work")
    reader = store.tree("work", readonly=True)
    with pytest.raises(errors.LayerInUseError, match="2 of its trees are open"):
        store.remove("work")
    tree.close()
    with pytest.raises(errors.LayerInUseError, match="1 of its trees is open"):
        store.remove("work")
    reader.close()
    store.remove("work")
    with store.snapshot(key="other") as working:
        working.tree.write_text("x", "y")
        foreign = store.tree("other")
        with pytest.raises(errors.LayerInUseError):
            working.discard()
        foreign.close()


def test_a_tree_that_is_read_keeps_a_committed_snapshot(store: Store) -> None:
    _base(store)
    with store.tree("base"), pytest.raises(errors.LayerInUseError):
        store.remove("base")
    store.remove("base")


def test_commit_closes_all_trees(store: Store) -> None:
    store.prepare("work")
    trees = [store.tree("work"), store.tree("work"), store.tree("work", readonly=True)]
    trees[0].write_text("x", "y")
    assert trees[1].read_text("x") == trees[2].read_text("x") == "y"
    store.commit("work", "done")
    assert all(tree.closed for tree in trees)
    with pytest.raises(errors.StoreClosedError):
        trees[0].read_text("x")


@pytest.mark.leaks("a tree is dropped on purpose")
@pytest.mark.filterwarnings("ignore:unclosed tree:ResourceWarning")
def test_a_dropped_tree_is_in_nobodys_way(store: Store) -> None:
    store.prepare("work")
    tree = store.tree("work")
    tree.write_text("x", "y")
    del tree
    store.remove("work")


def test_usage_of_a_committed_snapshot_is_recorded(store: Store) -> None:
    _base(store)
    usage = store.usage("base")
    assert usage.inodes >= 2
    assert store._engine.find("base").usage == usage
    store.prepare("work", "base")
    before = store.usage("work")
    with store.tree("work") as tree:
        tree.write_bytes("big", b"x" * 100_000)
    assert store.usage("work").bytes >= before.bytes + 100_000


def test_a_closed_store_refuses_everything(store: Store) -> None:
    _base(store)
    store.prepare("work", "base")
    tree = store.tree("work")
    working = store.snapshot("base")
    walk = store.walk()
    store.close()
    store.close()
    assert store.closed
    assert tree.closed
    for use in (
        lambda: store.prepare("x"),
        lambda: store.view("x", "base"),
        lambda: store.commit("work"),
        lambda: store.remove("work"),
        lambda: store.stat("work"),
        lambda: next(walk),
        lambda: store.walk(),
        lambda: store.children("base"),
        lambda: store.usage("work"),
        lambda: store.changes("work"),
        lambda: store.mounts("work"),
        lambda: store.verify("base"),
        lambda: store.tree("work"),
        lambda: store.update_labels("work", {}),
        lambda: store.snapshot(),
        lambda: store.cleanup(),
        lambda: working.commit(),
        lambda: store.__enter__(),
    ):
        with pytest.raises(errors.StoreClosedError) as caught:
            use()
        assert isinstance(caught.value, ValueError)


def test_plugins_hear_of_commits_and_can_refuse_removals(store: Store, plugins: PluginManager) -> None:
    heard: list[tuple[str | None, str, str]] = []

    class Guard:
        @hookimpl
        def overlaykit_after_commit(self, store: StoreInfo, snapshot: SnapshotInfo) -> None:
            heard.append((store.path, store.driver, snapshot.key))

        @hookimpl
        def overlaykit_before_remove(self, store: StoreInfo, snapshot: SnapshotInfo) -> str | None:
            return "it is precious" if snapshot.labels.get("precious") else None

    plugins.register(Guard(), "guard")
    _base(store)
    assert heard == [(None if store.path is None else str(store.path), store.driver_name, "base")]
    store.update_labels("base", {"precious": "yes"})
    with pytest.raises(errors.RemovalVetoedError, match="it is precious") as caught:
        store.remove("base")
    assert isinstance(caught.value, PermissionError)
    store.update_labels("base", {"precious": None})
    store.remove("base")


def test_foreign_keys_hold(store: Store) -> None:
    _base(store)
    store.prepare("work", "base")
    with pytest.raises(sqlite3.IntegrityError), store._metadata.write() as connection:
        connection.execute("DELETE FROM snapshots WHERE key = 'base'")
    store._metadata.check_integrity()
