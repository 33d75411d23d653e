"""A file system that fills up in the middle of something: one line says so, nothing is left, with room it goes on."""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
import tempfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import layer, make_image, write_layout
from testkit.loops import fill
from testkit.rich import open_to_all, run_as

import overlaykit
from overlaykit import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testkit.loops import MakeFilesystem

    from overlaykit.image import ImageStore

pytestmark = pytest.mark.native

_DICE = random.Random(7)
BASE = layer({"etc": None, **{f"etc/f{n}": b"x" * 100 for n in range(40)}})
BIG = layer({"big": None, **{f"big/f{n}": _DICE.randbytes(300_000) for n in range(8)}, "big/one": bytes(700_000)})
FREE = [0, 8 << 10, 64 << 10, 200 << 10, 600 << 10, 1500 << 10, 3 << 20]
"""Bytes that are left when it begins; the whole takes some more than the last."""


def _held(store: ImageStore) -> dict[str, object]:
    assert store.path is not None
    ingest = store.path / "content" / "ingest"
    return {
        "images": [(image.digest, image.references) for image in store.images()],
        "snapshots": [info.key for info in store.walk()],
        "storage": store._driver.ids(),
        "blobs": list(store.content.walk()),
        "ingest": os.listdir(ingest) if ingest.exists() else [],
        "spool": [name for name in os.listdir(store.path) if name.startswith("tmp")],
    }


def _apply(store: ImageStore, place: Path) -> None:
    store.apply(io.BytesIO(BIG), None, "big")


def _undo_apply(store: ImageStore) -> None:
    store.remove("big")


def _load(store: ImageStore, place: Path) -> None:
    store.load(place / "big")


def _undo_load(store: ImageStore) -> None:
    store.remove_image("big:1")


def _load_compressed(store: ImageStore, place: Path) -> None:
    store.load(place / "big.tar.gz")


def _commit(store: ImageStore, place: Path) -> None:
    store.open_container("box").commit("made:1", epoch=0)


def _undo_commit(store: ImageStore) -> None:
    store.remove_image("made:1")


def _save(store: ImageStore, place: Path) -> None:
    assert store.path is not None
    store.save("small", store.path.parent / "out.tar")
    os.unlink(store.path.parent / "out.tar")


ACTIONS: dict[str, tuple[Callable[[ImageStore, Path], None], Callable[[ImageStore], object]]] = {
    "apply": (_apply, _undo_apply),
    "load": (_load, _undo_load),
    "load a compressed archive": (_load_compressed, _undo_load),
    "commit": (_commit, _undo_commit),
    "save": (_save, lambda store: None),
}


@pytest.fixture
def images(reachable: Path) -> Path:
    """A directory with what is loaded."""
    path = reachable
    write_layout(path / "small", {"small:1": make_image([BASE])})
    layout = write_layout(path / "big", {"big:1": make_image([BASE, BIG])})
    with tarfile.open(path / "big.tar.gz", "w:gz") as out:
        out.add(layout, ".")
    return path


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize(("kind", "user"), [("tmpfs", "own"), ("tmpfs", "nobody"), ("ext4", "own")])
def test_full(make_filesystem: MakeFilesystem, images: Path, driver: str, kind: str, user: str) -> None:
    root = make_filesystem(kind, size="20M")
    if user == "nobody":
        open_to_all(root)
    run_as(user, root / "run", lambda place: _all(place, images, driver))


def _all(root: Path, images: Path, driver: str) -> None:
    wrong = []
    with overlaykit.open_store(root / "store", driver=driver, durability="none") as store:
        store.load(images / "small", references=["small"])
        with store.create_container("small", "box").tree as tree:
            for n in range(8):
                tree.write_bytes(f"f{n}", _DICE.randbytes(200_000))
        outcomes = set()
        for name, (action, undo) in ACTIONS.items():
            for free in FREE:
                before = _held(store)
                fill(root / "filler", free)
                case = f"{name} with {free} bytes"
                try:
                    action(store, images)
                except errors.StoreFullError as error:
                    outcomes.add((name, False))
                    if "\n" in str(error):
                        wrong.append(f"{case}: {error}")
                    after = _held(store)
                    wrong += [
                        f"{case}: {key} left: {after[key]}, there was {before[key]}"
                        for key in ("images", "ingest", "spool")
                        if after[key] != before[key]
                    ]
                except Exception as error:
                    wrong.append(f"{case}: {error!r}")
                else:
                    undo(store)
                    outcomes.add((name, True))
                os.unlink(root / "filler")
                store.prune()
                after = _held(store)
                wrong += [f"{case}: {key} left after pruning" for key in before if after[key] != before[key]]
            if not wrong:
                action(store, images)
                undo(store)
        assert not wrong, "\n".join(wrong)
        # What was full is right all the same.
        assert {(name, False) for name in ACTIONS} <= outcomes
        with store.tree("box") as tree:
            assert tree.read_bytes("etc/f7") == b"x" * 100
    with overlaykit.open_store(root / "store") as store:
        assert store.damaged == []


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize("inodes", range(0, 60, 12))
def test_no_inode_is_left(make_filesystem: MakeFilesystem, images: Path, driver: str, inodes: int) -> None:
    """A file system may have room and be full all the same."""
    root = make_filesystem("tmpfs", size="20M", options="nr_inodes=300")
    with overlaykit.open_store(root / "store", driver=driver, durability="none") as store:
        before = _held(store)
        free = os.statvfs(root).f_ffree
        (root / "filler").mkdir()
        for number in range(free - 1 - inodes):
            (root / "filler" / str(number)).touch()
        with pytest.raises(errors.StoreFullError) as caught:
            store.load(images / "big")
        assert "\n" not in str(caught.value)
        shutil.rmtree(root / "filler")
        assert store.images() == []
        store.prune()
        assert _held(store) == before
        store.load(images / "big")


def test_no_room_for_what_is_unpacked(
    make_filesystem: MakeFilesystem, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store in memory unpacks archives where temporary files go."""
    root = make_filesystem("tmpfs", size="1M")
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    with overlaykit.open_store(driver="memory") as store:
        with pytest.raises(errors.StoreFullError) as caught:
            store.load(images / "big.tar.gz")
        assert "\n" not in str(caught.value)
        pipe = _Pipe((images / "big.tar.gz").read_bytes())
        with pytest.raises(errors.StoreFullError):
            store.apply(pipe, None, "big")
        assert store.images() == []
        assert list(store.walk()) == []
        assert os.listdir(root) == []


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False
