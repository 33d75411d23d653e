"""Containers: a thin writable layer over an image."""

from __future__ import annotations

import contextlib
import os

from .. import errors
from ..driver import SnapshotKind
from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Any, BinaryIO, Self

    from ..driver import SnapshotInfo
    from ..store import Shown, Working
    from ..tree import Change, Tree
    from ._records import Image
    from ._store import ImageStore

__all__ = [
    "Container",
    "ContainerInfo",
    "containers",
    "make_container",
    "open_container",
]

_IMAGE = "overlaykit.container.image"
_REFERENCE = "overlaykit.container.reference"


@value_class
class ContainerInfo:
    """A container as the store knows it.

    :param name: its name, which is the key of its snapshot.
    :param image: the digest of its image.
    :param reference: the name of the image when it was made; ``""`` for none.
    :param created: when it was made; time zone aware, UTC.
    """

    name: str
    image: str
    reference: str
    created: datetime.datetime


class Container:
    """A container. As a context manager it is removed at the end, if it was made for that."""

    def __init__(self, store: ImageStore, info: SnapshotInfo, working: Working | None = None) -> None:
        self._store = store
        self._working = working
        self._tree: Tree | None = None
        self.info = _info(info)

    @property
    def name(self) -> str:
        """Its name."""
        return self.info.name

    @property
    def tree(self) -> Tree:
        """Its writable tree, the same at every access; opened at the first."""
        if self._working is not None:
            return self._working.tree
        if self._tree is None or self._tree.closed:
            self._tree = self._store.tree(self.name)
        return self._tree

    def changes(self) -> Iterator[Change]:
        """Yield how it differs from its image."""
        return self._store.changes(self.name)

    def commit(
        self,
        reference: str | None = None,
        *,
        author: str = "",
        message: str = "",
        config: Mapping[str, Any] | None = None,
        compression: str = "gzip",
        epoch: int | None = None,
    ) -> Image:
        """Make an image of the container: one new layer over those of its image, which are shared.

        The container stays what it is.

        :param reference: a name for the image.
        :param author: who made it.
        :param message: what for.
        :param config: members of the image's ``config`` to set, as ``{"Cmd": ["sh"]}``; ``None`` as a value takes one
            away.
        :param compression: of the layer: ``"gzip"``, ``"zstd"`` or ``"none"``.
        :param epoch: seconds since the epoch: when the image was made, and the latest time in the layer; ``None`` for
            ``$SOURCE_DATE_EPOCH``, or where that is not set now, and times as they are.
        :raises ChangesetError: a name begins with ``.wh.``.
        :raises ImageReferenceError: the name can be none.
        """
        return self._commit(reference, author, message, config, compression, epoch, None)

    def _commit(
        self,
        reference: str | None,
        author: str,
        message: str,
        config: Mapping[str, Any] | None,
        compression: str,
        epoch: int | None,
        shown: Shown | None,
    ) -> Image:
        from ._commit import commit_container

        changes = config or {}
        return commit_container(self._store, self.info, reference, author, message, changes, compression, epoch, shown)

    @contextlib.contextmanager
    def open_tree(self) -> Iterator[Tree]:
        """Open its tree for as long as something is copied; for containers whose tree somebody else may have open."""
        yield self.tree

    def copy_in(self, source: str | os.PathLike[str] | BinaryIO, path: str = "") -> None:
        """Copy a file or a tree of this machine into it, with its attributes; directories merge.

        Where ``path`` is a directory, the source goes into it under its own name, as ``cp -a`` does it. An owner or an
        attribute that may not be set is left out.

        :param source: what to copy; a tar archive open for reading is unpacked in the directory ``path``.
        :raises NotFoundError: there is no such source, or no such directory in the container.
        :raises ExistsError: there is a directory where something else would go.
        """
        from ._cp import archive_in, copy_in

        with self.open_tree() as tree:
            if isinstance(source, str | os.PathLike):
                copy_in(tree, source, path)
            else:
                archive_in(self._store, tree, source, path)

    def copy_out(self, path: str, target: str | os.PathLike[str] | BinaryIO) -> None:
        """Copy a file or a tree out of it, with its attributes; otherwise as :meth:`copy_in`.

        :param target: where to; a file open for writing gets a tar archive.
        :raises NotFoundError: there is no such path, or no such directory on this machine.
        :raises ExistsError: there is a directory where something else would go.
        """
        from ._cp import archive_out, copy_out

        with self.open_tree() as tree:
            if isinstance(target, str | os.PathLike):
                copy_out(tree, path, target)
            else:
                archive_out(self._store, tree, path, target)

    def keep(self) -> None:
        """Let it stay when the ``with`` ends, as one that :meth:`ImageStore.create_container` made."""
        working, self._working = self._working, None
        if working is not None:
            working.keep()

    def close(self) -> None:
        """Close its tree; a container that was made for a ``with`` is removed."""
        if self._tree is not None:
            self._tree.close()
        if self._working is not None:
            self._working.discard()

    def remove(self) -> None:
        """Remove it, with its writable layer.

        :raises LayerInUseError: another tree of it is open.
        """
        if self._tree is not None:
            self._tree.close()
        if self._working is not None:
            self._working.discard()
        else:
            self._store.remove(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_container(
    store: ImageStore, image: Image, name: str | None, *, kept: bool, labels: Mapping[str, str]
) -> Container:
    """See :meth:`ImageStore.container` and :meth:`ImageStore.create_container`."""
    labels = {**labels, _IMAGE: image.digest, _REFERENCE: image.references[0] if image.references else ""}
    key = os.urandom(6).hex() if name is None else name
    with store.adding():
        if kept:
            return store.container_type(store, store.prepare(key, image.top, labels=labels))
        working = store.snapshot(image.top, key=key, labels=labels)
        return store.container_type(store, working.info, working)


def open_container(store: ImageStore, name: str) -> Container:
    """See :meth:`ImageStore.open_container`."""
    try:
        info = store.stat(name)
    except errors.NotFoundError:
        info = None
    if info is None or info.kind is not SnapshotKind.ACTIVE or _IMAGE not in info.labels:
        raise errors.NotFoundError(f"there is no container {name[:300]!r}: overlaykit ps lists those that there are")
    return store.container_type(store, info)


def containers(store: ImageStore) -> Iterator[ContainerInfo]:
    """Yield the containers."""
    for info in store.walk(kind="active", labels={_IMAGE: None}):
        yield _info(info)


def _info(info: SnapshotInfo) -> ContainerInfo:
    return ContainerInfo(info.key, info.labels[_IMAGE], info.labels.get(_REFERENCE, ""), info.created)
