"""Any text is a key."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlaykit import errors
from overlaykit.store import open_store
from overlaykit.store._names import MAX_BYTES, list_names, new_id, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.store import Store

ODD = [
    "..",
    ".",
    "/",
    "../../etc/passwd",
    "a b",
    " ",
    "new\nline\r\t",
    "emoji \N{GRINNING FACE}\N{ZERO WIDTH JOINER}",
    "%",
    "'; DROP TABLE snapshots; --",
    "\x1b[31mred",
    "\u202eright to left",
    "e\u0301",
    "\xe9",
    "x" * 4096,
    "\N{GRINNING FACE}" * (MAX_BYTES // 4),
    "CON",
    "-rf",
    "overlaykit.json",
]


@pytest.mark.native
def test_odd_keys_are_kept_apart_and_never_become_paths(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", driver="plain", durability="none") as store:
        for key in ODD:
            assert store.prepare(key, labels={key: key}).key == key
        assert [info.key for info in store.walk()] == ODD
        for key in ODD:
            assert dict(store.stat(key).labels) == {key: key}
            store.commit(key, f"{key}!" if len(key) < 9999 else "long")
        names = {path.name for path in (tmp_path / "store").rglob("*")}
        assert not names & set(ODD) - {"overlaykit.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "ok\udcff", b"bytes", None, 7, "\N{GRINNING FACE}\0"])
def test_what_is_no_key_is_refused_everywhere(store: Store, key: Any) -> None:
    store.prepare("work")
    uses: list[Callable[[], object]] = [
        lambda: store.prepare(key),
        lambda: store.view(key, "base"),
        lambda: store.stat(key),
        lambda: store.remove(key),
        lambda: store.tree(key),
        lambda: store.usage(key),
        lambda: store.changes(key),
        lambda: store.children(key),
        lambda: store.commit(key),
        lambda: store.update_labels(key, {}),
        lambda: store.update_labels("work", {key: "x"}),
        lambda: store.prepare("x", labels={key: "x"}),
    ]
    if isinstance(key, str):  # for these None has a meaning
        uses += [lambda: store.commit("work", key), lambda: store.prepare("x", key), lambda: store.snapshot(key=key)]
    for use in uses:
        with pytest.raises(errors.InvalidNameError) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ValueError)
    assert [info.key for info in store.walk()] == ["work"]


def test_a_name_of_ten_megabytes_is_refused_at_once(store: Store) -> None:
    store.prepare("work")
    for key in ("x" * 10_000_000, "\N{GRINNING FACE}" * 10_000_000, "\N{GRINNING FACE}" * (MAX_BYTES // 4 + 1)):
        begin = time.process_time()
        for use in (
            lambda key=key: store.prepare(key),
            lambda key=key: store.stat(key),
            lambda key=key: store.commit("work", key),
            lambda key=key: store.update_labels("work", {"a": key}),
            lambda key=key: store.update_labels("work", {key: "a"}),
        ):
            with pytest.raises(errors.NameTooLongError, match="at most 65536 bytes") as caught:
                use()  # type: ignore[no-untyped-call]
            assert len(str(caught.value)) < 1000
        assert time.process_time() - begin < 5
    assert [info.key for info in store.walk()] == ["work"]


def test_messages_show_names_in_one_short_line() -> None:
    assert show("a\nb") == r"'a\nb'"
    assert show("x" * 1000) == f"'{'x' * 60}'... (1000 characters)"
    assert list_names(["a", "b"]) == "'a', 'b'"
    assert list_names([str(number) for number in range(10)]) == "'0', '1', '2' and 7 more"


def test_ids_are_safe_file_names() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 26 and one.isalnum() and one.islower() | one.isdigit() for one in ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(min_size=1).filter(lambda text: "\0" not in text), st.text(st.characters(codec="utf-8")))
def test_every_text_comes_back(key: str, value: str) -> None:
    with open_store(driver="memory") as store:
        try:
            key.encode()
        except UnicodeEncodeError:
            with pytest.raises(errors.InvalidNameError):
                store.prepare(key)
            return
        if "\0" in value:
            with pytest.raises(errors.InvalidNameError):
                store.prepare(key, labels={key: value})
            return
        assert store.prepare(key, labels={key: value}).key == key
        assert [(info.key, dict(info.labels)) for info in store.walk(prefix=key[:1], labels={key: value})] == [
            (key, {key: value})
        ]


def test_information_is_a_value(store: Store) -> None:
    info = store.prepare("work", labels={"a": "1"})
    assert pickle.loads(pickle.dumps(info)) == info == copy.deepcopy(info)
    assert len({info, store.stat("work")}) == 1
    assert json.dumps(dataclasses.asdict(info)["labels"]) == '{"a": "1"}'
    changes: list[Callable[[], object]] = [
        lambda: info.labels.update({"b": "2"}),  # type: ignore[attr-defined]
        lambda: info.labels.pop("a"),  # type: ignore[attr-defined]
        lambda: info.labels.__delitem__("a"),  # type: ignore[attr-defined]
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change()
    assert store.stat("work") == info
