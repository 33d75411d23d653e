"""What changed in a snapshot, as an OCI layer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from ..changeset import compressed, write_layer
from ..values import value_class
from ._ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..changeset import CompressedWriter, Output, WrittenLayer
    from ..tree import Change, Tree
    from ._store import Store

__all__ = ["LayerDescriptor", "Shown", "diff", "pack"]

_MEDIA_TYPES = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


class Shown(NamedTuple):
    """A snapshot that is not the store's own to open: somebody else has its tree.

    :param changes: how it differs from its parent, in tree order.
    """

    tree: Tree
    changes: Iterable[Change]


@value_class
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


def diff(
    store: Store,
    key: str,
    out: Output,
    compression: str,
    level: int | None,
    epoch: int | None,
    progress: Callable[[int, int], None] | None,
    also: Callable[[memoryview], object] | None = None,
    shown: Shown | None = None,
) -> LayerDescriptor:
    """See :meth:`Store.diff`.

    :param also: gets the uncompressed archive; see :func:`overlaykit.changeset.compressed`.
    :param shown: the snapshot's tree and changes, where the store cannot open it.
    """
    changes = store.changes(key) if shown is None else shown.changes
    root = store.stat(key).parent is None

    def write(packed: CompressedWriter) -> WrittenLayer:
        with store.tree(key, readonly=True) if shown is None else contextlib.nullcontext(shown.tree) as tree:
            return write_layer(tree, changes, packed, root=root, epoch=epoch, progress=progress)

    return pack(out, compression, level, write, also)


def pack(
    out: Output,
    compression: str,
    level: int | None,
    write: Callable[[CompressedWriter], WrittenLayer],
    also: Callable[[memoryview], object] | None = None,
) -> LayerDescriptor:
    """Compress and hash what ``write`` writes.

    :param also: see :func:`diff`.
    """
    hashed = out.hash if isinstance(out, Ingest) and not out.offset and out.hash.name == "sha256" else None
    with compressed(out, compression, level, hashed=hashed, also=also) as packed:
        written = write(packed)
        result = packed.close()
    return LayerDescriptor(
        _MEDIA_TYPES[compression],
        result.digest,
        result.diff_id,
        result.size,
        result.uncompressed,
        written.entries,
        written.skipped,
    )
