"""Error kinds: what each method of a store says to what it cannot do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._store import StoreRig
    from overlaykit.store import Store

Case = tuple["Callable[[Store], object]", type[errors.OverlaykitError]]

# In a store with "base" and "top" over it committed, "active" over base, "view" of base.
_CASES: dict[str, Case] = {
    "prepare-taken": (lambda s: s.prepare("active"), errors.ExistsError),
    "prepare-missing-parent": (lambda s: s.prepare("new", "missing"), errors.NotFoundError),
    "prepare-active-parent": (lambda s: s.prepare("new", "active"), errors.SnapshotKindError),
    "prepare-view-parent": (lambda s: s.prepare("new", "view"), errors.SnapshotKindError),
    "prepare-itself-as-parent": (lambda s: s.prepare("new", "new"), errors.NotFoundError),
    "prepare-empty": (lambda s: s.prepare(""), errors.InvalidNameError),
    "prepare-long": (lambda s: s.prepare("x" * 65537), errors.NameTooLongError),
    "view-taken": (lambda s: s.view("view", "base"), errors.ExistsError),
    "view-missing-parent": (lambda s: s.view("new", "missing"), errors.NotFoundError),
    "view-active-parent": (lambda s: s.view("new", "active"), errors.SnapshotKindError),
    "view-view-parent": (lambda s: s.view("new", "view"), errors.SnapshotKindError),
    "commit-missing": (lambda s: s.commit("missing", "new"), errors.NotFoundError),
    "commit-view": (lambda s: s.commit("view", "new"), errors.SnapshotKindError),
    "commit-committed": (lambda s: s.commit("base", "new"), errors.SnapshotKindError),
    "commit-taken": (lambda s: s.commit("active", "base"), errors.ExistsError),
    "commit-under-its-own-key": (lambda s: s.commit("active", "active"), errors.ExistsError),
    "commit-empty": (lambda s: s.commit("active", ""), errors.InvalidNameError),
    "commit-bad-label": (lambda s: s.commit("active", "new", labels={"": "x"}), errors.InvalidNameError),
    "remove-missing": (lambda s: s.remove("missing"), errors.NotFoundError),
    "remove-parent": (lambda s: s.remove("base"), errors.LayerInUseError),
    "stat-missing": (lambda s: s.stat("missing"), errors.NotFoundError),
    "tree-missing": (lambda s: s.tree("missing"), errors.NotFoundError),
    "tree-writable-committed": (lambda s: s.tree("base", readonly=False), errors.ReadOnlyError),
    "tree-writable-view": (lambda s: s.tree("view", readonly=False), errors.ReadOnlyError),
    "usage-missing": (lambda s: s.usage("missing"), errors.NotFoundError),
    "changes-missing": (lambda s: list(s.changes("missing")), errors.NotFoundError),
    "children-missing": (lambda s: s.children("missing"), errors.NotFoundError),
    "mounts-missing": (lambda s: s.mounts("missing"), errors.NotFoundError),
    "verify-missing": (lambda s: s.verify("missing"), errors.NotFoundError),
    "verify-active": (lambda s: s.verify("active"), errors.SnapshotKindError),
    "labels-missing": (lambda s: s.update_labels("missing", {"a": "1"}), errors.NotFoundError),
    "labels-empty": (lambda s: s.update_labels("base", {"": "1"}), errors.InvalidNameError),
    "labels-surrogate": (lambda s: s.update_labels("base", {"a": "\udc00"}), errors.InvalidNameError),
    "snapshot-missing-parent": (lambda s: s.snapshot("missing"), errors.NotFoundError),
    "snapshot-active-parent": (lambda s: s.snapshot("active"), errors.SnapshotKindError),
    "snapshot-taken": (lambda s: s.snapshot(key="active"), errors.ExistsError),
    "import-missing": (lambda s: s.import_tree("/nonexistent/of/overlaykit", "new"), errors.NotFoundError),
}

_AFTER_CLOSE: dict[str, Callable[[Store], object]] = {
    "prepare": lambda s: s.prepare("new"),
    "view": lambda s: s.view("new", "base"),
    "commit": lambda s: s.commit("active", "new"),
    "remove": lambda s: s.remove("active"),
    "stat": lambda s: s.stat("base"),
    "walk": lambda s: list(s.walk()),
    "children": lambda s: s.children("base"),
    "tree": lambda s: s.tree("base"),
    "usage": lambda s: s.usage("base"),
    "changes": lambda s: list(s.changes("base")),
    "mounts": lambda s: s.mounts("base"),
    "verify": lambda s: s.verify("base"),
    "labels": lambda s: s.update_labels("base", {"a": "1"}),
    "snapshot": lambda s: s.snapshot(),
    "cleanup": lambda s: s.cleanup(),
    "enter": lambda s: s.__enter__(),
}


def _fill(bench: StoreRig) -> Store:
    bench.base("base", {"f": "1"})
    bench.base("top", {"g": "2"}, "base")
    bench.store.prepare("active", "base")
    bench.store.view("view", "base")
    return bench.store


class TestStoreErrors(Suite):
    """Every refusal is typed, an OSError with the right errno, and changes nothing."""

    @pytest.mark.parametrize(("operation", "kind"), _CASES.values(), ids=_CASES)
    def test_error_kind(
        self, bench: StoreRig, operation: Callable[[Store], object], kind: type[errors.OverlaykitError]
    ) -> None:
        """What cannot be done raises exactly this kind of error, with its errno, in one line."""
        store = _fill(bench)
        with pytest.raises(kind) as caught:
            operation(store)
        assert type(caught.value) is kind
        assert caught.value.errno == kind.code
        assert str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("operation", "kind"), _CASES.values(), ids=_CASES)
    def test_error_changes_nothing(
        self, bench: StoreRig, operation: Callable[[Store], object], kind: type[errors.OverlaykitError]
    ) -> None:
        """What was refused left every snapshot, its labels and its content as they were."""
        store = _fill(bench)
        before = list(store.walk())
        with pytest.raises(OSError):
            operation(store)
        assert list(store.walk()) == before
        assert [bench.sees(key) for key in ("base", "top", "active", "view")] == [
            {"f": b"1"},
            {"f": b"1", "g": b"2"},
            {"f": b"1"},
            {"f": b"1"},
        ]

    @pytest.mark.parametrize("operation", _AFTER_CLOSE.values(), ids=_AFTER_CLOSE)
    def test_closed_store(self, bench: StoreRig, operation: Callable[[Store], object]) -> None:
        """Every method of a closed store is a StoreClosedError (EBADF)."""
        store = _fill(bench)
        store.close()
        with pytest.raises(errors.StoreClosedError) as caught:
            operation(store)
        assert caught.value.errno == errno.EBADF

    def test_error_names_the_key(self, bench: StoreRig) -> None:
        """An error names what it is about."""
        for operation in (bench.store.stat, bench.store.remove, bench.store.tree, bench.store.usage):
            with pytest.raises(errors.NotFoundError, match="lost key"):
                operation("lost key")

    def test_plain_python_errors(self, bench: StoreRig) -> None:
        """Code that knows only Python's own errors catches these."""
        _fill(bench)
        with pytest.raises(FileNotFoundError):
            bench.store.stat("missing")
        with pytest.raises(FileExistsError):
            bench.store.prepare("active")
        with pytest.raises(ValueError, match="view"):
            bench.store.commit("view", "new")

    def test_remove_while_a_tree_is_open(self, bench: StoreRig) -> None:
        """A snapshot whose tree is open cannot be removed; closed, it can."""
        _fill(bench)
        with bench.store.tree("active") as tree:
            tree.write_bytes("x", b"1")
            with pytest.raises(errors.LayerInUseError):
                bench.store.remove("active")
            assert tree.read_bytes("x") == b"1"
        bench.store.remove("active")

    @pytest.mark.capability(Capability.PERSISTENT)
    def test_second_writer(self, bench: StoreRig) -> None:
        """A second store object that wants to write, commit or remove what the first has open is refused at once."""
        _fill(bench)
        other = bench.open()
        with other, bench.store.tree("active") as tree:
            operations: list[Callable[[], object]] = [
                lambda: other.tree("active"),
                lambda: other.commit("active", "new"),
                lambda: other.remove("active"),
            ]
            for operation in operations:
                with pytest.raises(errors.LayerInUseError):
                    operation()
            tree.write_bytes("x", b"1")
        assert bench.sees("active") == {"f": b"1", "x": b"1"}
