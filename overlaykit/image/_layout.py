"""OCI image layouts: the directory that blobs, index and marker stand in (image-layout.md of the specification)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import errors
from ..changeset import check_digest, digest_of, split_digest
from ._files import parse_json, read_document
from ._json import Document
from ._model import OCI_INDEX, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..changeset import Limits
    from ._files import Files

__all__ = ["CONTAINERD_NAME", "REF_NAME", "LayoutSource", "blob_name", "is_layout", "layout_documents"]

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation of the specification (annotations.md): a name inside the layout."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The annotation of containerd and Docker: the whole reference."""


def blob_name(digest: str) -> str:
    """Return where a layout has a blob.

    :raises ImageFormatError: it is no digest.
    """
    algorithm, digits = split_digest(digest)
    return f"blobs/{algorithm}/{digits}"


def is_layout(files: Files) -> bool:
    """Return whether this is an OCI layout, also one that is of a later version or damaged."""
    return files.size("oci-layout") is not None or files.size("index.json") is not None


class LayoutSource:
    """Images out of a layout; a :class:`~overlaykit.image.BlobSource`.

    :param files: the layout.
    :raises ImageFormatError: marker or index are missing, or are not what the specification says.
    :raises MediaTypeError: the layout is of a version that is not known.
    :raises LimitError: a document is larger than it may be.
    """

    parallel = 1

    def __init__(self, files: Files, limits: Limits) -> None:
        self._files = files
        self._limits = limits
        self._made: dict[str, bytes] = {}
        _check_version(files, limits)
        index = read_document(files, "index.json", limits)
        if index is None:
            raise errors.ImageFormatError(f"{files.origin} is an OCI layout without index.json: make it again")
        entries = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise errors.ImageFormatError(f"index.json in {files.origin} is no image index: make it again")
        limits.check("layers", len(entries), f"index.json in {files.origin} has more manifests")
        self.index: Sequence[dict[str, Any]] = entries

    def images(self) -> list[tuple[Descriptor, list[str]]]:
        """Return the images and their names, in the index's order; one that has several names comes once.

        Several without a name are one image for several platforms.
        """
        found: dict[str, tuple[Descriptor, list[str]]] = {}
        unnamed = []
        for entry in self.index:
            descriptor = Descriptor.read(Document(entry, f"a manifest of index.json in {self._files.origin}"))
            name = _name(descriptor.annotations)
            if name is None:
                unnamed.append(descriptor)
            _, names = found.setdefault(descriptor.digest, (descriptor, []))
            if name is not None and name not in names:
                names.append(name)
        if len({one.digest for one in unnamed}) > 1 and all(one.platform is not None for one in unnamed):
            for one in unnamed:
                if not found[one.digest][1]:
                    del found[one.digest]
            entries = [entry for entry in self.index if _name(entry.get("annotations")) is None]
            data = to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
            made = Descriptor.of(OCI_INDEX, data)
            self._made[made.digest] = data
            found[made.digest] = made, []
        return list(found.values())

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest, an index or a configuration, checked against its digest."""
        made = self._made.get(descriptor.digest)
        if made is not None:
            return made
        self._limits.check("document", descriptor.size, f"{descriptor.digest} has more bytes")
        with self.open(descriptor) as blob:
            data = blob.read(descriptor.size)
        actual = digest_of(data, descriptor.digest)
        check_digest(f"a document in {self._files.origin}", descriptor.digest, actual)
        return data

    def config_digest(self, descriptor: Descriptor) -> str | None:
        """Return the digest of an image's configuration, ``None`` where it is no manifest that says one."""
        manifest = parse_json(self.manifest(descriptor), f"{descriptor.digest} in {self._files.origin}")
        config = manifest.get("config") if isinstance(manifest, dict) else None
        digest = config.get("digest") if isinstance(config, dict) else None
        return digest if isinstance(digest, str) else None

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """Open a blob."""
        if descriptor.digest in self._made:
            return io.BytesIO(self._made[descriptor.digest][offset:])
        name = blob_name(descriptor.digest)
        size = self._files.size(name)
        if size is not None and size != descriptor.size:
            raise errors.ImageFormatError(
                f"{descriptor.digest} in {self._files.origin} has {size} bytes and should have {descriptor.size}: "
                "it was cut short or exchanged; make or get it again"
            )
        return self._files.open(name, offset)

    def stop(self) -> None:
        """Do nothing: it gives to nobody else."""

    def close(self) -> None:
        """Let go of the layout."""
        self._files.close()


def _check_version(files: Files, limits: Limits) -> None:
    marker = read_document(files, "oci-layout", limits)
    version = marker.get("imageLayoutVersion") if isinstance(marker, dict) else None
    if not isinstance(version, str):
        raise errors.ImageFormatError(
            f"{files.origin} has index.json and no oci-layout that says the version: it is no OCI layout; make it again"
        )
    if version.partition(".")[0] != "1":
        raise errors.MediaTypeError(
            f"{files.origin} is an OCI layout of version {version!r:.40}, and 1.0.0 is known: a later overlaykit may "
            "read it"
        )


def _name(annotations: object) -> str | None:
    values = annotations if isinstance(annotations, Mapping) else {}
    whole, name = values.get(CONTAINERD_NAME), values.get(REF_NAME)
    # Docker and containerd write the tag alone as the name; others copy an entry with the whole reference of another.
    if isinstance(name, str) and ("/" in name or ":" in name):
        return name
    return next((value for value in (whole, name) if isinstance(value, str) and value), None)


def layout_documents(entries: Iterable[tuple[Descriptor, str | None]]) -> dict[str, bytes]:
    """Return marker and index of a layout.

    :param entries: manifests, and the reference of each.
    """
    manifests = []
    for descriptor, name in entries:
        entry: dict[str, Any] = {
            "mediaType": descriptor.media_type,
            "digest": descriptor.digest,
            "size": descriptor.size,
        }
        if name is not None:
            entry["annotations"] = {CONTAINERD_NAME: name, REF_NAME: name}
        manifests.append(entry)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": to_json(index)}


def to_json(value: object) -> bytes:
    """Return a value as JSON, the same bytes each time."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
