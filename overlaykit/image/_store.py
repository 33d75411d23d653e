"""A store with images and containers."""

from __future__ import annotations

import contextlib

from .. import errors
from ..driver import Durability
from ..store import LABEL_DIFF_ID, Store, open_as
from . import _records
from ._lock import ImageLock
from ._records import Image

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO

    from ..changeset import Limits
    from ..driver import SnapshotInfo
    from ..plugin import Choice, PluginManager
    from ..store import Engine
    from ..tree import Change
    from ._collect import Collected
    from ._container import Container, ContainerInfo
    from ._model import ImageConfig, Index, Manifest, Platform
    from ._sharing import HistoryEntry, Layer
    from ._transfer import Fetched, ProgressEvent, Sent
    from .registry import Options

__all__ = ["ImageStore", "open_store"]


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    driver: str = "auto",
    durability: Durability | str = Durability.COMMIT,
    options: Mapping[str, str] | None = None,
    create: bool = True,
) -> ImageStore:
    """Open a store with images and containers, or make one; the parameters and errors are those of
    :func:`overlaykit.store.open_store`.
    """
    return open_as(ImageStore, path, driver, Durability(durability), options or {}, create=create)


class ImageStore(Store):
    """A store with images and containers besides snapshots.

    **Layers** are committed snapshots named by their chain ids: images share those that they have in common. **Blobs**
    (:attr:`content`) are manifests, configurations and layers as they came, so that what is given away has the digest
    that it came with. **Containers** are active snapshots over an image's topmost layer.

    Whatever names an image may be its reference (``debian:12``), the digest of its manifest or configuration, or the
    first digits of either.
    """

    def __init__(self, engine: Engine, choice: Choice, plugins: PluginManager) -> None:
        super().__init__(engine, choice, plugins)
        self._tables = False
        self._lock = ImageLock(None if self.path is None else self.path / "images.lock")

    # -- asking ------------------------------------------------------------------------------------------------------

    def images(self) -> list[Image]:
        """Return the images, the newest first."""
        if not self._has_tables():
            return []
        with self._metadata.read() as connection:
            return _records.images(connection)

    def image(self, name: str | Image) -> Image:
        """Return an image.

        :param name: a reference, a digest, or at least four first digits of one.
        :raises NotFoundError: there is none.
        :raises ImageReferenceError: it can be no image's name, or the first digits of several.
        """
        from ._reference import Reference

        if isinstance(name, Image):
            name = name.digest
        known = self.images()
        wanted = name.removeprefix("sha256:")
        if name.startswith("sha256:") or (len(name) >= _SHORTEST and not set(name) - set("0123456789abcdef")):
            found = [
                image
                for image in known
                if any(digest.partition(":")[2].startswith(wanted) for digest in (image.digest, image.config))
            ]
            if len(found) > 1:
                raise errors.ImageReferenceError(f"{name!r} begins the digests of several images: give more of it")
            if found:
                return found[0]
            if name.startswith("sha256:"):
                raise self._no_image(name)
        text = str(Reference.parse(name))
        for image in known:
            if text in image.references:
                return image
        reference = Reference.parse(name)
        for image in known:
            if reference.digest == image.digest:
                return image
        raise self._no_image(name)

    @staticmethod
    def _no_image(name: str) -> errors.NotFoundError:
        return errors.NotFoundError(f"there is no image {name[:300]!r}: overlaykit images lists those that there are")

    def manifest(self, image: str | Image) -> Manifest:
        """Return an image's manifest.

        :raises NotFoundError: there is no such image.
        """
        from ..changeset import Limits
        from ._model import Manifest

        found = self.image(image)
        return Manifest.parse(self.content.read(found.digest, _LARGEST), found.media_type, Limits.none())

    def index(self, image: str | Image) -> Index | None:
        """Return the index that an image was chosen from, ``None`` where it came alone.

        :raises NotFoundError: there is no such image.
        """
        from ..changeset import Limits
        from ._model import Index

        found = self.image(image)
        with self._metadata.read() as connection:
            digest = _records.index_of(connection, found.digest)
        return None if digest is None else Index.parse(self.content.read(digest, _LARGEST), Limits.none())

    def config(self, image: str | Image) -> ImageConfig:
        """Return an image's configuration.

        :raises NotFoundError: there is no such image.
        """
        from ..changeset import Limits
        from ._model import ImageConfig

        return ImageConfig.parse(self.content.read(self.image(image).config, _LARGEST), Limits.none())

    def history(self, image: str | Image) -> list[HistoryEntry]:
        """Return how an image was made, the newest instruction first, each with its layer, if it made one.

        :raises NotFoundError: there is no such image.
        """
        from ._sharing import history

        found = self.image(image)
        return history(self.config(found), self.manifest(found))

    def layers(self) -> list[Layer]:
        """Return all layers, each with the images and containers that share it."""
        from ._sharing import layers

        return layers(self)

    def has(self, key: str) -> bool:
        """Tell whether there is a snapshot of this key."""
        try:
            self.stat(key)
        except errors.NotFoundError:
            return False
        return True

    # -- names -------------------------------------------------------------------------------------------------------

    def tag(self, image: str | Image, *names: str) -> Image:
        """Give an image further names; each is taken from the image that had it.

        :raises NotFoundError: there is no such image.
        :raises ImageReferenceError: a name can be none.
        """
        from ._reference import Reference

        texts = [str(Reference.parse(name)) for name in names]
        with self._lock.adding():
            found = self.image(image)
            with self._metadata.write() as connection:
                _records.name_image(connection, found.digest, texts)
        return self.image(found)

    def remove_image(self, name: str, *, force: bool = False) -> Collected:
        """Take a name away, or with a digest the image; an image without names goes with all that only it uses.

        What a container or another image uses stays.

        :param force: take the image away though it has several names.
        :returns: what was removed.
        :raises NotFoundError: there is no such image.
        :raises LayerInUseError: a container was made of it; or, by digest and without ``force``, it has several names.
        """
        from ._collect import Collected, collect
        from ._reference import Reference

        with self._lock.alone():
            image = self.image(name)
            text = None
            with contextlib.suppress(errors.ImageReferenceError):
                text = str(Reference.parse(name))
            names = [one for one in image.references if one == text]
            rest = [one for one in image.references if one not in names]
            if names and rest and not force:
                with self._metadata.write() as connection:
                    _records.delete_reference(connection, names[0])
                return Collected(names=tuple(names))
            if not names and len(rest) > 1 and not force:
                raise errors.LayerInUseError(
                    f"the image {name!r} has the names {', '.join(rest)}: take those away, or force it", users=rest
                )
            using = [info.name for info in self.containers() if info.image == image.digest]
            if using:
                raise errors.LayerInUseError(
                    f"the image {name!r} is that of the container {using[0]!r}: remove the container first", users=using
                )
            with self._metadata.write() as connection:
                _records.delete_image(connection, image.digest)
            done = collect(self)
            return Collected(image.references, (image.digest,), done.layers, done.blobs, done.bytes)

    def prune(self, *, all_unnamed: bool = True) -> Collected:
        """Remove exactly what nothing uses: images without a name and a container, layers and blobs of no image.

        Snapshots that are no layers are never touched.

        :param all_unnamed: remove images without names too.
        :raises StoreBusyError: an image is being taken in.
        """
        from ._collect import Collected, collect

        with self._lock.alone():
            gone = []
            if all_unnamed:
                used = {info.image for info in self.containers()}
                gone = [image.digest for image in self.images() if not image.references and image.digest not in used]
                if gone:
                    with self._metadata.write() as connection:
                        for digest in gone:
                            _records.delete_image(connection, digest)
            done = collect(self)
            # Whoever takes something in keeps this out: what is on its way was given up.
            self.content.cleanup(stale=0)
        self.cleanup()
        return Collected((), tuple(gone), done.layers, done.blobs, done.bytes)

    # -- containers --------------------------------------------------------------------------------------------------

    @property
    def container_type(self) -> type[Container]:
        """What its containers are; for stores whose containers do more."""
        from ._container import Container

        return Container

    def container(
        self, image: str | Image, name: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> Container:
        """Make a container for the length of a ``with``: leaving that removes it.

        :param image: what it starts as.
        :param name: its name; ``None`` for a generated one.
        :param labels: further labels of its snapshot.
        :raises NotFoundError: there is no such image.
        :raises ExistsError: the name is taken.
        """
        from ._container import make_container

        return make_container(self, self.image(image), name, kept=False, labels=labels or {})

    def create_container(
        self, image: str | Image, name: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> Container:
        """Make a container that stays until :meth:`remove_container`.

        :raises OSError: as :meth:`container`.
        """
        from ._container import make_container

        return make_container(self, self.image(image), name, kept=True, labels=labels or {})

    def containers(self) -> list[ContainerInfo]:
        """Return the containers, in the order in which they were made."""
        from ._container import containers

        return list(containers(self))

    def open_container(self, name: str) -> Container:
        """Return a container that was made before.

        :raises NotFoundError: there is none of this name.
        """
        from ._container import open_container

        return open_container(self, name)

    def remove_container(self, name: str) -> None:
        """Remove a container with its writable layer; the layers of its image stay.

        :raises NotFoundError: there is none of this name.
        :raises LayerInUseError: a tree of it is open.
        """
        self.open_container(name).remove()

    # -- in and out --------------------------------------------------------------------------------------------------

    def load(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        references: Sequence[str] = (),
        platform: Platform | str | None = None,
        limits: Limits | None = None,
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> list[Image]:
        """Take the images of an OCI layout, an OCI archive or a docker archive in; see :func:`overlaykit.image.load`.

        :returns: the images, in the archive's order.
        """
        from ._load import load

        fetched = load(self, source, references=references, platform=platform, limits=limits, progress=progress)
        return [one.image for one in fetched]

    def save(
        self,
        references: str | Sequence[str],
        target: str | os.PathLike[str] | BinaryIO,
        *,
        form: str = "oci-archive",
        compression: str | None = None,
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> int:
        """Write images as an archive or a layout directory; see :func:`overlaykit.image.save`.

        :returns: bytes written, before compression.
        """
        from ._save import save

        names = [references] if isinstance(references, str) else references
        return save(self, names, target, form=form, compression=compression, progress=progress)

    def pull(
        self,
        reference: str,
        *,
        platform: Platform | str | None = None,
        any_alone: bool = False,
        options: Options | None = None,
        limits: Limits | None = None,
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> Fetched:
        """Bring an image from a registry; see :func:`overlaykit.image.registry.pull`."""
        from .registry import pull

        return pull(
            self,
            reference,
            platform=platform,
            any_alone=any_alone,
            options=options,
            limits=limits,
            progress=progress,
        )

    def push(
        self,
        image: str | Image,
        target: str | None = None,
        *,
        options: Options | None = None,
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> Sent:
        """Send an image to a registry; see :func:`overlaykit.image.registry.push`."""
        from .registry import push

        return push(self, image, target, options=options, progress=progress)

    def create_image(
        self,
        key: str,
        reference: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        platform: str | None = None,
        compression: str = "gzip",
        epoch: int | None = None,
    ) -> Image:
        """Make an image of a snapshot: a layer of it, and one of each that it stands on; it stays what it is.

        :param key: the snapshot, best a committed one.
        :param reference: a name for the image.
        :param config: the image's ``config``, as ``{"Cmd": ["sh"]}``.
        :param platform: as ``linux/amd64``; ``None`` for this machine's.
        :param compression: of the layers: ``"gzip"``, ``"zstd"`` or ``"none"``.
        :param epoch: as for :meth:`Container.commit`.
        :raises NotFoundError: there is no such snapshot.
        :raises ChangesetError: something in it cannot be in a layer.
        :raises ImageReferenceError: the name can be none.
        """
        from ._create import create_image

        return create_image(self, key, reference, config or {}, platform, compression, epoch)

    # -- taking in ---------------------------------------------------------------------------------------------------

    def adding(self) -> AbstractContextManager[None]:
        """Keep others from collecting what nothing refers to yet, or what is being sent."""
        return self._lock.adding()

    def record_image(
        self, manifest: Manifest, config: ImageConfig, names: Sequence[str], *, index: str | None = None
    ) -> Image:
        """Record an image whose blobs and layers are all here.

        :param names: references to give it.
        :param index: the digest of the index that it was chosen from, which is here too.
        """
        import datetime

        from ._model import chain_ids
        from ._reference import Reference

        chain = chain_ids(config.diff_ids)
        descriptor = manifest.descriptor
        image = Image(
            descriptor.digest,
            manifest.media_type,
            manifest.config.digest,
            str(config.platform),
            chain[-1] if chain else None,
            descriptor.size + manifest.config.size + sum(layer.size for layer in manifest.layers),
            len(chain),
            datetime.datetime.now(datetime.UTC),
            tuple(str(Reference.parse(name)) for name in names),
        )
        self._make_tables()
        with self._metadata.write(durable=True) as connection:
            _records.put(connection, image)
            if index is not None:
                _records.put_index(connection, image.digest, index)
        return self.image(image)

    def kept(self) -> tuple[Collection[str], Collection[str]]:
        """Return the names of layers and the digests of blobs that stay though no image uses them: none here."""
        return (), ()

    def layer_snapshots(self) -> Iterator[SnapshotInfo]:
        """Yield the snapshots that are layers of images: named by a chain id, and applied."""
        return self.walk(kind="committed", labels={LABEL_DIFF_ID: None}, prefix="sha256:")

    def export(self, key: str, out: BinaryIO, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Write all of a snapshot's or container's tree as one flat, reproducible tar archive.

        :raises NotFoundError: there is none of this name.
        :raises ChangesetError: a name in it begins with ``.wh.``.
        """
        from ..changeset import write_layer
        from ..tree import compare

        with self.tree(key, readonly=True) as tree:
            changes: Iterator[Change] = compare(None, tree)
            write_layer(tree, changes, out, progress=progress)

    # -- below -------------------------------------------------------------------------------------------------------

    def _has_tables(self) -> bool:
        if not self._tables:
            with self._metadata.read() as connection:
                self._tables = _records.check_tables(connection)
                query = "SELECT count(*) FROM sqlite_master WHERE name = 'image_references'"
                older = not self._tables and bool(connection.execute(query).fetchone()[0])
            if older:
                self._create_tables()
        return self._tables

    def _make_tables(self) -> None:
        if not self._has_tables():
            self._create_tables()

    def _create_tables(self) -> None:
        with self._metadata.write() as connection:
            _records.create_tables(connection)
        self._tables = True


_SHORTEST = 4
"""Digits that may stand for a digest."""

_LARGEST = 1 << 30
"""Bytes of a document that was let in before."""
