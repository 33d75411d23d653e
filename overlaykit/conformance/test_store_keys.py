"""Keys, names, labels and walks of a store over the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._suite import Suite
from overlaykit.driver import SnapshotKind
from overlaykit.errors import ExistsError, InvalidNameError, NameTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._store import StoreRig
    from overlaykit.driver import SnapshotInfo

_KEYS = {
    "slash": "a/b/c",
    "absolute": "/etc/passwd",
    "dots": "..",
    "up": "../../../etc/passwd",
    "dot": ".",
    "space": " ",
    "newline": "a\nb",
    "tab": "\t",
    "emoji": "😀🐳",
    "chinese": "层",
    "accent": "é",
    "decomposed": "e\u0301",
    "quote": "'\";--",
    "percent": "%s%d%n",
    "glob": "*?[a]",
    "like": "a_b%c",
    "backslash": "a\\b",
    "dash": "--help",
    "colon": "registry:5000/app:1@sha256:0",
    "long": "k" * 4096,
    "very-long": "k" * 65536,
}


def _keys(infos: object) -> list[str]:
    return [info.key for info in infos]  # type: ignore[attr-defined]


def _shelf(bench: StoreRig) -> None:
    """A store with all kinds, two bases, and labels."""
    bench.base("base")
    bench.base("other")
    bench.base("top", {}, "base")
    bench.store.update_labels("base", {"role": "base", "team": "a"})
    bench.store.update_labels("other", {"role": "base", "team": "b"})
    bench.store.prepare("app/1", "base", labels={"team": "a"})
    bench.store.prepare("app/2", "top", labels={"team": "b"})
    bench.store.prepare("alone")
    bench.store.view("look", "top")


class TestStoreKeys(Suite):
    """Any text can be a key, and never becomes a path."""

    @pytest.mark.parametrize("key", _KEYS.values(), ids=_KEYS)
    def test_key(self, bench: StoreRig, key: str) -> None:
        """This text is a key, a name, a parent and a label like any other."""
        store = bench.store
        store.prepare(key, labels={"k": key[:4096]})
        bench.write(key, {"f": "1"})
        store.commit(key, "passing")
        store.prepare("again", "passing")
        store.commit("again", key, labels={"k": key[:4096]})
        store.prepare("child", key)
        assert bench.sees("child") == {"f": b"1"}
        assert (store.stat("child").parent, store.children(key), bench.keys()) == (
            key,
            ["child"],
            ["passing", key, "child"],
        )
        assert store.stat(key).labels == {"k": key[:4096]}
        for gone in ("child", key, "passing"):
            store.remove(gone)
        assert bench.keys() == []

    def test_all_keys_together(self, bench: StoreRig) -> None:
        """All these keys live beside each other."""
        for key in _KEYS.values():
            bench.store.prepare(key)
        assert bench.keys() == list(_KEYS.values())

    @pytest.mark.parametrize("key", ["", "\udcff", "a\0b"], ids=["empty", "surrogate", "nul"])
    def test_invalid_key(self, bench: StoreRig, key: str) -> None:
        """An empty key, one that is no Unicode text and one with a NUL is an InvalidNameError everywhere."""
        bench.base("base")
        bench.store.prepare("key")
        store = bench.store
        operations: list[Callable[[], object]] = [
            lambda: store.prepare(key),
            lambda: store.prepare("new", key),
            lambda: store.view(key, "base"),
            lambda: store.commit(key, "x"),
            lambda: store.commit("key", key),
            lambda: store.stat(key),
            lambda: store.remove(key),
            lambda: store.tree(key),
            lambda: store.usage(key),
            lambda: store.changes(key),
            lambda: store.update_labels(key, {}),
            lambda: store.children(key),
        ]
        for operation in operations:
            with pytest.raises(InvalidNameError):
                operation()
        assert bench.keys() == ["base", "key"]

    def test_key_too_long(self, bench: StoreRig) -> None:
        """A key of more than 65,536 bytes, or one of 10 MB, is a NameTooLongError, and its message is short."""
        for key in ("k" * 65537, "é" * 32769, "k" * 10_000_000):
            with pytest.raises(NameTooLongError) as caught:
                bench.store.prepare(key)
            assert len(str(caught.value)) < 500
        assert bench.keys() == []

    def test_duplicate_keys(self, bench: StoreRig) -> None:
        """Keys and names share one namespace: one that is taken is an ExistsError, for whatever kind."""
        bench.base("base")
        store = bench.store
        store.prepare("active", "base")
        store.view("view", "base")
        for taken in ("base", "active", "view"):
            with pytest.raises(ExistsError):
                store.prepare(taken)
            with pytest.raises(ExistsError):
                store.view(taken, "base")
            with pytest.raises(ExistsError):
                bench.base(taken)
        store.prepare("more")
        for taken in ("base", "active", "view"):
            with pytest.raises(ExistsError):
                store.commit("more", taken)
        assert sorted(bench.keys()) == ["active", "base", "more", "view"]

    def test_case_and_form_matter(self, bench: StoreRig) -> None:
        """Keys that differ in case or in Unicode form are different keys."""
        for key in ("key", "KEY", "é", "e\u0301"):
            bench.store.prepare(key)
        assert len(bench.keys()) == 4

    # -- labels --------------------------------------------------------------------------------------------------

    def test_labels_are_updated(self, bench: StoreRig) -> None:
        """update_labels sets, replaces and deletes labels, and leaves the rest of the snapshot as it was."""
        before = bench.store.prepare("key", labels={"a": "1", "b": "2"})
        after = bench.store.update_labels("key", {"a": "new", "b": None, "c": "3", "missing": None})
        assert dict(after.labels) == {"a": "new", "c": "3"}
        assert after == bench.store.stat("key")
        assert (after.key, after.kind, after.parent, after.created) == (
            before.key,
            before.kind,
            before.parent,
            before.created,
        )
        assert after.updated >= before.updated

    def test_labels_are_replaced(self, bench: StoreRig) -> None:
        """With replace, labels that are not given are deleted."""
        bench.store.prepare("key", labels={"a": "1", "b": "2"})
        assert dict(bench.store.update_labels("key", {"c": "3"}, replace=True).labels) == {"c": "3"}

    def test_labels_of_every_kind(self, bench: StoreRig) -> None:
        """Committed snapshots and views have labels too, though their content never changes."""
        bench.base("base", {"f": "1"})
        bench.store.view("view", "base", labels={"v": "1"})
        bench.store.update_labels("base", {"b": "1"})
        assert [dict(bench.store.stat(key).labels) for key in ("base", "view")] == [{"b": "1"}, {"v": "1"}]
        assert bench.sees("base") == {"f": b"1"}

    def test_labels_at_commit(self, bench: StoreRig) -> None:
        """A commit keeps the labels and adds its own over them."""
        bench.store.prepare("key", labels={"a": "1", "b": "2"})
        assert dict(bench.store.commit("key", "name", labels={"b": "new", "c": "3"}).labels) == {
            "a": "1",
            "b": "new",
            "c": "3",
        }

    def test_labels_are_not_inherited(self, bench: StoreRig) -> None:
        """A snapshot does not have its parent's labels."""
        bench.base("base")
        bench.store.update_labels("base", {"a": "1"})
        assert dict(bench.store.prepare("key", "base").labels) == {}

    def test_labels_cannot_be_changed_from_outside(self, bench: StoreRig) -> None:
        """The labels that stat gives are a value: nobody changes the store's through them."""
        labels = {"a": "1"}
        info = bench.store.prepare("key", labels=labels)
        labels["a"] = "2"
        with pytest.raises((TypeError, AttributeError)):
            info.labels["a"] = "3"  # type: ignore[index]
        with pytest.raises(AttributeError):
            info.parent = "other"  # type: ignore[misc]
        assert bench.store.stat("key").labels == {"a": "1"}

    def test_label_texts(self, bench: StoreRig) -> None:
        """Label values are any text, the empty one too."""
        labels = {"empty": "", "emoji/😀": "🐳", "json": '{"a": [1]}', "lines": "a\nb", "long": "v" * 10_000}
        bench.store.prepare("key", labels=labels)
        assert dict(bench.store.stat("key").labels) == labels

    # -- walk ----------------------------------------------------------------------------------------------------

    def test_walk(self, bench: StoreRig) -> None:
        """walk() yields every snapshot once, a parent before its children, with what stat says."""
        _shelf(bench)
        infos = list(bench.store.walk())
        assert sorted(_keys(infos)) == ["alone", "app/1", "app/2", "base", "look", "other", "top"]
        assert infos == [bench.store.stat(info.key) for info in infos]
        order = _keys(infos)
        assert all(info.parent is None or order.index(info.parent) < order.index(info.key) for info in infos)

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"kind": "committed"}, ["base", "other", "top"]),
            ({"kind": SnapshotKind.ACTIVE}, ["alone", "app/1", "app/2"]),
            ({"kind": "view"}, ["look"]),
            ({"parent": "base"}, ["app/1", "top"]),
            ({"parent": "top"}, ["app/2", "look"]),
            ({"parent": None}, ["alone", "base", "other"]),
            ({"parent": "missing"}, []),
            ({"labels": {"team": "a"}}, ["app/1", "base"]),
            ({"labels": {"team": "a", "role": "base"}}, ["base"]),
            ({"labels": {"role": None}}, ["base", "other"]),
            ({"labels": {"team": "c"}}, []),
            ({"prefix": "app/"}, ["app/1", "app/2"]),
            ({"prefix": "%"}, []),
            ({"prefix": ""}, ["alone", "app/1", "app/2", "base", "look", "other", "top"]),
            ({"kind": "active", "parent": "top", "labels": {"team": "b"}, "prefix": "app"}, ["app/2"]),
        ],
        ids=str,
    )
    def test_walk_filters(self, bench: StoreRig, filters: dict[str, object], expected: list[str]) -> None:
        """walk() yields exactly the snapshots that pass all filters."""
        _shelf(bench)
        assert sorted(_keys(bench.store.walk(**filters))) == expected  # type: ignore[arg-type]

    def test_walk_of_an_unknown_kind(self, bench: StoreRig) -> None:
        """A kind that does not exist is a ValueError at once."""
        with pytest.raises(ValueError, match="nonsense"):
            bench.store.walk(kind="nonsense")

    def test_stat_inside_a_walk(self, bench: StoreRig) -> None:
        """The store can be asked while it is walked."""
        _shelf(bench)
        found: list[SnapshotInfo] = [bench.store.stat(info.key) for info in bench.store.walk()]
        assert len(found) == 7

    def test_remove_inside_a_walk(self, bench: StoreRig) -> None:
        """Snapshots can be removed while the store is walked."""
        for number in range(30):
            bench.store.prepare(f"key{number}")
        for info in bench.store.walk():
            bench.store.remove(info.key)
        assert bench.keys() == []

    def test_prepare_inside_a_walk(self, bench: StoreRig) -> None:
        """Snapshots can be made while the store is walked; those that were there are each yielded once."""
        for number in range(10):
            bench.store.prepare(f"key{number}")
        seen = []
        for info in bench.store.walk(prefix="key"):
            seen.append(info.key)
            bench.store.prepare(f"new{info.key}")
        assert seen == [f"key{number}" for number in range(10)]
