"""Named contexts, entitlements, and the epoch as a build argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from overlaykit import DockerfileError, errors

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Builder

INSECURE = "FROM base\nRUN --security=insecure busybox grep CapEff /proc/self/status > /caps; echo $((1+1)) > /ok\n"


def test_a_stage_may_begin_with_a_directory(any_builder: Builder, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "name").write_text("one")
    (root / "left-out").write_text("")
    (root / ".dockerignore").write_text("left-out\n")
    text = "FROM rootfs AS first\nENV A=1\nFROM first\nCOPY --from=rootfs etc/name /copied\n"
    result = any_builder.build(text, named_contexts={"rootfs": root})
    assert any_builder.read(result, "etc/name") == any_builder.read(result, "copied") == "one"
    with any_builder.store.tree(result.image.top or "") as tree:
        assert not tree.exists("left-out")
        assert (tree.stat("etc/name").st_uid, tree.stat("etc/name").st_gid) == (0, 0)
    config = any_builder.store.config(result.image)
    assert len(config.diff_ids) == sum(not one.empty_layer for one in config.history) == 2
    assert any_builder.build(text, named_contexts={"rootfs": root}).cached == 2
    (root / "etc" / "name").write_text("two")
    changed = any_builder.build(text, named_contexts={"rootfs": root})
    assert any_builder.read(changed, "etc/name") == "two"


def test_a_stage_may_begin_with_an_image_of_a_layout(any_builder: Builder, tmp_path: Path) -> None:
    store = any_builder.store
    any_builder.put("a", "1")
    first = any_builder.build("FROM base\nCOPY a /one\n", tags="app:1").image
    second = any_builder.build("FROM base\nCOPY a /two\n", tags="app:2").image
    store.save(["app:1", "app:2"], tmp_path / "layout", form="oci")
    store.remove_image("app:1")
    store.remove_image("app:2")
    store.prune()
    for what, name in ((":1", "one"), (":2", "two"), (f"@{second.digest}", "two"), (f":1@{first.digest}", "one")):
        contexts = {"start": f"oci-layout://{tmp_path}/layout{what}"}
        result = any_builder.build("FROM start\nCOPY --from=start /bin/sh /copy\n", named_contexts=contexts)
        with store.tree(result.image.top or "") as tree:
            assert tree.is_file(name)
    # Nobody's names have changed.
    assert [name for image in store.images() for name in image.references] == ["docker.io/library/base:latest"]
    for what in (":3", "", "@sha256:" + "0" * 64):
        with pytest.raises(errors.NotFoundError, match="has 2 images and none of them is"):
            any_builder.build("FROM start\n", named_contexts={"start": f"oci-layout://{tmp_path}/layout{what}"})
    with pytest.raises(errors.BuildError, match="of a kind that is not known here"):
        any_builder.build("FROM start\n", named_contexts={"start": "ftp://x"})


def test_more_rights_are_for_who_is_allowed_them(builder: Builder) -> None:
    plain = builder.build(INSECURE.replace("--security=insecure ", ""))
    with pytest.raises(DockerfileError, match=r"^Dockerfile:2:1: RUN --security=insecure is not allowed: .*--allow"):
        builder.build(INSECURE)
    with pytest.raises(errors.BuildError, match="there is no entitlement 'all'"):
        builder.build(INSECURE, allow=["all"])
    allowed = builder.build(INSECURE, allow=["network.host", "security.insecure"])
    assert allowed.cached == 0
    found = [int(builder.read(one, "caps").split()[1], 16) for one in (plain, allowed)]
    admin = 1 << 21
    assert not found[0] & admin
    assert found[1] & admin
    # A trigger says it too, before anything runs.
    builder.build("FROM base\nONBUILD RUN --security=insecure true\n", tags="trigger")
    with pytest.raises(DockerfileError, match=r"^Dockerfile:1:1: RUN --security=insecure"):
        builder.build("FROM trigger\nRUN busybox sleep 600\n")
    # What is only looked at needs nobody's leave.
    assert builder.store.check_build(None, dockerfile=INSECURE.encode()) == ()


def test_the_epoch_is_a_build_argument(any_builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    any_builder.put("a", "1")
    text = "FROM base\nCOPY a /a\nARG SOURCE_DATE_EPOCH\nENV SEEN=$SOURCE_DATE_EPOCH\n"
    name, when = "SOURCE_DATE_EPOCH", 1_700_000_000
    given = any_builder.build(text, build_args={name: str(when)})
    document = any_builder.store.config(given.image).document
    assert document["created"] == "2023-11-14T22:13:20Z"
    assert {one["created"] for one in document["history"][4:]} == {"2023-11-14T22:13:20Z"}
    with any_builder.store.tree(given.image.top or "") as tree:
        assert tree.stat("a").st_mtime == when
    assert any_builder.build(text, epoch=when).image.digest == given.image.digest
    monkeypatch.setenv(name, str(when))
    assert any_builder.build(text).image.digest == given.image.digest
    # What is given counts, also where it is nothing.
    other = any_builder.build(text, build_args={name: ""})
    assert any_builder.store.config(other.image).document["created"] != document["created"]
    assert "SEEN=" in any_builder.inner(other)["Env"]
    with pytest.raises(errors.BuildError, match="SOURCE_DATE_EPOCH is 'yesterday' and no number of seconds"):
        any_builder.build(text, build_args={name: "yesterday"})
