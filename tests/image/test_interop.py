"""What we save loads in other tools, and what they save loads here: digests and trees stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image, pack, write_docker_archive, write_layout
from testkit.loops import need_root
from testkit.peers import Containerd, Podman, containerd, podman, skopeo, umoci

from overlaykit.image import load, open_store, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.image import ImageStore
    from overlaykit.tree import Tree

__all__ = ["containerd", "podman"]

BASE = layer({"etc": None, "etc/motd": b"hello\n", "etc/old": b"old\n", "usr": None, "usr/lib": None})
APP = layer({"etc": None, "etc/.wh.old": b"", "app": b"x" * 50_000, "usr": None, "usr/new": b"1"})
TOP = layer({"etc": None, "etc/motd": b"changed\n"})
IMAGES = {
    "docker.io/library/base:1": make_image([BASE]),
    "docker.io/library/app:2": make_image([BASE, APP]),
    "localhost/top:latest": make_image([BASE, APP, TOP], compression="none"),
}
APP_NAME, TOP_NAME = "docker.io/library/app:2", "localhost/top:latest"
TREE = {
    "etc": None,
    "etc/motd": b"changed\n",
    "usr": None,
    "usr/lib": None,
    "usr/new": b"1",
    "app": b"x" * 50_000,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    """A store without images."""
    with open_store(tmp_path / "store", driver="directory", durability="none") as store:
        yield store


@pytest.fixture
def stocked(store: ImageStore, tmp_path: Path) -> ImageStore:
    """A store with three images that share layers."""
    load(store, write_layout(tmp_path / "made", IMAGES))
    return store


def files_in(directory: Path) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for at, _, names in os.walk(directory):
        relative = os.path.relpath(at, directory)
        if relative != ".":
            found[relative] = None
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def files_of(tree: Tree, path: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for entry in tree.scandir(path or "."):
        name = f"{path}/{entry.name}" if path else entry.name
        if stat.S_ISDIR(tree.lstat(name).st_mode):
            found[name] = None
            found |= files_of(tree, name)
        else:
            with tree.open(name, "rb") as file:
                found[name] = file.read()
    return found


def tree_of(store: ImageStore, name: str) -> dict[str, bytes | None]:
    """Return what an image's tree holds."""
    top = store.image(name).top
    assert top is not None
    with store.tree(top, readonly=True) as tree:
        return files_of(tree)


def config_digest(store: ImageStore, name: str) -> str:
    return store.image(name).config


FORMS = ["oci", "oci-archive", "docker-archive"]

#: It would compress layers otherwise; a docker archive has another manifest anyhow.
KEEP = {"oci": ["--preserve-digests"], "oci-archive": ["--preserve-digests"], "docker-archive": []}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", IMAGES)
def test_skopeo_reads_what_we_save(form: str, name: str, stocked: ImageStore, tmp_path: Path) -> None:
    target = tmp_path / "saved"
    save(stocked, [*IMAGES], target, form=form)
    source = f"{form}:{target}:{name}"
    config = skopeo("inspect", "--config", "--raw", source)
    assert config.encode() == IMAGES[name].config
    if form != "docker-archive":
        assert skopeo("inspect", "--raw", source).encode() == IMAGES[name].manifest
    skopeo("copy", "--quiet", *KEEP[form], source, f"oci:{tmp_path}/copy:x")
    [copied] = json.loads((tmp_path / "copy" / "index.json").read_text())["manifests"]
    if form != "docker-archive":
        assert copied["digest"] == digest(IMAGES[name].manifest)


@pytest.mark.parametrize("form", FORMS)
def test_we_read_what_skopeo_saves(form: str, store: ImageStore, tmp_path: Path) -> None:
    made = write_layout(tmp_path / "made", IMAGES)
    skopeo("copy", "--quiet", *KEEP[form], f"oci:{made}:{TOP_NAME}", f"{form}:{tmp_path}/saved:{TOP_NAME}")
    load(store, tmp_path / "saved")
    assert config_digest(store, TOP_NAME) == digest(IMAGES[TOP_NAME].config)
    if form != "docker-archive":
        assert store.image(TOP_NAME).digest == digest(IMAGES[TOP_NAME].manifest)
    assert tree_of(store, TOP_NAME) == TREE


def test_umoci_unpacks_what_we_save(stocked: ImageStore, tmp_path: Path) -> None:
    need_root()
    save(stocked, [TOP_NAME], tmp_path / "saved", form="oci")
    umoci("unpack", "--image", f"{tmp_path}/saved:{TOP_NAME}", tmp_path / "bundle")
    assert files_in(tmp_path / "bundle" / "rootfs") == TREE == tree_of(stocked, TOP_NAME)


def test_we_read_what_umoci_inserts(stocked: ImageStore, tmp_path: Path) -> None:
    """Its archives end after the last content, with neither padding nor blocks of zeros."""
    layout = tmp_path / "layout"
    umoci("init", "--layout", layout)
    umoci("new", "--image", f"{layout}:localhost/inserted:1")
    (tmp_path / "inserted").write_text("by umoci")
    umoci("insert", "--image", f"{layout}:localhost/inserted:1", tmp_path / "inserted", "/new")
    stocked.load(layout)
    assert tree_of(stocked, "localhost/inserted:1") == {"new": b"by umoci"}


def test_we_read_what_umoci_writes(stocked: ImageStore, tmp_path: Path) -> None:
    need_root()
    layout = tmp_path / "layout"
    save(stocked, [TOP_NAME], layout, form="oci")
    umoci("unpack", "--image", f"{layout}:{TOP_NAME}", tmp_path / "bundle")
    (tmp_path / "bundle" / "rootfs" / "new").write_text("by umoci")
    umoci("repack", "--image", f"{layout}:localhost/more:1", tmp_path / "bundle")
    load(stocked, layout)
    assert files_in(tmp_path / "bundle" / "rootfs") == TREE | {"new": b"by umoci"}
    assert tree_of(stocked, "localhost/more:1") == TREE | {"new": b"by umoci"}


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_podman_loads_what_we_save(form: str, stocked: ImageStore, tmp_path: Path, podman: Podman) -> None:
    # It takes one image out of an OCI archive and all out of a docker archive.
    names = [TOP_NAME] if form == "oci-archive" else [*IMAGES]
    save(stocked, names, tmp_path / "saved.tar", form=form)
    podman.load(tmp_path / "saved.tar")
    for name in names:
        found = podman.inspect(name)
        assert f"sha256:{found['Id']}" == digest(IMAGES[name].config)
        assert found["RootFS"]["Layers"] == [digest(plain) for plain in IMAGES[name].plain]
        if form == "oci-archive":
            assert found["Digest"] == digest(IMAGES[name].manifest)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_we_load_what_podman_saves(form: str, store: ImageStore, tmp_path: Path, podman: Podman) -> None:
    if form == "oci-archive":
        # Loaded from a docker archive it would get another configuration on its way into an OCI archive.
        podman.load(pack(write_layout(tmp_path / "made", {TOP_NAME: IMAGES[TOP_NAME]}), tmp_path / "made.tar"))
    else:
        podman.load(write_docker_archive(tmp_path / "made.tar", IMAGES))
    names = [TOP_NAME] if form == "oci-archive" else [*IMAGES]
    many = [] if form == "oci-archive" else ["--multi-image-archive"]
    podman("save", "--quiet", "--format", form, *many, "--output", tmp_path / "saved.tar", *names)
    load(store, tmp_path / "saved.tar")
    for name in names:
        assert config_digest(store, name) == digest(IMAGES[name].config)
    assert tree_of(store, TOP_NAME) == TREE


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_containerd_imports_what_we_save(
    form: str, stocked: ImageStore, tmp_path: Path, containerd: Containerd
) -> None:
    save(stocked, [*IMAGES], tmp_path / "saved.tar", form=form)
    containerd("image", "import", "--snapshotter", "native", tmp_path / "saved.tar")
    assert containerd.digests() == {name: digest(image.manifest) for name, image in IMAGES.items()}


def test_we_load_what_containerd_exports(store: ImageStore, tmp_path: Path, containerd: Containerd) -> None:
    made = pack(write_layout(tmp_path / "made", IMAGES, annotation="containerd"), tmp_path / "made.tar")
    containerd("image", "import", "--snapshotter", "native", made)
    containerd("image", "export", tmp_path / "saved.tar", *IMAGES)
    load(store, tmp_path / "saved.tar")
    for name, image in IMAGES.items():
        assert store.image(name).digest == digest(image.manifest)
    assert tree_of(store, TOP_NAME) == TREE


def test_we_load_what_containerd_converts(store: ImageStore, tmp_path: Path, containerd: Containerd) -> None:
    """It gives what came from a docker archive a manifest of its own, of Docker's schema."""
    containerd(
        "image",
        "import",
        "--snapshotter",
        "native",
        write_docker_archive(tmp_path / "made.tar", {TOP_NAME: IMAGES[TOP_NAME]}),
    )
    [found] = containerd.digests().values()
    containerd("image", "export", tmp_path / "saved.tar", TOP_NAME)
    load(store, tmp_path / "saved.tar")
    assert store.image(TOP_NAME).digest == found
    assert config_digest(store, TOP_NAME) == digest(IMAGES[TOP_NAME].config)
    save(store, [TOP_NAME], tmp_path / "again.tar")
    containerd("image", "rm", TOP_NAME)
    containerd("image", "import", "--snapshotter", "native", tmp_path / "again.tar")
    assert [*containerd.digests().values()] == [found]


def test_what_we_save_is_the_same_twice(stocked: ImageStore, tmp_path: Path) -> None:
    for form in ("oci-archive", "docker-archive"):
        for compression in (None, "gzip", "zstd"):
            digests = []
            for number in range(2):
                path = tmp_path / f"{form}-{compression}-{number}"
                save(stocked, [*IMAGES], path, form=form, compression=compression)
                digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
            assert digests[0] == digests[1]
