"""What changed in a snapshot, as an OCI layer."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ..changeset import write_layer
from ..errors import MediaTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._store import Store

__all__ = ["LayerDescriptor", "diff"]

_MEDIA_TYPES = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


@dataclass(frozen=True, slots=True)
class LayerDescriptor:
    """A layer that was written.

    :param media_type: the OCI media type.
    :param digest: of the bytes written: ``sha256:`` and 64 hexadecimal digits.
    :param diff_id: the digest of the uncompressed archive.
    :param size: bytes written.
    :param uncompressed: bytes of the uncompressed archive.
    :param entries: objects, hard links and whiteouts in it, the parents of changed paths included.
    :param skipped: sockets left out, which no archive can hold.
    """

    media_type: str
    digest: str
    diff_id: str
    size: int
    uncompressed: int
    entries: int
    skipped: int = 0


class _Compressed:
    def __init__(self, out: BinaryIO, compression: str, level: int | None) -> None:
        self._out = out
        self._blob = hashlib.sha256()
        self._plain = hashlib.sha256()
        self._deflate = zlib.compressobj(1 if level is None else level, wbits=31) if compression == "gzip" else None
        self.size = 0

    def write(self, data: bytes) -> None:
        self._plain.update(data)
        self._emit(data if self._deflate is None else self._deflate.compress(data))

    def _emit(self, data: bytes) -> None:
        self._blob.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) or 0 :]

    def close(self) -> None:
        if self._deflate is not None:
            self._emit(self._deflate.flush())

    @property
    def digest(self) -> str:
        return "sha256:" + self._blob.hexdigest()

    @property
    def diff_id(self) -> str:
        return "sha256:" + self._plain.hexdigest()


def diff(
    store: Store,
    key: str,
    out: BinaryIO,
    compression: str,
    level: int | None,
    epoch: int | None,
    progress: Callable[[int, int], None] | None,
) -> LayerDescriptor:
    """See :meth:`Store.diff`."""
    media_type = _MEDIA_TYPES.get(compression)
    if media_type is None:
        raise MediaTypeError(f"layers are not compressed with {compression!r}: take one of {', '.join(_MEDIA_TYPES)}")
    changes = store.changes(key)
    info = store.stat(key)
    packed = _Compressed(out, compression, level)
    with store.tree(key, readonly=True) as tree:
        root = info.parent is None
        written = write_layer(tree, changes, packed, root=root, epoch=epoch, progress=progress)
    packed.close()
    return LayerDescriptor(
        media_type, packed.digest, packed.diff_id, packed.size, written.size, written.entries, written.skipped
    )
