"""A repository of a registry as where images come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO, cast

from ... import errors
from ...changeset import Limits, check_digest, new_hash, split_digest
from .._model import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST, Descriptor
from ._blobs import BlobReader
from ._client import connection_errors
from ._errors import html_error, is_html, reason, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._reference import Reference
    from ._client import Client

__all__ = ["RegistrySource"]

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_ACCEPT = ", ".join((*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES)))


class RegistrySource:
    """Gives manifests and blobs of one repository.

    :param client: of the repository.
    """

    def __init__(self, client: Client, limits: Limits | None = None) -> None:
        self._client = client
        self._limits = limits or Limits()
        self._documents: dict[str, bytes] = {}

    @property
    def parallel(self) -> int:
        """How many blobs it likes to give at once."""
        return self._client.options.parallel

    def stop(self) -> None:
        """End what is under way."""
        self._client.stop()

    def resolve(self, reference: Reference) -> Descriptor:
        """Return the descriptor of the manifest or index that a reference names.

        :raises NotFoundError: the registry has none.
        :raises DigestMismatchError: it is another one than its digest says.
        :raises MediaTypeError: it is of a kind that is not known.
        """
        return self._fetch(reference.digest or reference.tag, reference.digest)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or an index, checked, or a configuration, which the caller checks."""
        if descriptor.media_type not in MANIFEST_TYPES and descriptor.media_type not in INDEX_TYPES:
            return self._small_blob(descriptor)
        if descriptor.digest not in self._documents:
            self._fetch(descriptor.digest, descriptor.digest)
        return self._documents[descriptor.digest]

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """Open a blob from an offset on."""
        return cast("BinaryIO", BlobReader(self._client, descriptor, offset))

    def _small_blob(self, descriptor: Descriptor) -> bytes:
        data = bytearray()
        with self.open(descriptor) as file:
            # One byte more tells that it is longer than it should be.
            while len(data) <= descriptor.size and (piece := file.read(descriptor.size + 1 - len(data))):
                data += piece
        return bytes(data)

    def _fetch(self, name: str, digest: str) -> Descriptor:
        client = self._client
        what = f"image {client.repository}{'@' if digest else ':'}{name}"
        tries = 0
        while True:
            response = client.request(
                "GET", client.url(f"manifests/{name}"), headers={"Accept": _ACCEPT}, expect=(200,), what=what
            )
            try:
                data = client.read(response, self._limits.document)
                break
            except connection_errors() as error:
                if tries >= client.options.retries:
                    raise unavailable(client.registry, reason(error)) from None
                client.wait(tries)
                tries += 1
        self._limits.check("document", len(data), f"the manifest of {what} has more bytes")
        if is_html(response.headers, data):
            raise html_error(client.registry, response.status)
        told = response.headers.get("Docker-Content-Digest", "")
        wanted = digest or told or None
        if not digest and told:
            split_digest(told)
        hashed = new_hash(wanted)
        hashed.update(data)
        actual = f"{hashed.name}:{hashed.hexdigest()}"
        check_digest(f"the manifest of {what}", wanted, actual)
        self._documents[actual] = data
        return Descriptor(_media_type(response.headers, data, what), actual, len(data))


def _media_type(headers: Mapping[str, str], data: bytes, what: str) -> str:
    told = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if told in MANIFEST_TYPES or told in INDEX_TYPES:
        return told
    if told.startswith(_SCHEMA_1):
        raise errors.MediaTypeError(f"the {what} has a manifest of schema 1, which registries gave up: push it anew")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise errors.ImageFormatError(f"the manifest of the {what} is no JSON: push it again") from None
    own = document.get("mediaType")
    if own in MANIFEST_TYPES or own in INDEX_TYPES:
        return str(own)
    if document.get("schemaVersion") == 1:
        raise errors.MediaTypeError(f"the {what} has a manifest of schema 1, which registries gave up: push it anew")
    if own is None and "manifests" in document:
        return OCI_INDEX
    if own is None and "layers" in document:
        return OCI_MANIFEST
    raise errors.MediaTypeError(f"the {what} is of the kind {str(own or told)[:100]!r}, which is not known here")
