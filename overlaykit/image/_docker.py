"""Docker archives: ``manifest.json`` over layers, as ``docker save`` writes them.

The old form has a directory a layer with ``layer.tar`` in it, some of them symbolic links to another one's; the
form of Docker 25 and later is an OCI layout that also has a ``manifest.json``. Facts: moby's
``image/spec/v1.2.md`` and ``docker save``'s output.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import errors
from ..changeset import check_digest, new_hash, split_digest
from ..values import value_class
from ._files import parse_json, read_document
from ._layout import blob_name, to_json
from ._model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..changeset import Limits
    from ._files import Files

__all__ = ["DockerSource", "docker_document", "is_docker", "repo_tags"]

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_CHUNK = 1 << 20


def is_docker(files: Files) -> bool:
    """Return whether this is a docker archive, of either form."""
    return files.size("manifest.json") is not None


@value_class
class _Listed:
    """One image of ``manifest.json``."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]


def _listed(files: Files, limits: Limits) -> list[_Listed]:
    document = read_document(files, "manifest.json", limits)
    what = f"manifest.json in {files.origin}"
    if not isinstance(document, list):
        raise errors.ImageFormatError(f"{what} is no list of images: make it again")
    limits.check("layers", len(document), f"{what} has more images")
    found = []
    for entry in document:
        entry = entry if isinstance(entry, dict) else {}
        layers, tags = entry.get("Layers") or [], entry.get("RepoTags") or []
        texts = [entry.get("Config"), *(layers if isinstance(layers, list) else [None])]
        texts += tags if isinstance(tags, list) else [None]
        if not all(isinstance(text, str) and text for text in texts):
            raise errors.ImageFormatError(f"{what} has an image without Config, Layers and RepoTags: make it again")
        limits.check("layers", len(layers), f"an image in {what} has more layers")
        for name in (entry["Config"], *layers):
            if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
                raise errors.ImageFormatError(f"{what} names the file {name!r:.200}, which is outside: do not trust it")
        found.append(_Listed(entry["Config"], tuple(layers), tuple(tags)))
    return found


def repo_tags(files: Files, limits: Limits) -> dict[str, list[str]]:
    """Return the names that ``manifest.json`` gives, by the digest of the image's configuration.

    For archives that are a layout too, whose index may name images by their tag alone.
    """
    found: dict[str, list[str]] = {}
    for image in _listed(files, limits):
        digits = image.config.rpartition("/")[2].removesuffix(".json")
        found.setdefault(f"sha256:{digits}", []).extend(image.tags)
    return found


class DockerSource:
    """Images out of a docker archive of the old form; a :class:`~overlaykit.image.BlobSource`.

    Such an archive has no manifests: the one given is of Docker's schema 2, over the layers as they are, and is the
    same for the same archive. Digests of layers are the diff ids that the configuration has, and checked when read.

    :param files: the archive.
    :raises ImageFormatError: ``manifest.json`` or a configuration is not what it should be, or a file is missing.
    """

    parallel = 1

    def __init__(self, files: Files, limits: Limits) -> None:
        self._files = files
        self._limits = limits
        self._documents: dict[str, bytes] = {}
        self._blobs: dict[str, tuple[str, int]] = {}
        self._images = [(self._manifest(image), list(image.tags)) for image in _listed(files, limits)]

    def images(self) -> list[tuple[Descriptor, list[str]]]:
        """Return the images and their names, in the archive's order."""
        found: dict[str, tuple[Descriptor, list[str]]] = {}
        for digest, tags in self._images:
            descriptor = Descriptor.of(_MANIFEST, self._documents[digest])
            _, names = found.setdefault(digest, (descriptor, []))
            names += [tag for tag in tags if tag not in names]
        return list(found.values())

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or a configuration."""
        try:
            return self._documents[descriptor.digest]
        except KeyError:
            raise errors.ImageFormatError(f"{self._files.origin} has no {descriptor.digest}: make it again") from None

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """Open a layer, or a document."""
        if descriptor.digest in self._documents:
            return io.BytesIO(self._documents[descriptor.digest][offset:])
        if descriptor.digest not in self._blobs:
            raise errors.ImageFormatError(f"{self._files.origin} has no layer {descriptor.digest}: make it again")
        return self._files.open(self._blobs[descriptor.digest][0], offset)

    def stop(self) -> None:
        """Do nothing: it gives to nobody else."""

    def close(self) -> None:
        """Let go of the archive."""
        self._files.close()

    def _manifest(self, image: _Listed) -> str:
        """Make the manifest of an image and return its digest."""
        files, what = self._files, f"{image.config!r:.200} in {self._files.origin}"
        size = files.size(image.config)
        if size is None:
            raise errors.ImageFormatError(f"{files.origin} has no {image.config!r:.200}: make or get it again")
        self._limits.check("document", size, f"{what} has more bytes")
        with files.open(image.config) as file:
            data = file.read(size)
        config = Descriptor.of(_CONFIG, data).digest
        expected = f"sha256:{image.config.rpartition('/')[2].removesuffix('.json')}"
        if len(expected) == len(config):
            check_digest(what, expected, config)
        diff_ids = _diff_ids(parse_json(data, what), what)
        if len(diff_ids) != len(image.layers):
            raise errors.ImageFormatError(
                f"{what} has {len(diff_ids)} diff ids and manifest.json {len(image.layers)} layers: make it again"
            )
        self._documents[config] = data
        layers = [self._layer(name, diff_id) for name, diff_id in zip(image.layers, diff_ids, strict=True)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": config, "size": len(data)},
            "layers": layers,
        }
        made = to_json(manifest)
        digest = Descriptor.of(_MANIFEST, made).digest
        self._documents[digest] = made
        return digest

    def _layer(self, name: str, diff_id: str) -> dict[str, Any]:
        """Return the descriptor of a layer."""
        split_digest(diff_id)
        name = self._files.resolve(name)
        size = self._files.size(name)
        if size is None:
            raise errors.ImageFormatError(f"{self._files.origin} has no layer {name!r:.200}: make or get it again")
        with self._files.open(name) as file:
            head = file.read(4)
            media_type, digest = _LAYER, diff_id
            if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
                # The archive does not say the digest of what is compressed; a layer that is not has its diff id.
                media_type += ".gzip" if head.startswith(b"\x1f\x8b") else ".zstd"
                hashed = new_hash()
                hashed.update(head)
                while data := file.read(_CHUNK):
                    hashed.update(data)
                digest = f"sha256:{hashed.hexdigest()}"
        self._blobs[digest] = name, size
        return {"mediaType": media_type, "digest": digest, "size": size}


def _diff_ids(config: Any, what: str) -> Sequence[str]:
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None and isinstance(rootfs, dict):
        return ()
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) for one in diff_ids):
        raise errors.ImageFormatError(
            f"{what} is no image's configuration, for it has no rootfs.diff_ids: make it again"
        )
    return diff_ids


def docker_document(images: Iterable[tuple[dict[str, Any], Sequence[str]]]) -> bytes:
    """Return the ``manifest.json`` of images whose blobs stand in a layout.

    :param images: the manifest of each, and its references.
    """
    listed = []
    for manifest, references in images:
        layers = [blob_name(layer["digest"]) for layer in manifest["layers"]]
        config = blob_name(manifest["config"]["digest"])
        listed.append({"Config": config, "RepoTags": list(references), "Layers": layers})
    return to_json(listed)
