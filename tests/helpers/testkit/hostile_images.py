"""Archives of images that mean harm or are broken: what each is, and how it must be refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overlaykit import errors
from testkit.images import OCI_INDEX, OCI_MANIFEST, descriptor, digest, layer, make_image, write_layout

__all__ = ["APP", "GOOD", "IMAGES", "BadImage", "image_of", "written"]

GOOD = layer({"etc": None, "etc/motd": b"hello\n", "d": None, "d/old": b"old", "b.txt": b"b", "f": b"x"})
APP = layer({"app": None, "app/main": b"run\n" * 100})
_MADE = make_image([GOOD, APP])
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"

_FORMAT = errors.ImageFormatError
_LIMIT = errors.LimitError
_MEDIA = errors.MediaTypeError
_DIGEST = errors.DigestMismatchError
_NAME = errors.ImageReferenceError


@dataclass(frozen=True)
class BadImage:
    """An image that is refused.

    :param make: writes it into a directory and returns where.
    :param error: the type of the error.
    :param says: a part of its message, as a regular expression.
    """

    make: Callable[[Path], Path]
    error: type[errors.OverlaykitError]
    says: str


def _tar(path: Path, files: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name) if isinstance(data, bytes) else data
            info.name = name
            info.size = len(data) if isinstance(data, bytes) else 0
            out.addfile(info, io.BytesIO(data if isinstance(data, bytes) else b""))
    return path


def _blob(data: bytes) -> str:
    return f"blobs/sha256/{digest(data)[7:]}"


def written(
    directory: Path,
    *,
    manifest: bytes = _MADE.manifest,
    config: bytes = _MADE.config,
    layers: tuple[bytes, ...] = _MADE.layers,
    index: bytes | None = None,
    name: str = "docker.io/library/bad:1",
    more: dict[str, bytes | tarfile.TarInfo] | None = None,
    media_type: str = OCI_MANIFEST,
) -> Path:
    """Write an OCI archive of these documents and layers, whatever they are."""
    entry = descriptor(manifest, media_type, annotations={"org.opencontainers.image.ref.name": name})
    files: dict[str, bytes | tarfile.TarInfo] = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode() if index is None else index,
        **{_blob(blob): blob for blob in (manifest, config, *layers)},
        **(more or {}),
    }
    return _tar(directory / "bad.tar", files)


def image_of(directory: Path, *layers: bytes, diff_ids: list[str] | None = None) -> Path:
    """Write an OCI archive whose documents are right and whose uppermost layers are what they are."""
    blobs = [_MADE.layers[0], *layers]
    ids = [digest(GOOD), *(diff_ids or [digest(b"anything" + one[:100]) for one in layers])]
    config = _config(rootfs={"type": "layers", "diff_ids": ids}, history=[])
    return written(directory, manifest=_manifest(config, blobs), config=config, layers=tuple(blobs))


def _config(**changes: Any) -> bytes:
    document = json.loads(_MADE.config)
    document.update(changes)
    return json.dumps(document).encode()


def _manifest(config: bytes = _MADE.config, layers: list[bytes] | None = None) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, _CONFIG),
        "layers": [descriptor(one, _LAYER) for one in (_MADE.layers if layers is None else layers)],
    }
    return json.dumps(document).encode()


def _told(**changes: Any) -> bytes:
    """Return the right manifest with other members."""
    return json.dumps({**json.loads(_manifest()), **changes}).encode()


def _layers(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], Path]:
    """Change the descriptors of the layers."""

    def make(directory: Path) -> Path:
        told = [descriptor(one, _LAYER) for one in _MADE.layers]
        change(told)
        return written(directory, manifest=_told(layers=told))

    return make


def _of_config(**changes: Any) -> Callable[[Path], Path]:
    config = _config(**changes)
    return lambda directory: written(directory, config=config, manifest=_manifest(config))


def _raw_config(config: bytes) -> Callable[[Path], Path]:
    return lambda directory: written(directory, config=config, manifest=_manifest(config))


def _raw_manifest(manifest: bytes, **more: Any) -> Callable[[Path], Path]:
    return lambda directory: written(directory, manifest=manifest, **more)


def _index(*entries: Any, **more: Any) -> Callable[[Path], Path]:
    data = json.dumps({"schemaVersion": 2, "manifests": list(entries), **more}).encode()
    return lambda directory: written(directory, index=data)


def _raw_index(data: bytes) -> Callable[[Path], Path]:
    return lambda directory: written(directory, index=data)


def _nested(count: int) -> Callable[[Path], Path]:
    """Indexes inside indexes."""

    def make(directory: Path) -> Path:
        more: dict[str, bytes | tarfile.TarInfo] = {}
        inner = descriptor(_MADE.manifest, OCI_MANIFEST)
        for _ in range(count):
            data = json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode()
            more[_blob(data)] = data
            inner = descriptor(data, OCI_INDEX)
        return written(directory, index=json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode(), more=more)

    return make


def _damaged(what: bytes, to: bytes | tarfile.TarInfo | None) -> Callable[[Path], Path]:
    """Put something else in a blob's place, or nothing."""

    def make(directory: Path) -> Path:
        path = written(directory)
        with tarfile.open(path) as archive:
            files: dict[str, bytes | tarfile.TarInfo] = {}
            for info in archive.getmembers():
                content = archive.extractfile(info)
                assert content is not None
                files[info.name] = content.read()
        if to is None:
            del files[_blob(what)]
        else:
            files[_blob(what)] = to
        return _tar(path, files)

    return make


def _link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo("link")
    info.type = kind
    info.linkname = target
    return info


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """Change the archive as a whole."""

    def make(directory: Path) -> Path:
        path = written(directory)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def _docker(manifest: Any, **files: bytes | tarfile.TarInfo) -> Callable[[Path], Path]:
    """A docker archive of the old form: ``c`` is a configuration, ``l1`` and ``l2`` are its layers."""
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    inside: dict[str, bytes | tarfile.TarInfo] = {"c": _MADE.config, "l1": GOOD, "l2": APP, **files}
    return lambda directory: _tar(directory / "bad.tar", {"manifest.json": data, **inside})


def _listed(**changes: Any) -> list[dict[str, Any]]:
    return [{"Config": "c", "RepoTags": ["bad:1"], "Layers": ["l1", "l2"], **changes}]


def _directory(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """A layout directory."""

    def make(directory: Path) -> Path:
        path = write_layout(directory / "layout", {"bad:1": _MADE})
        change(path)
        return path

    return make


def _swap(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _empty(directory: Path) -> Path:
    path = directory / "layout"
    path.mkdir()
    return path


_DEEP = b"[" * 100_000 + b"]" * 100_000
_OBJECTS = b'{"a":' * 100_000 + b"1" + b"}" * 100_000

IMAGES: dict[str, BadImage] = {
    # Many.
    "a manifest with 10,000 layers": BadImage(
        _raw_manifest(_manifest(layers=[_MADE.layers[0]] * 10_000)), _LIMIT, "layers"
    ),
    "an index of 10,000 manifests": BadImage(
        _index(*[descriptor(_MADE.manifest, OCI_MANIFEST)] * 10_000), _LIMIT, "manifests"
    ),
    "a docker archive with 10,000 layers": BadImage(_docker(_listed(Layers=["l1"] * 10_000)), _LIMIT, "layers"),
    "a docker archive with 10,000 images": BadImage(_docker(_listed() * 10_000), _LIMIT, "images"),
    "indexes inside indexes": BadImage(_nested(10), _FORMAT, "leads through"),
    # Documents.
    "an index of 5 MB": BadImage(_raw_index(b" " * (5 << 20) + b"{}"), _LIMIT, "more bytes"),
    "a manifest of 5 MB": BadImage(_raw_manifest(_manifest() + b" " * (5 << 20)), _LIMIT, "bytes|larger"),
    "a configuration of 5 MB": BadImage(_raw_config(_MADE.config + b" " * (5 << 20)), _LIMIT, "larger"),
    "an index that is nested deep": BadImage(_raw_index(_DEEP), _FORMAT, "deep|no JSON|not JSON"),
    "a manifest that is nested deep": BadImage(_raw_manifest(_OBJECTS), _FORMAT, "deep|no JSON|not JSON"),
    "a configuration that is nested deep": BadImage(_raw_config(_OBJECTS), _FORMAT, "deep|no JSON|not JSON"),
    "a docker manifest that is nested deep": BadImage(_docker(_DEEP), _FORMAT, "deep|no JSON|not JSON"),
    "a number of 100,000 digits": BadImage(
        _raw_manifest(_manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": ' + b"2" * 100_000)),
        _FORMAT,
        "JSON",
    ),
    "a number that is infinite": BadImage(
        _raw_manifest(_manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": 1e999')), _FORMAT, "schemaVersion"
    ),
    "a number that is none": BadImage(
        _raw_manifest(_manifest().replace(b'"schemaVersion": 2', b'"schemaVersion": NaN')), _FORMAT, "JSON"
    ),
    "members that come twice in a manifest": BadImage(
        _raw_manifest(_manifest()[:-1] + b', "layers": []}'), _FORMAT, "twice"
    ),
    "members that come twice in a configuration": BadImage(
        _raw_config(_MADE.config[:-1] + b', "rootfs": {"type": "layers", "diff_ids": []}}'), _FORMAT, "twice"
    ),
    "members that come twice in an index": BadImage(
        _raw_index(b'{"manifests": [], "manifests": [{}]}'), _FORMAT, "twice"
    ),
    "members that come twice in a docker manifest": BadImage(
        _docker(b'[{"Config": "c", "Layers": ["l1", "l2"], "Layers": []}]'), _FORMAT, "twice"
    ),
    "an index that is no object": BadImage(_raw_index(b"[]"), _FORMAT, "index.json"),
    "an index of numbers": BadImage(_index(1, 2), _FORMAT, "index.json"),
    "an index of nothing": BadImage(_index(), _FORMAT, "no image"),
    "an index that is not UTF-8": BadImage(_raw_index(b'{"a": "\xff\xfe"}'), _FORMAT, "JSON"),
    "a manifest that is text": BadImage(_raw_manifest(b"<html>"), _FORMAT, "JSON"),
    "a manifest that is a list": BadImage(_raw_manifest(b"[]"), _FORMAT, "no JSON object"),
    "a manifest without a configuration": BadImage(_raw_manifest(_told(config=None)), _FORMAT, "missing"),
    "a manifest with layers that are text": BadImage(_raw_manifest(_told(layers="x")), _FORMAT, "type"),
    "a manifest of schema 1": BadImage(_raw_manifest(b'{"schemaVersion": 1, "fsLayers": []}'), _MEDIA, "schema 1"),
    "a manifest of schema 3": BadImage(_raw_manifest(_told(schemaVersion=3)), _FORMAT, "schemaVersion"),
    "a manifest of another media type": BadImage(
        _raw_manifest(_told(mediaType="application/x-evil")), _MEDIA, "media type"
    ),
    "a manifest with line breaks in its media type": BadImage(
        _raw_manifest(_told(mediaType="a\nb\x1b[2J")), _MEDIA, "media type"
    ),
    "a descriptor of another media type": BadImage(
        _raw_manifest(_manifest(), media_type="text/plain"), _MEDIA, "media type"
    ),
    "an artifact's configuration": BadImage(
        _raw_manifest(_told(config=descriptor(b"{}", "application/vnd.oci.empty.v1+json"))), _MEDIA, "media type"
    ),
    "a foreign layer": BadImage(
        _layers(lambda told: told[1].update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
        _MEDIA,
        "foreign",
    ),
    "a layer that may not be given away": BadImage(
        _layers(lambda told: told[1].update(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")),
        _MEDIA,
        "foreign",
    ),
    "a layer of another media type": BadImage(
        _layers(lambda told: told[1].update(mediaType="application/x-rar")), _MEDIA, "media type"
    ),
    "a layer of an encrypted media type": BadImage(
        _layers(lambda told: told[1].update(mediaType=_LAYER + "+encrypted")), _MEDIA, "media type"
    ),
    "a layer without a digest": BadImage(_layers(lambda told: told[1].pop("digest")), _FORMAT, "digest is missing"),
    "a layer whose digest is a path": BadImage(
        _layers(lambda told: told[1].update(digest="sha256:../../../../etc/passwd")), _FORMAT, "no digest"
    ),
    "a layer whose digest is a long text": BadImage(
        _layers(lambda told: told[1].update(digest="sha256:" + "a" * 100_000)), _FORMAT, "no digest"
    ),
    "a layer of negative size": BadImage(_layers(lambda told: told[1].update(size=-1)), _FORMAT, "size"),
    "a layer of half a byte": BadImage(_layers(lambda told: told[1].update(size=0.5)), _FORMAT, "type"),
    "a layer that is shorter than it says": BadImage(_layers(lambda told: told[1].update(size=9999)), _FORMAT, "bytes"),
    "a layer that is known and larger than it says": BadImage(
        _layers(lambda told: told[0].update(size=1)), _FORMAT, "bytes"
    ),
    "a layer that is known and beyond 64 bits": BadImage(
        _layers(lambda told: told[0].update(size=1 << 70)), _FORMAT, "bytes"
    ),
    "more layers than diff ids": BadImage(
        _of_config(rootfs={"type": "layers", "diff_ids": [digest(GOOD)]}), _FORMAT, "2 layers"
    ),
    "no root file system": BadImage(_of_config(rootfs=None), _FORMAT, "2 layers|rootfs"),
    "a root file system that is text": BadImage(_of_config(rootfs="x"), _FORMAT, "type"),
    "diff ids that are numbers": BadImage(_of_config(rootfs={"diff_ids": [1, 2]}), _FORMAT, "strings"),
    "diff ids that are paths": BadImage(_of_config(rootfs={"diff_ids": ["../../x", "/etc"]}), _FORMAT, "no digest"),
    "layers in the wrong order": BadImage(
        _of_config(rootfs={"type": "layers", "diff_ids": [digest(APP), digest(GOOD)]}), _DIGEST, "uncompressed"
    ),
    "another diff id": BadImage(
        _of_config(rootfs={"type": "layers", "diff_ids": [digest(GOOD), digest(b"x")]}), _DIGEST, "uncompressed"
    ),
    "a history that is text": BadImage(_of_config(history="x"), _FORMAT, "type"),
    "a history of numbers": BadImage(_of_config(history=[1]), _FORMAT, "no JSON object"),
    "a system that is half a letter": BadImage(_of_config(os="\ud800"), _FORMAT, "text"),
    "a system that is a number": BadImage(_of_config(os=7), _FORMAT, "type"),
    # Blobs.
    "another manifest": BadImage(_damaged(_MADE.manifest, b"x" * len(_MADE.manifest)), _DIGEST, "digest"),
    "another configuration": BadImage(_damaged(_MADE.config, b"x" * len(_MADE.config)), _DIGEST, "digest"),
    "another layer": BadImage(_damaged(_MADE.layers[1], b"x" * len(_MADE.layers[1])), _DIGEST, "digest"),
    "a longer layer": BadImage(_damaged(_MADE.layers[1], _MADE.layers[1] + b"x"), _FORMAT, "bytes"),
    "no manifest": BadImage(_damaged(_MADE.manifest, None), _FORMAT, "has no"),
    "no configuration": BadImage(_damaged(_MADE.config, None), _FORMAT, "has no"),
    "no layer": BadImage(_damaged(_MADE.layers[1], None), _FORMAT, "has no"),
    "a layer that is a symbolic link": BadImage(_damaged(_MADE.layers[1], _link("/etc/passwd")), _FORMAT, "link"),
    "a layer that is a hard link": BadImage(
        _damaged(_MADE.layers[1], _link("index.json", tarfile.LNKTYPE)), _FORMAT, "link"
    ),
    "a layer that is a device": BadImage(_damaged(_MADE.layers[1], _link("", tarfile.CHRTYPE)), _FORMAT, "special"),
    # Names.
    "a name that climbs": BadImage(lambda at: written(at, name="../../etc/passwd"), _NAME, "bad.tar"),
    "a name with line breaks": BadImage(lambda at: written(at, name="a/b:\nc"), _NAME, "bad.tar"),
    "a name of 100,000 letters": BadImage(lambda at: written(at, name="a/" * 50_000), _NAME, "bad.tar"),
    "a docker name that climbs": BadImage(_docker(_listed(RepoTags=["../..:x"])), _NAME, "bad.tar"),
    # Archives.
    "an archive that is cut short": BadImage(_bytes(lambda data: data[:-9000]), _FORMAT, "cut short|damaged|no image"),
    "an archive that is cut in its first header": BadImage(_bytes(lambda data: data[:100]), _FORMAT, "archive|cut"),
    "an archive that is damaged": BadImage(_bytes(lambda data: b"X" + data[1:]), _FORMAT, "tar archive"),
    "an archive of zeros": BadImage(_bytes(lambda data: bytes(20_000)), _FORMAT, "tar archive|neither"),
    "an empty archive": BadImage(_bytes(lambda data: b""), _FORMAT, "empty"),
    "an archive that is text": BadImage(_bytes(lambda data: b"not an archive\n" * 100), _FORMAT, "tar archive"),
    "an archive of nothing": BadImage(_bytes(lambda data: gzip.compress(bytes(1024))), _FORMAT, "neither"),
    "a gzip archive that is cut short": BadImage(
        _bytes(lambda data: gzip.compress(data)[:-20]), errors.LayerFormatError, "end too early"
    ),
    "a gzip archive with garbage behind it": BadImage(
        _bytes(lambda data: gzip.compress(data) + b"garbage"), errors.LayerFormatError, "follows"
    ),
    "a gzip archive that is a bomb": BadImage(
        _bytes(lambda data: gzip.compress(data + bytes(1 << 20)) + gzip.compress(bytes(1 << 20), 9) * 400),
        _LIMIT,
        "times its size",
    ),
    "a bzip2 archive": BadImage(_bytes(lambda data: b"BZh91AY&SY" + data), _MEDIA, "bzip2"),
    "an archive with sparse files": BadImage(lambda at: written(at, more={"s": _sparse("s")}), _FORMAT, "sparse"),
    "a file that comes twice": BadImage(lambda at: written(at, more={"./index.json": b"{}"}), _FORMAT, "twice"),
    # Docker archives.
    "a docker archive whose layer is outside": BadImage(
        _docker(_listed(Layers=["l1", "../../../../etc/passwd"])), _FORMAT, "outside"
    ),
    "a docker archive whose layer is absolute": BadImage(
        _docker(_listed(Layers=["l1", "/etc/passwd"])), _FORMAT, "outside"
    ),
    "a docker archive whose configuration is outside": BadImage(
        _docker(_listed(Config="../../etc/passwd")), _FORMAT, "outside"
    ),
    "a docker archive whose layer links outside": BadImage(
        _docker(_listed(), l2=_link("../../../etc/passwd")), _FORMAT, "outside"
    ),
    "a docker archive whose layer links in a circle": BadImage(_docker(_listed(), l2=_link("l2")), _FORMAT, "loop"),
    "a docker archive whose layer links to nothing": BadImage(
        _docker(_listed(), l2=_link("none")), _FORMAT, "has no layer"
    ),
    "a docker archive whose layer is another": BadImage(_docker(_listed(), l2=GOOD), _DIGEST, "digest"),
    "a docker archive without a layer": BadImage(_docker(_listed(Layers=["l1", "l9"])), _FORMAT, "has no layer"),
    "a docker archive with a layer too few": BadImage(_docker(_listed(Layers=["l1"])), _FORMAT, "diff ids"),
    "a docker archive that is an object": BadImage(_docker({}), _FORMAT, "no list"),
    "a docker archive of numbers": BadImage(_docker([1]), _FORMAT, "without Config"),
    "a docker archive with a name of NUL": BadImage(_docker(_listed(Config="c\0")), _FORMAT, "outside"),
    # Layout directories.
    "a layout whose index is a link": BadImage(
        _directory(lambda path: _swap(path / "index.json", Path("/etc/passwd"))), _FORMAT, "symbolic link"
    ),
    "a layout whose layer is a link": BadImage(
        _directory(lambda path: _swap(path / _blob(_MADE.layers[1]), Path("/etc/passwd"))), _FORMAT, "symbolic link"
    ),
    "a layout whose layer is a FIFO": BadImage(
        _directory(lambda path: _fifo(path / _blob(_MADE.layers[1]))), _FORMAT, "regular file"
    ),
    "a layout whose index is a FIFO": BadImage(_directory(lambda path: _fifo(path / "index.json")), _FORMAT, "regular"),
    "a layout that is an empty directory": BadImage(_empty, _FORMAT, "neither"),
}


def _sparse(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000"}
    return info
