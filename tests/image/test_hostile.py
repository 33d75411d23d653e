"""Images that mean harm or are broken are refused in one line, leave nothing, and nothing of them gets out."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.hostile import LAYERS, LIMITS
from testkit.hostile_images import GOOD, IMAGES, image_of, written
from testkit.images import make_image, write_layout
from testkit.rich import run_as

import overlaykit
from overlaykit import errors
from overlaykit.changeset import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.image import ImageStore

pytestmark = pytest.mark.native


def _held(store: ImageStore, root: Path) -> dict[str, object]:
    """Return all that could have been left."""
    found: dict[str, object] = {
        "images": [(image.digest, image.references) for image in store.images()],
        "snapshots": sorted(info.key for info in store.walk()),
        "storage": sorted(store._driver.ids()),
        "blobs": sorted(store.content.walk()),
        "root": sorted(os.listdir(root)),
        "beside": os.listdir(root / "beside"),
    }
    if store.path is not None:
        ingest = store.path / "content" / "ingest"
        found["ingest"] = os.listdir(ingest) if ingest.exists() else []
        found["store"] = sorted(os.listdir(store.path))
        found["locks"] = sorted(os.listdir(store.path / "locks"))
    else:
        found["ingest"] = sorted(store.content._busy)
    return found


def _refused(
    store: ImageStore,
    root: Path,
    name: str,
    make: Callable[[Path], Path],
    expected: tuple[type[errors.OverlaykitError], str],
    limits: Limits,
) -> list[str]:
    """Load something and return what is wrong about how it was refused."""
    wrong = []
    source = root / "source"
    source.mkdir()
    path = make(source)
    before = _held(store, root)
    try:
        store.load(path, limits=limits)
    except errors.OverlaykitError as error:
        if type(error) is not expected[0] or not re.search(expected[1], str(error)) or "\n" in str(error):
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:500]}")
        if len(str(error)) > 1500:
            wrong.append(f"{name}: the message has {len(str(error))} characters")
    except Exception as error:
        wrong.append(f"{name}: {error!r:.500}")
    else:
        wrong.append(f"{name}: it was taken")
    after = _held(store, root)
    # Layers that were whole by then may wait for the next try.
    wrong += [f"{name}: {key} left" for key in ("images", "ingest", "root", "beside") if after[key] != before[key]]
    if after != before:
        store.prune()
        after = _held(store, root)
        wrong += [f"{name}: {key} left after pruning" for key in before if after[key] != before[key]]
    shutil.rmtree(source)
    return wrong


def _all(driver: str, root: Path) -> None:
    (root / "beside").mkdir()
    wrong = []
    with overlaykit.open_store(
        None if driver == "memory" else root / "store", driver=driver, durability="none"
    ) as store:
        good = make_image([GOOD])
        layout = write_layout(root / "good", {"good:1": good})
        [image] = store.load(layout)
        store.tree(image.top or "").close()
        for name, bad in IMAGES.items():
            wrong += _refused(store, root, name, bad.make, (bad.error, bad.says), Limits(ratio_from=2 << 20))
        for name, layer_ in LAYERS.items():
            if layer_.wanted:
                continue
            made = replace(LIMITS, document=4 << 20)
            wrong += _refused(
                store,
                root,
                name,
                lambda at, blob=layer_.blob: image_of(at, blob()),
                (layer_.error, layer_.says),
                made,
            )
        before = _held(store, root)
        store.prune()
        assert _held(store, root) == before
        source = root / "source"
        source.mkdir()
        [taken] = store.load(written(source))
        with store.tree(taken.top or "") as tree:
            assert tree.read_bytes("app/main") == b"run\n" * 100
        store.remove_image("bad:1")
        assert [one.digest for one in store.images()] == [image.digest]
        with store.tree(image.top or "") as tree:
            assert tree.read_bytes("etc/motd") == b"hello\n"
    assert not wrong, "\n".join(wrong)
    assert os.listdir(root / "beside") == []


def test_there_are_enough() -> None:
    assert len(IMAGES) >= 60


@pytest.mark.parametrize("user", ["own", "nobody"])
@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_refused(reachable: Path, driver: str, user: str) -> None:
    run_as(user, reachable / "run", lambda root: _all(driver, root))
