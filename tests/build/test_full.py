"""A file system that fills up in the middle of a build: one line says where and what to do, and nothing is left."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from testkit.loops import fill

import overlaykit
from overlaykit import errors

from .conftest import HOST_DRIVERS, make_builder

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.loops import MakeFilesystem

    from overlaykit.build import BuildStore

    from .conftest import Builder

SIZE = 6 << 20
FREE = [0, 16 << 10, 256 << 10, 3 << 20, 7 << 20, 9 << 20]
"""Bytes that are left when the step begins, which needs room for its files and for its blob."""

STEPS = {
    "COPY": "COPY large /large\n",
    "COPY --link": "COPY --link large /large\n",
    "ADD": "ADD large.tar /\n",
    "bind": "RUN --mount=type=bind,source=large,target=/l busybox cp /l /large\n",
}


def held(store: BuildStore) -> dict[str, Any]:
    """Return what a store has."""
    assert store.path is not None
    place = store.path
    return {
        "snapshots": sorted(info.key for info in store.walk()),
        "storage": sorted(store._driver.ids()),
        "blobs": list(store.content.walk()),
        "ingest": os.listdir(place / "content" / "ingest") if (place / "content" / "ingest").exists() else [],
        "names": sorted(name for name in os.listdir(place) if name.startswith(("tmp", "add"))),
        "scratch": os.listdir(place / "build" / "scratch") if (place / "build" / "scratch").exists() else [],
        "records": sorted(one.key for one in store.build_cache.records()),
    }


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return random.Random(5).randbytes(SIZE)


@pytest.mark.parametrize("driver", HOST_DRIVERS)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_does_not_fit(
    make_filesystem: MakeFilesystem, tmp_path: Path, content: bytes, driver: str, step: str
) -> None:
    import tarfile

    place = make_filesystem("ext4", "80M")
    with overlaykit.open_store(place / "store", driver=driver, durability="none") as store:
        builder = make_builder(store, tmp_path / "context")
        builder.put("small", "1")
        (builder.context / "large").write_bytes(content)
        with tarfile.open(builder.context / "large.tar", "w") as archive:
            archive.add(builder.context / "large", "large")
        text = f"FROM base\nCOPY small /small\n{STEPS[step]}"
        builder.build(text.rpartition(STEPS[step])[0])
        failed = 0
        for free in FREE:
            before = held(store)
            fill(place / "filler", free)
            try:
                builder.build(text)
            except (errors.StoreFullError, errors.BuildStepError) as error:
                failed += 1
                message = str(error)
                assert "\n" not in message
                assert str(place) in message, message
                assert "make room" in message or "prune" in message or "remove" in message, message
                assert "Dockerfile:3" in message, message
            else:
                break
            finally:
                (place / "filler").unlink()
            store.cleanup()
            assert held(store) == before
        assert failed >= 2
        again = builder.build(text)
        assert again.cached >= 1
        with store.tree(again.image.top or "") as tree:
            assert tree.read_bytes("large") == content
        assert builder.build(text).cached == 2


@pytest.mark.parametrize("driver", HOST_DRIVERS)
def test_a_run_that_fills_it(make_filesystem: MakeFilesystem, tmp_path: Path, driver: str) -> None:
    place = make_filesystem("ext4", "80M")
    with overlaykit.open_store(place / "store", driver=driver, durability="none") as store:
        builder = make_builder(store, tmp_path / "context")
        builder.put("small", "1")
        text = "FROM base\nCOPY small /small\nRUN busybox dd if=/dev/urandom of=/large bs=1M count={}\n"
        builder.build(text.rpartition("RUN")[0])
        before = held(store)
        with pytest.raises(errors.BuildStepError) as raised:
            builder.build(text.format(100))
        said = str(raised.value)
        assert said.startswith("Dockerfile:3: RUN busybox dd")
        assert b"No space left on device" in raised.value.output
        assert f"the file system of {place / 'store'} is full" in said
        assert "prune --build-cache" in said
        store.cleanup()
        assert held(store) == before
        again = builder.build(text.format(2))
        assert again.cached == 1


@pytest.mark.parametrize("driver", HOST_DRIVERS)
def test_a_context_and_a_download_that_do_not_fit(
    make_filesystem: MakeFilesystem, tmp_path: Path, content: bytes, driver: str
) -> None:
    import tarfile

    from testkit.registries import Quiet, serving

    class Handler(Quiet):
        def get(self) -> None:
            self.answer(200, content, ETag='"1"')

    place = make_filesystem("ext4", "80M")
    with overlaykit.open_store(place / "store", driver=driver, durability="none") as store:
        builder = make_builder(store, tmp_path / "context")
        (builder.context / "large").write_bytes(content)
        with tarfile.open(tmp_path / "context.tar", "w") as archive:
            archive.add(builder.context, ".")
        with serving(Handler) as host:
            text = f"FROM base\nADD http://{host}/large /\n"

            def download(builder: Builder) -> None:
                builder.build(text)

            def context(builder: Builder) -> None:
                with open(tmp_path / "context.tar", "rb") as file:
                    builder.store.build(file, dockerfile=b"FROM base\nCOPY large /\n")

            for build in (download, context):
                for free in (0, 1 << 20, 4 << 20):
                    before = held(store)
                    fill(place / "filler", free)
                    with pytest.raises(errors.StoreFullError, match=str(place)):
                        build(builder)
                    (place / "filler").unlink()
                    store.cleanup()
                    assert held(store) == before
                build(builder)
