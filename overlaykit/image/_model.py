"""The documents of an image: descriptors, indexes, manifests, configurations (OCI image specification 1.1).

Each is read from bytes and keeps them: what is written again is the same, digest and unknown members included. Docker's
media types (image manifest version 2, schema 2) are read alike.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from .. import errors
from ..changeset import Limits, digest_of, split_digest
from ..values import field, value_class
from ._json import Document, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONFIG_TYPES",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "Descriptor",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "Platform",
    "chain_ids",
]

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."

OCI_INDEX = _OCI + "index.v1+json"
OCI_MANIFEST = _OCI + "manifest.v1+json"
OCI_CONFIG = _OCI + "config.v1+json"
OCI_LAYER = _OCI + "layer.v1.tar"

INDEX_TYPES = frozenset((OCI_INDEX, _DOCKER + "distribution.manifest.list.v2+json"))
MANIFEST_TYPES = frozenset((OCI_MANIFEST, _DOCKER + "distribution.manifest.v2+json"))
CONFIG_TYPES = frozenset((OCI_CONFIG, _DOCKER + "container.image.v1+json"))
_LAYER_TYPES = frozenset(
    (
        *(OCI_LAYER + end for end in ("", "+gzip", "+zstd")),
        *(_DOCKER + "image.rootfs.diff.tar" + end for end in ("", ".gzip", ".zstd")),
        _DOCKER + "container.image.rootfs.diff+x-gtar",
    )
)
_FOREIGN = ("nondistributable", "rootfs.foreign")

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386", "armv7l": "arm", "armv6l": "arm"}
_VARIANTS = {"armv7l": "v7", "armv6l": "v6"}


@value_class
class Platform:
    """What an image runs on; the names are Go's.

    :param os: as ``linux``.
    :param architecture: as ``amd64`` or ``arm64``.
    :param variant: of the architecture, as ``v7``; ``""`` for none.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``OS/ARCHITECTURE[/VARIANT]``.

        :raises ImageReferenceError: it is none.
        """
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise errors.ImageReferenceError(f"{text[:100]!r} is no platform: write it as linux/amd64 or linux/arm/v7")
        return cls(*parts)

    @classmethod
    def here(cls) -> Self:
        """Return that of this machine."""
        machine = _machine().lower()
        return cls("linux", _MACHINES.get(machine, machine), _VARIANTS.get(machine, ""))

    def accepts(self, other: Platform) -> bool:
        """Tell whether an image for another platform is one for this."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        return not self.variant or not other.variant or _variant(self) == _variant(other)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _machine() -> str:
    # The module platform takes as long to import as all that is asked of it here; it knows what is no Unix.
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform

    return platform.machine()


def _platform(told: Document) -> Platform:
    where = Platform(told.text("os"), told.text("architecture"), told.text("variant"))
    # It is shown, and kept in a database: half a surrogate pair is a string to Python alone.
    if not str(where).isprintable():
        raise told.bad("the platform is no text")
    return where


def _variant(one: Platform) -> str:
    return "" if (one.architecture, one.variant) == ("arm64", "v8") else one.variant


@value_class
class Descriptor:
    """What a document says of a blob.

    :param media_type: what it is.
    :param digest: of its bytes.
    :param size: bytes.
    :param platform: of a manifest in an index.
    :param annotations: text to text.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read one from a document.

        :raises ImageFormatError: it is none.
        """
        digest = document.text("digest", None)
        split_digest(digest)
        told = document.inner("platform")
        where = None
        if told.value:
            where = _platform(told)
        return cls(
            document.text("mediaType", None), digest, document.number("size"), where, document.mapping("annotations")
        )

    def document(self) -> dict[str, Any]:
        """Return it as a document has it."""
        told: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            where = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                where["variant"] = self.platform.variant
            told["platform"] = where
        if self.annotations:
            told["annotations"] = dict(self.annotations)
        return told

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Self:
        """Describe bytes."""
        return cls(media_type, digest_of(data), len(data))


@value_class
class Index:
    """A list of manifests, one a platform.

    :param raw: its bytes.
    :param manifests: descriptors of manifests, or of further indexes.
    :param media_type: its media type.
    """

    raw: bytes
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    media_type: str = OCI_INDEX

    @classmethod
    def parse(cls, raw: bytes, limits: Limits | None = None) -> Self:
        """Read one.

        :raises ImageFormatError: it is none.
        :raises LimitError: it is too large.
        """
        document = parse(raw, "the index", limits or Limits())
        found = document.items("manifests")
        return cls(
            raw,
            tuple(Descriptor.read(Document(one, "a manifest of the index")) for one in found),
            document.mapping("annotations"),
            document.text("mediaType") or OCI_INDEX,
        )

    @property
    def descriptor(self) -> Descriptor:
        """Its descriptor."""
        return Descriptor.of(self.media_type, self.raw)

    def select(self, wanted: Platform) -> Descriptor:
        """Return the manifest for a platform.

        :raises NotFoundError: there is none; the message lists those that there are.
        """
        fitting = [one for one in self.manifests if one.platform is not None and wanted.accepts(one.platform)]
        exact = [one for one in fitting if one.platform == wanted]
        for one in (*exact, *fitting):
            return one
        nameless = [one for one in self.manifests if one.platform is None]
        if len(self.manifests) == len(nameless) == 1:
            return nameless[0]
        there = ", ".join(sorted({str(one.platform) for one in self.manifests if one.platform})[:20])
        raise errors.NotFoundError(f"there is no image for {wanted}; there are those for {there or 'nothing'}")


@value_class
class Manifest:
    """An image: a configuration and layers, the lowest first.

    :param raw: its bytes.
    :param media_type: its media type.
    """

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "", limits: Limits | None = None) -> Self:
        """Read one.

        :param media_type: what its descriptor says; its own word counts where that is nothing.
        :raises ImageFormatError: it is none.
        :raises MediaTypeError: it is a manifest of another kind, or has layers of another kind.
        :raises LimitError: it is too large, or has too many layers.
        """
        limits = limits or Limits()
        document = parse(raw, "the manifest", limits)
        if document.value.get("schemaVersion") == 1 or "fsLayers" in document.value:
            raise errors.MediaTypeError("the image has a manifest of schema 1, which registries gave up: push it anew")
        if document.number("schemaVersion", 2) != 2:
            raise document.bad("schemaVersion is not 2")
        told = document.text("mediaType") or media_type or OCI_MANIFEST
        if told not in MANIFEST_TYPES:
            raise errors.MediaTypeError(f"{told[:200]!r} is no media type of a manifest that is known here")
        found = document.items("layers")
        limits.check("layers", len(found), "the image has more layers")
        config = Descriptor.read(document.inner("config"))
        if config.media_type not in CONFIG_TYPES:
            raise errors.MediaTypeError(f"{config.media_type[:200]!r} is no media type of an image's configuration")
        layers = tuple(Descriptor.read(Document(one, "a layer of the manifest")) for one in found)
        for layer in layers:
            if any(word in layer.media_type for word in _FOREIGN):
                raise errors.MediaTypeError(f"the layer {layer.digest} is foreign: it is not to be had with the image")
            if layer.media_type not in _LAYER_TYPES:
                raise errors.MediaTypeError(f"{layer.media_type[:200]!r} is no media type of a layer known here")
        return cls(raw, told, config, layers, document.mapping("annotations"))

    @property
    def descriptor(self) -> Descriptor:
        """Its descriptor."""
        return Descriptor.of(self.media_type, self.raw)


@value_class
class History:
    """One instruction of an image's making.

    :param created: when, as RFC 3339 has it; ``""`` where that is not known.
    :param created_by: what.
    :param empty_layer: whether it made no layer.
    """

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@value_class
class ImageConfig:
    """What an image is besides its layers.

    :param raw: its bytes.
    :param diff_ids: digests of the uncompressed layers, the lowest first.
    :param document: all of it.
    """

    raw: bytes
    platform: Platform
    diff_ids: tuple[str, ...]
    history: tuple[History, ...]
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes, limits: Limits | None = None) -> Self:
        """Read one.

        :raises ImageFormatError: it is none.
        :raises LimitError: it is too large.
        """
        document = parse(raw, "the image's configuration", limits or Limits())
        diff_ids = document.inner("rootfs").texts("diff_ids")
        for one in diff_ids:
            split_digest(one)
        history = []
        for entry in document.items("history"):
            told = Document(entry, "an entry of the image's history")
            history.append(
                History(
                    told.text("created"),
                    told.text("created_by"),
                    told.text("author"),
                    told.text("comment"),
                    told.flag("empty_layer"),
                )
            )
        document.inner("config")
        where = _platform(document)
        return cls(raw, where, diff_ids, tuple(history), document.value)

    @property
    def created(self) -> str:
        """When the image was made, as RFC 3339 has it."""
        value = self.document.get("created")
        return value if isinstance(value, str) else ""


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return what each layer is known by together with those below (OCI image specification, config.md, "ChainID")."""
    chain: list[str] = []
    for one in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {one}".encode()) if chain else one)
    return tuple(chain)
