"""What a step depends on, and what it does not."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

import overlaykit

from .conftest import make_builder

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Builder

COPY = "FROM base\nCOPY . /app\nENV A=1\n"


def test_a_rebuild_does_nothing_and_gives_the_same_image(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    first = any_builder.build(COPY)
    second = any_builder.build(COPY)
    assert (first.cached, second.cached) == (0, 1)
    assert first.image.digest == second.image.digest
    assert any_builder.endings()[:1] == [("[2/2] COPY . /app", "cached")]


def test_times_do_not_matter(any_builder: Builder) -> None:
    file = any_builder.put("a", "1")
    any_builder.build(COPY)
    os.utime(file, (1, 1))
    assert any_builder.build(COPY).cached == 1


@pytest.mark.parametrize("change", ["content", "mode", "name", "new", "type"])
def test_what_a_copied_file_is_matters(any_builder: Builder, change: str) -> None:
    file = any_builder.put("d/a", "1")
    any_builder.build(COPY)
    if change == "content":
        file.write_text("2")
    elif change == "mode":
        file.chmod(0o755)
    elif change == "name":
        file.rename(file.with_name("b"))
    elif change == "new":
        any_builder.put("d/z", "")
    else:
        file.unlink()
        file.symlink_to("1")
    assert any_builder.build(COPY).cached == 0


def test_what_is_left_out_does_not_matter(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    any_builder.put("log/x", "1")
    any_builder.put(".dockerignore", "# left out\nlog\n*.tmp\n!keep.tmp\n")
    any_builder.put("keep.tmp", "kept")
    first = any_builder.build(COPY)
    any_builder.put("log/x", "2")
    any_builder.put("other.tmp", "2")
    assert any_builder.build(COPY).cached == 1
    with any_builder.store.tree(first.image.top or "") as tree:
        assert sorted(entry.name for entry in tree.scandir("app")) == [".dockerignore", "a", "keep.tmp"]
    any_builder.put("keep.tmp", "changed")
    assert any_builder.build(COPY).cached == 0


def test_no_cache_does_all_again_and_leaves_it_for_the_next(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    any_builder.build(COPY)
    assert any_builder.build(COPY, no_cache=True).cached == 0
    assert any_builder.build(COPY).cached == 1


def test_a_step_depends_on_what_is_below(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    any_builder.put("b", "1")
    text = "FROM base\nCOPY a /\nCOPY b /\n"
    any_builder.build(text)
    any_builder.put("a", "2")
    assert any_builder.build(text).cached == 0


def test_a_linked_copy_does_not_depend_on_what_is_below(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    any_builder.put("b", "linked")
    text = "FROM base\nCOPY a /a\nCOPY --link b /deep/b\n"
    first = any_builder.build(text)
    any_builder.put("a", "2")
    second = any_builder.build(text)
    assert second.cached == 1
    assert any_builder.read(second, "deep/b") == "linked"
    assert any_builder.read(second, "a") == "2"
    diff_ids = [any_builder.store.config(one.image).diff_ids for one in (first, second)]
    assert diff_ids[0][-1] == diff_ids[1][-1]
    assert diff_ids[0][-2] != diff_ids[1][-2]


def test_only_what_a_run_sees_matters_to_it(builder: Builder) -> None:
    text = "FROM base\nARG SEEN=1\nRUN echo $SEEN > /out\nARG LATER=1\nLABEL x=$LATER\n"
    builder.build(text)
    assert builder.build(text, build_args={"LATER": "2"}).cached == 1
    assert builder.build(text, build_args={"SEEN": "2"}).cached == 0
    assert builder.build(text.replace("ARG SEEN", "ENV OTHER=1\nARG SEEN")).cached == 0
    assert builder.build(text.replace("ARG SEEN", "USER 0:0\nARG SEEN")).cached == 0
    assert builder.build(text, build_args={"HTTP_PROXY": "http://127.0.0.1:1"}).cached == 1


def test_pruning_keeps_what_is_remembered_until_it_is_told_otherwise(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    image = any_builder.build(COPY, tags="app").image
    any_builder.store.remove_image("app")
    any_builder.store.prune()
    again = any_builder.build(COPY)
    assert (again.cached, again.image.digest) == (1, image.digest)
    gone = any_builder.store.prune(build_cache=True)
    assert image.digest in gone.images
    assert image.top in gone.layers
    assert any_builder.build(COPY).cached == 0


def test_what_was_taken_away_is_made_again(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    image = any_builder.build(COPY).image
    store = any_builder.store
    store.content.remove(store.manifest(image).layers[-1].digest)
    again = any_builder.build(COPY)
    assert again.cached == 0
    assert store.content.exists(store.manifest(again.image).layers[-1].digest)


def test_an_image_brings_its_steps_to_another_store(builder: Builder, tmp_path: Path) -> None:
    builder.put("a", "1")
    text = "FROM base\nCOPY a /a\nRUN date +%s%N > /when\n"
    image = builder.build(text, tags="app").image
    builder.store.save(["app", "base"], tmp_path / "images")
    driver = builder.store.driver_name
    with overlaykit.open_store(tmp_path / "other", driver=driver, durability="none") as store:
        store.load(tmp_path / "images")
        other = type(builder)(store, builder.context)
        known = other.build(text, cache_from=["app"])
        assert (known.cached, known.image.digest) == (2, image.digest)
        assert other.build(text).cached == 0


def test_of_a_foreign_image_only_runs_are_known(builder: Builder) -> None:
    import json

    builder.put("a", "1")
    text = "FROM base\nRUN echo x > /x\nCOPY a /a\n"
    image = builder.build(text, tags="app").image
    store = builder.store
    manifest = json.loads(store.content.read(image.digest, 1 << 20))
    for layer in manifest["layers"]:
        layer.pop("annotations", None)
    raw = json.dumps(manifest).encode()
    store.content.add(raw)
    from overlaykit.image import Manifest

    store.record_image(Manifest.parse(raw), store.config(image), ["foreign"])
    store.build_cache.forget()
    assert builder.build(text, cache_from=["foreign"]).cached == 1
    store.build_cache.forget()
    assert builder.build(text.replace("echo x", "echo y"), cache_from=["foreign"]).cached == 0


def test_the_same_input_gives_the_same_image_anywhere(any_builder: Builder, tmp_path: Path) -> None:
    any_builder.put("d/a", "1")
    text = "FROM base\nWORKDIR /w\nCOPY d /d\nENV A=1\n"
    any_builder.build(b"FROM base\n")
    first = any_builder.build(text, epoch=1_700_000_000)
    time.sleep(0.01)
    again = any_builder.build(text, epoch=1_700_000_000, no_cache=True)
    assert first.image.digest == again.image.digest
    document = any_builder.store.config(first.image).document
    assert document["created"] == "2023-11-14T22:13:20Z"
    assert {one["created"] for one in document["history"][4:]} == {"2023-11-14T22:13:20Z"}
    with any_builder.store.tree(first.image.top or "") as tree:
        assert all(tree.stat(path).st_mtime <= 1_700_000_000 for path in ("w", "d", "d/a"))
    other = any_builder.build(text, epoch=1_700_000_001)
    assert other.image.digest != first.image.digest


def test_a_store_that_is_opened_again_remembers(builder: Builder, tmp_path: Path) -> None:
    builder.put("a", "1")
    builder.build(COPY)
    builder.store.close()
    with overlaykit.open_store(tmp_path / "store", durability="none") as store:
        assert store.build(builder.context, dockerfile=COPY.encode()).cached == 1
        assert make_builder(store, builder.context).store is store
