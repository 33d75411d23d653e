"""A layer that is unpacked while it is packed is what it would be one after the other."""

from __future__ import annotations

import errno
import io
import os
import random
from typing import TYPE_CHECKING

import pytest
from testkit.dump import dump_tree

from overlaykit import errors
from overlaykit.changeset import Restart, apply_layer
from overlaykit.store import LABEL_BLOB, LABEL_DIFF_ID, Store, keep_layer, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import NoReturn

DRIVERS = [
    "memory",
    pytest.param("directory", marks=pytest.mark.native),
    pytest.param("overlayfs", marks=pytest.mark.native),
]


@pytest.fixture(params=DRIVERS)
def changed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with a base, and changes over it: more than one piece of content, whiteouts, links."""
    path = None if request.param == "memory" else tmp_path / "store"
    with open_store(path, driver=request.param, durability="none") as store:
        store.prepare("base")
        with store.tree("base") as tree:
            for name in ("kept", "old", "gone"):
                tree.mkdir(name)
                tree.write_bytes(f"{name}/file", name.encode() * 100)
        store.commit("base", "below")
        store.prepare("work", "below")
        with store.tree("work") as tree:
            tree.write_bytes("large", random.Random(1).randbytes(7 << 20))
            tree.write_bytes("old/file", b"new")
            tree.unlink("gone/file")
            tree.rmdir("gone")
            tree.link("large", "old/large")
            tree.symlink("large", "link")
        yield store


def keys(store: Store) -> list[str]:
    return sorted(info.key for info in store.walk())


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_blob_and_layer_are_those_of_diff_and_apply(changed: Store, compression: str) -> None:
    out = io.BytesIO()
    expected = changed.diff("work", out, compression=compression)
    layer = keep_layer(changed, "work", "below", lambda made: made.diff_id, compression=compression)
    assert layer == expected
    with changed.content.open(layer.digest) as file:
        assert file.read() == out.getvalue()
    out.seek(0)
    info = changed.apply(out, "below", "applied").snapshot
    kept = changed.stat(layer.diff_id)
    assert (kept.parent, kept.kind) == (info.parent, info.kind)
    assert {LABEL_BLOB: layer.digest, LABEL_DIFF_ID: layer.diff_id}.items() <= kept.labels.items()
    with changed.tree("applied") as one, changed.tree(layer.diff_id) as other, changed.tree("work") as work:
        assert dump_tree(one) == dump_tree(other) == dump_tree(work)


def test_what_is_there_stays(changed: Store) -> None:
    for _ in range(2):
        layer = keep_layer(changed, "work", "below", lambda _: "made")
    assert keys(changed) == ["below", "made", "work"]
    assert list(changed.content.walk()) == [layer.digest]


def test_a_layer_without_anything_below(changed: Store) -> None:
    layer = keep_layer(changed, "below", None, lambda _: "copy")
    assert changed.stat("copy").parent is None
    with changed.tree("copy") as one, changed.tree("below") as other:
        assert dump_tree(one) == dump_tree(other)
    assert layer.entries == 7


def test_what_no_layer_can_hold_leaves_nothing(changed: Store) -> None:
    with changed.tree("work") as tree:
        tree.write_bytes("zzz", os.urandom(3 << 20))
        tree.write_bytes(".wh.name", b"")
    with pytest.raises(errors.ChangesetError, match=r"\.wh\.name"):
        keep_layer(changed, "work", "below", lambda _: "made")
    assert keys(changed) == ["below", "work"]
    assert list(changed.content.walk()) == []
    changed.content.cleanup(stale=0)


@pytest.mark.parametrize("when", ["first", "late"])
def test_storage_that_fails_leaves_nothing(changed: Store, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    def failing(chunks: Iterator[bytes], *rest: object, **more: object) -> object:
        if when == "late":
            apply_layer(chunks, *rest, **more)  # type: ignore[arg-type]
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr("overlaykit.store._keep.apply_layer", failing)
    with pytest.raises(OSError, match="the disk is broken"):
        keep_layer(changed, "work", "below", lambda _: "made")
    assert keys(changed) == ["below", "work"]


def test_what_needs_two_readings_gets_them(changed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(chunks: Iterator[bytes], *_: object, **__: object) -> NoReturn:
        next(iter(chunks))
        raise Restart(frozenset())

    monkeypatch.setattr("overlaykit.store._keep.apply_layer", late)
    keep_layer(changed, "work", "below", lambda _: "made")
    with changed.tree("made") as one, changed.tree("work") as other:
        assert dump_tree(one) == dump_tree(other)
    assert keys(changed) == ["below", "made", "work"]
