"""A repository of a registry as where images go."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from ...changeset import check_digest
from .._transfer import ProgressEvent
from ._blobs import Upload, has_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._model import Descriptor
    from ._client import Client

__all__ = ["RegistryTarget"]


class RegistryTarget:
    """Takes manifests and blobs into one repository.

    :param client: of the repository, that may write.
    :param name: the tag, or the digest, that the image gets there.
    :param mount_from: other repositories of the registry that may have the blobs.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        mount_from: Sequence[str] = (),
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._mount_from = tuple(one for one in mount_from if one != client.repository)
        self._progress = progress

    @property
    def parallel(self) -> int:
        """How many blobs it takes at once."""
        return self._client.options.parallel

    def stop(self) -> None:
        """End what is under way."""
        self._client.stop()

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether it has a blob."""
        return has_blob(self._client, descriptor.digest)

    def put(self, descriptor: Descriptor, open: Callable[[int], BinaryIO]) -> int:
        """Take a blob; see :class:`~overlaykit.image.BlobTarget`."""

        def tell(done: int) -> None:
            if self._progress is not None:
                self._progress(ProgressEvent("upload", descriptor.digest, done, descriptor.size))

        mount_from = self._mount_from[0] if self._mount_from else ""
        return Upload(self._client, descriptor, open, tell).run(mount_from)

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Take a manifest, which makes the image appear."""
        client = self._client
        response = client.request(
            "PUT",
            client.url(f"manifests/{self._name or descriptor.digest}"),
            headers={"Content-Type": descriptor.media_type},
            body=lambda: data,
            expect=(200, 201, 202),
            what=f"manifest of {client.repository}",
        )
        client.done(response)
        told = response.headers.get("Docker-Content-Digest")
        check_digest("the manifest that the registry took", descriptor.digest, told or descriptor.digest)
