"""Reads an image's layers from their blobs, whatever the driver, and says what each does.

The blobs are what travels and is stored, and hold what the driver may not be able to keep; the snapshots are not
looked at. What an archive means is decided by :func:`overlaykit.changeset.apply_layer`, as when an image is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from ..changeset import LayerStream, Limits, Restart, apply_layer
from ..image import chain_ids
from ..values import value_class
from ._container import apply_changes
from ._difference import differences
from ._merged import EMPTY, MergedTree, MergedWriter
from ._model import Analysis, LayerReport, Step
from ._waste import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..image import Descriptor, History, Image, ImageStore
    from ._model import Entry, EntryChange

__all__ = ["analyse"]


@value_class
class _Read:
    """A layer that was read."""

    digest: str
    diff_id: str
    chain_id: str
    size: int
    unpacked: int
    stored: int
    entries: int
    root: Entry
    changes: tuple[EntryChange, ...]
    shared: tuple[str, ...] = ()


def analyse(
    store: ImageStore,
    image: str | Image | None,
    container: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Say what each layer of an image does to the tree below, and which bytes are wasted.

    :param image: the image; ``None`` for the container's.
    :param container: a container of the image: its writable layer comes on top, as a commit would make it.
    :param progress: called with the bytes of blobs read so far and those of all.
    :raises NotFoundError: there is no such image or container, or a blob of the image is lost.
    :raises LayerFormatError: a layer is damaged.
    :raises ValueError: neither an image nor a container is given, or the container is one of another image.
    """
    box = None if container is None else store.open_container(container)
    if image is None:
        if box is None:
            raise ValueError("neither an image nor a container to look at")
        image = box.info.image
    found = store.image(image)
    if box is not None and box.info.image != found.digest:
        raise ValueError(f"the container {box.name!r} is one of the image {box.info.image}, not of {found.digest}")
    name = _name(found, image if box is None else box.info.reference)
    with store.adding():  # nobody collects the blobs meanwhile
        manifest, config = store.manifest(found), store.config(found)
        ledger = Ledger()
        read: list[_Read] = []
        root, inode, done, size = EMPTY, 0, 0, sum(layer.size for layer in manifest.layers)
        chain = chain_ids(config.diff_ids)
        sharing = _sharing(store, found)
        for index, (layer, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True)):

            def tell(count: int, done: int = done) -> None:
                if progress is not None:
                    progress(done + count, size)

            writer, unpacked, entries = _apply(store, layer, diff_id, root, index, inode, tell)
            changes = tuple(differences(root, writer.root, index))
            if not index:
                # There was no root before: that it has attributes now is no change.
                changes = tuple(one for one in changes if one.path != ".")
            root, inode, done = writer.root, writer.inode, done + layer.size
            ledger.layer(index, writer.stored, changes, root)
            stored = sum(entry.stored for _, entry in writer.stored)
            shared = sharing.get(chain[index], ())
            read.append(
                _Read(
                    layer.digest,
                    diff_id,
                    chain[index],
                    layer.size,
                    unpacked,
                    stored,
                    entries,
                    root,
                    changes,
                    tuple(shared),
                )
            )
        if box is not None:
            with store.tree(box.name, readonly=True) as tree:
                writer = MergedWriter(root, len(read), inode)
                entries = apply_changes(tree, store.changes(box.name), writer)
            changes = tuple(differences(root, writer.root, len(read)))
            root = writer.root
            ledger.layer(len(read), writer.stored, changes, root)
            stored = sum(entry.stored for _, entry in writer.stored)
            read.append(_Read("", "", "", 0, 0, stored, entries, root, changes))
    steps = _steps(config.history, len(config.diff_ids))
    waste = ledger.waste()
    layers = []
    for index, one in enumerate(read):
        step = next((step for step in steps if step.layer == index), None)
        layers.append(
            LayerReport(
                index,
                step.created_by if step else "",
                step.comment if step else "",
                step.created if step else "",
                one.digest,
                one.diff_id,
                one.chain_id,
                one.size,
                one.unpacked,
                one.stored,
                one.entries,
                one.root,
                one.changes,
                sum(lost.bytes for lost in waste if lost.layer == index),
                sum(lost.bytes for lost in waste if lost.hidden_by == index),
                one.shared,
            )
        )
    return Analysis(found, name, "" if box is None else box.name, tuple(layers), steps, waste, ledger.duplicates(root))


def _apply(
    store: ImageStore,
    layer: Descriptor,
    diff_id: str,
    below: Entry,
    index: int,
    inode: int,
    progress: Callable[[int], None],
) -> tuple[MergedWriter, int, int]:
    # What was let into the store was within somebody's limits.
    limits = Limits.none()
    hidden: frozenset[bytes] | None = None
    while True:
        writer = MergedWriter(below, index, inode)
        with (
            store.content.open(layer.digest) as raw,
            LayerStream(
                raw, limits=limits, digest=layer.digest, size=layer.size, diff_id=diff_id, progress=progress
            ) as stream,
        ):
            try:
                applied = apply_layer(stream, writer, lambda: MergedTree(below), limits=limits, hidden=hidden)
            except Restart as late:
                hidden = late.hidden
                continue
            except errors.LayerFormatError:
                # Rather that the blob is another one than what came of that.
                stream.finish()
                raise
            return writer, stream.finish().uncompressed, applied.entries


def _steps(history: Sequence[History], layers: int) -> tuple[Step, ...]:
    """Pair the history with the layers, the oldest instruction first."""
    steps = []
    at = 0
    for entry in history:
        layer = None
        if not entry.empty_layer and at < layers:
            layer, at = at, at + 1
        steps.append(Step(entry.created_by, entry.created, entry.comment, layer))
    steps += [Step("", "", "", layer) for layer in range(at, layers)]
    return tuple(steps)


def _name(image: Image, asked: str | Image) -> str:
    """Return what people call an image: what it was asked for by, else its first name, else nothing."""
    from ..image import Reference

    if isinstance(asked, str) and asked and not asked.startswith("sha256:"):
        return Reference.parse(asked).familiar if asked.count("/") else asked
    return Reference.parse(image.references[0]).familiar if image.references else ""


def _sharing(store: ImageStore, image: Image) -> dict[str, list[str]]:
    """Return the names of other images by the chain ids of their layers."""
    from ..image import Reference

    found: dict[str, list[str]] = {}
    for other in store.images():
        if other.digest != image.digest:
            names = [Reference.parse(name).familiar for name in other.references] or [other.digest]
            for one in chain_ids(store.config(other).diff_ids):
                found.setdefault(one, []).extend(names)
    return found
