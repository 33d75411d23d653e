"""What images an archive has, told by its content, before any of them goes into a store."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image, pack, write_docker_archive, write_layout

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.image import Manifest
from overlaykit.image._archive import open_files
from overlaykit.image._docker import DockerSource, docker_document, repo_tags
from overlaykit.image._layout import LayoutSource, layout_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.image._files import Files

BASE = layer({"etc": None, "etc/motd": b"hello", "etc/old": b"old"})
APP = layer({"etc/.wh.old": b"", "app": b"x" * 5000})
ONE, TWO = make_image([BASE]), make_image([BASE, APP])


@pytest.mark.parametrize("annotation", ["ref.name", "containerd"])
@pytest.mark.parametrize("form", ["directory", "archive"])
def test_a_layout_says_its_images(annotation: str, form: str, tmp_path: Path) -> None:
    path = write_layout(tmp_path / "l", {"base:1": ONE, "app:2": TWO, "app:latest": TWO}, annotation=annotation)
    if form == "archive":
        path = pack(path, tmp_path / "a.tar")
    source = LayoutSource(open_files(path, Limits(), None), Limits())
    try:
        (first, names), (second, others) = source.images()
        assert (names, others) == (["base:1"], ["app:2", "app:latest"])
        assert (first.digest, second.digest) == (digest(ONE.manifest), digest(TWO.manifest))
        assert source.manifest(second) == TWO.manifest
        manifest = Manifest.parse(source.manifest(second))
        assert source.config_digest(second) == digest(TWO.config)
        with source.open(manifest.layers[1], 5) as blob:
            assert blob.read() == TWO.layers[1][5:]
    finally:
        source.close()


def test_images_for_several_platforms_without_names_are_one(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "l", {"": ONE})
    index = json.loads((path / "index.json").read_text())
    other = dict(index["manifests"][0], digest=digest(TWO.manifest), size=len(TWO.manifest))
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    other["platform"] = {"os": "linux", "architecture": "arm64"}
    index["manifests"].append(other)
    (path / "index.json").write_text(json.dumps(index))
    source = LayoutSource(open_files(path, Limits(), None), Limits())
    [(descriptor, names)] = source.images()
    assert names == []
    assert [one["digest"] for one in json.loads(source.manifest(descriptor))["manifests"]] == [
        digest(ONE.manifest),
        digest(TWO.manifest),
    ]
    with source.open(descriptor) as blob:
        assert digest(blob.read()) == descriptor.digest


def test_a_docker_archive_says_its_images(tmp_path: Path) -> None:
    path = write_docker_archive(tmp_path / "d.tar", {"base:1": ONE, "app:2": TWO, "app:latest": TWO})
    source = DockerSource(open_files(path, Limits(), None), Limits())
    try:
        (_, names), (second, others) = source.images()
        assert (names, others) == (["base:1"], ["app:2", "app:latest"])
        manifest = Manifest.parse(source.manifest(second), second.media_type)
        assert source.manifest(manifest.config) == TWO.config
        assert [one.digest for one in manifest.layers] == [digest(BASE), digest(APP)]
        for one, plain in zip(manifest.layers, TWO.plain, strict=True):
            with source.open(one) as blob:
                assert blob.read() == plain
    finally:
        source.close()


def test_documents_are_read_as_written(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "l", {"": ONE})
    manifest = Manifest.parse(ONE.manifest)
    for name, data in layout_documents([(manifest.descriptor, "docker.io/library/base:1")]).items():
        (path / name).write_bytes(data)
    (path / "manifest.json").write_bytes(docker_document([(json.loads(ONE.manifest), ["base:1"])]))
    files = open_files(path, Limits(), None)
    assert [names for _, names in LayoutSource(files, Limits()).images()] == [["docker.io/library/base:1"]]
    assert repo_tags(files, Limits()) == {digest(ONE.config): ["base:1"]}


def write(name: str, value: object) -> Callable[[Path], None]:
    data = value if isinstance(value, str) else json.dumps(value)
    return lambda path: (path / name).write_text(data) and None


def index(*entries: object) -> Callable[[Path], None]:
    return write("index.json", {"schemaVersion": 2, "manifests": list(entries)})


def link(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / name).rename(path / "other")
        (path / name).symlink_to("/other")

    return make


BLOB = f"blobs/sha256/{hashlib.sha256(ONE.manifest).hexdigest()}"
ENTRY = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(ONE.manifest), "size": 5}

DAMAGES: dict[str, tuple[Callable[[Path], object], type[errors.OverlaykitError], str]] = {
    "no marker": (lambda path: (path / "oci-layout").unlink(), errors.ImageFormatError, "no OCI layout"),
    "no index": (lambda path: (path / "index.json").unlink(), errors.ImageFormatError, "without index.json"),
    "a later version": (write("oci-layout", {"imageLayoutVersion": "2.0.0"}), errors.MediaTypeError, "2.0.0"),
    "an index that is a list": (write("index.json", []), errors.ImageFormatError, "no image index"),
    "an index that is no JSON": (write("index.json", "{"), errors.ImageFormatError, "not JSON"),
    "an index nested without end": (write("index.json", "[" * 500_000), errors.ImageFormatError, "nested"),
    "an entry without digest": (index({"mediaType": "x", "size": 1}), errors.ImageFormatError, "digest"),
    "a digest that is a path": (index(ENTRY | {"digest": "sha256:../../etc/x"}), errors.ImageFormatError, "no digest"),
    "a negative size": (index(ENTRY | {"size": -1}), errors.ImageFormatError, "size"),
    "another size": (index(ENTRY), errors.ImageFormatError, "should have 5"),
    "a blob that is missing": (lambda path: (path / BLOB).unlink(), errors.ImageFormatError, "has no 'blobs"),
    "a blob that is a link": (link(BLOB), errors.ImageFormatError, "symbolic link"),
    "an index that is a link": (link("index.json"), errors.ImageFormatError, "symbolic link"),
    "a blob that is another": (
        lambda path: (path / BLOB).write_bytes(ONE.manifest[:-1] + b" "),
        errors.DigestMismatchError,
        "should have the digest",
    ),
}


def read_all(files: Files) -> None:
    source = LayoutSource(files, Limits())
    for descriptor, _ in source.images():
        source.manifest(descriptor)


@pytest.mark.parametrize("form", ["directory", "archive"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_layout_is_refused(damage: str, form: str, tmp_path: Path) -> None:
    path = write_layout(tmp_path / "l", {"": ONE})
    make, kind, said = DAMAGES[damage]
    make(path)
    if form == "archive":
        path = pack(path, tmp_path / "a.tar")
    files = open_files(path, Limits(), None)
    try:
        with pytest.raises(kind, match=said) as caught:
            read_all(files)
    finally:
        files.close()
    assert len(str(caught.value).splitlines()) == 1


def test_a_huge_document_is_refused(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "l", {"": ONE})
    with pytest.raises(errors.LimitError, match=r"index\.json"):
        LayoutSource(open_files(path, Limits(), None), Limits(document=100))


def docker(path: Path, manifest: object, **files: bytes) -> Path:
    import io

    with tarfile.open(path, "w") as out:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


IMAGE = {"Config": "config", "RepoTags": None, "Layers": ["layer"]}

DOCKER: dict[str, tuple[object, type[errors.OverlaykitError], str]] = {
    "no list": ({}, errors.ImageFormatError, "no list"),
    "no image": ([5], errors.ImageFormatError, "without Config"),
    "layers that are a text": ([IMAGE | {"Layers": "layer"}], errors.ImageFormatError, "without Config"),
    "a layer outside": ([IMAGE | {"Layers": ["../../etc/passwd"]}], errors.ImageFormatError, "outside"),
    "an absolute configuration": ([IMAGE | {"Config": "/etc/passwd"}], errors.ImageFormatError, "outside"),
    "a configuration that is missing": ([IMAGE | {"Config": "x"}], errors.ImageFormatError, "has no 'x'"),
    "a layer that is missing": ([IMAGE | {"Layers": ["x"]}], errors.ImageFormatError, "has no layer 'x'"),
    "a layer too many": ([IMAGE | {"Layers": ["layer", "layer"]}], errors.ImageFormatError, "1 diff ids"),
    "another configuration": ([IMAGE | {"Config": "0" * 64}], errors.DigestMismatchError, "digest"),
    "a configuration that is a layer": ([IMAGE | {"Config": "layer"}], errors.ImageFormatError, "not JSON"),
    "too many layers": ([IMAGE | {"Layers": ["layer"] * 10_000}], errors.LimitError, "layers"),
}


@pytest.mark.parametrize("damage", DOCKER)
def test_a_damaged_docker_archive_is_refused(damage: str, tmp_path: Path) -> None:
    manifest, kind, said = DOCKER[damage]
    path = docker(tmp_path / "d.tar", manifest, config=ONE.config, layer=BASE, **{"0" * 64: ONE.config})
    files = open_files(path, Limits(), None)
    try:
        with pytest.raises(kind, match=said) as caught:
            DockerSource(files, Limits())
    finally:
        files.close()
    assert len(str(caught.value).splitlines()) == 1
