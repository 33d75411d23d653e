"""The commands on images and containers: what they do, write for people, and write for programs."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image

import overlaykit
from overlaykit.image import Descriptor, fetch_image

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from testkit.images import MadeImage

    from .conftest import Cli

BASE = layer({"etc": None, "etc/motd": b"hello\n"})
APP = layer({"app": b"run\n"})


class Source:
    """An image in memory."""

    parallel = 1

    def __init__(self, image: MadeImage) -> None:
        self.blobs = image.blobs

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self.blobs[descriptor.digest]

    def stop(self) -> None:
        pass

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        return io.BytesIO(self.blobs[descriptor.digest][offset:])


@pytest.fixture
def images(cli: Cli) -> dict[str, str]:
    """Two images that share a layer: their digests by name."""
    digests = {}
    with overlaykit.open_store(cli.store, durability="none") as store:
        for name, made in {"base:1": make_image([BASE]), "app:1": make_image([BASE, APP])}.items():
            descriptor = Descriptor(made.media_type, digest(made.manifest), len(made.manifest))
            digests[name] = fetch_image(store, Source(made), descriptor, references=[name]).image.digest
    return digests


def test_images_are_listed_named_and_removed(cli: Cli, images: dict[str, str]) -> None:
    head, *rows = cli.lines("images")
    assert head.split() == ["NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "ADDED"]
    assert {row.split()[0]: row.split()[1] for row in rows} == {
        name: value.removeprefix("sha256:")[:12] for name, value in images.items()
    }
    assert cli.lines("tag", "base:1", "localhost:5000/mine") == ["localhost:5000/mine:latest"]
    names = cli.json("tag", "base:1", "other")["references"]
    assert names == ["docker.io/library/base:1", "docker.io/library/other:latest", "localhost:5000/mine:latest"]
    assert cli.lines("rmi", "other") == ["docker.io/library/other:latest"]
    document = cli.json("rmi", "app:1")["removed"][0]
    assert document["images"] == [images["app:1"]]
    assert len(document["layers"]) == 1
    assert [image["digest"] for image in cli.json("images")["images"]] == [images["base:1"]]
    assert "names" in cli.error("rmi", images["base:1"], code=5)
    assert images["base:1"] in cli.lines("rmi", "--force", images["base:1"])
    assert cli.json("images") == {"images": []}


def test_history_inspect_and_layers(cli: Cli, images: dict[str, str]) -> None:
    assert [line.split()[-2:] for line in cli.lines("history", "app:1")[1:]] == [["COPY", "1"], ["COPY", "0"]]
    entries = cli.json("history", "app:1")["history"]
    assert [(entry["created_by"], entry["empty_layer"]) for entry in entries] == [("COPY 1", False), ("COPY 0", False)]
    document = json.loads(cli.run("inspect", "app:1").stdout)
    assert document["digest"] == images["app:1"]
    assert document["config_document"]["config"]["Cmd"] == ["/bin/sh"]
    assert [one["diff_id"] for one in document["layers"]] == [digest(BASE), digest(APP)]
    layers = cli.json("layers")
    shared = next(one for one in layers["layers"] if one["parent"] is None)
    assert sorted(shared["images"]) == sorted(images.values())
    assert layers["saved"] == shared["saved"] == shared["bytes"]
    assert len(cli.lines("layers")) == 3


def test_a_containers_whole_life(cli: Cli, images: dict[str, str], tmp_path: Path) -> None:
    assert cli.lines("create", "base:1", "box") == ["box"]
    (tmp_path / "file").write_text("mine\n")
    cli.run("cp", str(tmp_path / "file"), "box:/etc/")
    assert cli.lines("cat", "box", "etc/file") == ["mine"]
    assert "A etc/file" in cli.lines("diff", "box")
    assert cli.lines("ps")[1].split()[:2] == ["box", "base:1"]
    assert cli.json("ps")["containers"][0]["image"] == images["base:1"]
    assert json.loads(cli.run("inspect", "box").stdout)["name"] == "box"
    words = ("--author", "me", "--message", "why", "--change", 'Cmd=["run"]', "--change", "User=nobody")
    [made] = cli.lines("commit", "box", "patched", *words)
    document = cli.json("inspect", "patched")
    assert document["digest"] == made
    assert document["config_document"]["config"]["Cmd"] == ["run"]
    assert document["config_document"]["config"]["User"] == "nobody"
    assert cli.json("history", "patched")["history"][0]["comment"] == "why"
    cli.run("cp", "box:etc/motd", str(tmp_path))
    assert (tmp_path / "motd").read_text() == "hello\n"
    assert "box" in cli.error("rmi", "base:1", code=5)
    assert cli.lines("rm", "box") == ["box"]
    assert cli.json("ps") == {"containers": []}


def test_archives_in_and_out(cli: Cli, images: dict[str, str], tmp_path: Path) -> None:
    cli.run("create", "app:1", "box")
    cli.run("export", "box", "--output", str(tmp_path / "box.tar"))
    with tarfile.open(tmp_path / "box.tar") as archive:
        assert {name.removeprefix("./") for name in archive.getnames()} >= {"app", "etc", "etc/motd"}
    packed = cli.run("cp", "box:etc", "-", encoding=None, errors=None).stdout
    cli.run("cp", "-", "box:/etc", input=packed, encoding=None, errors=None)
    assert cli.lines("cat", "box", "etc/etc/motd") == ["hello"]
    assert cli.run("export", "box", encoding=None, errors=None).stdout[257:262] == b"ustar"
    assert [path.name for path in tmp_path.glob("*.part*")] == []


def test_prune_says_what_went(cli: Cli, images: dict[str, str]) -> None:
    assert cli.json("prune") == {"names": [], "images": [], "layers": [], "blobs": [], "bytes": 0}
    cli.run("tag", "base:1", "app:1")
    document = cli.json("prune")
    assert document["images"] == [images["app:1"]]
    assert len(document["layers"]) == 1
    assert document["bytes"] > 0
    assert cli.lines("prune") == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("inspect", "nothing"), 3),
        (("history", "nothing"), 3),
        (("tag", "nothing", "x"), 3),
        (("rmi", "nothing"), 3),
        (("create", "nothing"), 3),
        (("rm", "nothing"), 3),
        (("diff", "nothing"), 3),
        (("export", "nothing", "--output", "/dev/null/x"), 3),
        (("cp", "nothing:/x", "."), 3),
        (("cp", "a", "b"), 2),
        (("cp", "a:b", "c:d"), 2),
        (("tag", "base:1", "NOT A NAME"), 7),
        (("create", "Base:1"), 7),
        (("commit", "nothing", "x", "--author", "me"), 2),
        (("commit", "nothing"), 3),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, images: dict[str, str], words: tuple[str, ...], code: int) -> None:
    assert cli.error(*words, code=code)
    assert cli.error_json(*words, code=code)["message"]
