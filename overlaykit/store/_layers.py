"""A layer is applied to a working snapshot, which is committed when all of it is known to be right."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO

from .. import errors
from ..changeset import LayerStream, Limits, Restart, apply_layer
from ..driver import Capability
from ..values import replace, value_class
from ._ingest import typed
from ._labels import LABEL_BLOB, LABEL_DIFF_ID
from ._names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..changeset import Applied, StreamResult, Tee
    from ..driver import SnapshotInfo
    from ..tree import Tree
    from ._store import Store
    from ._working import Working

__all__ = ["LayerInfo", "apply", "open_below"]


@value_class
class LayerInfo:
    """A layer that was applied.

    :param snapshot: the committed snapshot.
    :param digest: of the blob.
    :param diff_id: the digest of the uncompressed archive.
    :param size: bytes of the blob.
    :param uncompressed: bytes of the archive.
    :param entries: members of the archive.
    :param skipped: sockets, and what AUFS kept for itself: left out.
    """

    snapshot: SnapshotInfo
    digest: str
    diff_id: str
    size: int
    uncompressed: int
    entries: int
    skipped: int


@value_class
class Wanted:
    """What a layer should be, and how it is read.

    :param digest: of the blob; ``None``: any.
    :param diff_id: of the uncompressed archive; ``None``: any.
    :param size: bytes of the blob; ``None``: any.
    :param limits: what is refused.
    :param tee: gets the bytes of the blob as they are read.
    :param progress: called with the bytes of the blob read so far.
    """

    digest: str | None
    diff_id: str | None
    size: int | None
    limits: Limits
    tee: Tee | None
    progress: Callable[[int], None] | None


class _Base:
    """What a layer goes over, which may not be there yet.

    :param parent: its name, or what waits for it and returns that.
    """

    def __init__(self, store: Store, parent: str | Callable[[], str] | None) -> None:
        if callable(parent) and (Capability.REBASE not in store.capabilities or store._engine.owners.needed):
            parent = parent()
        self._wait = parent if callable(parent) else None
        #: ``None`` for none, and as long as it is not known.
        self.name = None if callable(parent) else parent

    def __bool__(self) -> bool:
        return self._wait is not None or self.name is not None

    def wait(self) -> str:
        """Return its name when it is there."""
        if self.name is None:
            assert self._wait is not None
            self.name = self._wait()
        return self.name


def apply(
    store: Store,
    source: str | os.PathLike[str] | BinaryIO | Callable[[], BinaryIO],
    parent: str | Callable[[], str] | None,
    name: str | None,
    labels: Mapping[str, str],
    wanted: Wanted,
) -> LayerInfo:
    """See :meth:`Store.apply`."""
    if name is not None:
        store._engine.check_free(check_name(name, "name"))
    hidden: frozenset[bytes] | None = None
    base = _Base(store, parent)
    with contextlib.ExitStack() as stack:
        reopen = _reopening(source, store, stack)
        while True:
            with store.snapshot(base.name, labels=store._engine.owners.labels()) as working:
                try:
                    applied, result = _try(store, reopen, base, working, wanted, hidden)
                except Restart as late:
                    hidden = late.hidden
                    wanted = replace(wanted, tee=None)
                    continue
                told = {LABEL_DIFF_ID: result.diff_id, LABEL_BLOB: result.digest}
                info = working.commit(name, labels={**told, **labels})
                return LayerInfo(
                    info,
                    result.digest,
                    result.diff_id,
                    result.size,
                    result.uncompressed,
                    applied.entries,
                    applied.skipped,
                )


def open_below(store: Store, parent: str, working: Working, stack: contextlib.ExitStack) -> Tree:
    """Return the tree that a layer is applied over, as it is shown with that layer; closed with the stack."""
    shown = stack.enter_context(store.tree(parent, readonly=True))
    return store._engine.owners.shown(shown, working.info.labels)


def _try(
    store: Store,
    reopen: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    base: _Base,
    working: Working,
    wanted: Wanted,
    hidden: frozenset[bytes] | None,
) -> tuple[Applied, StreamResult]:
    alone = bool(base) and base.name is None

    def put_below() -> str:
        nonlocal alone
        name = base.wait()
        if alone:
            store._engine.rebase(working.key, name)
            alone = False
        return name

    def below() -> Tree:
        return open_below(store, put_below(), working, stack)

    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(reopen())
        stream = stack.enter_context(
            LayerStream(
                raw,
                limits=wanted.limits,
                digest=wanted.digest,
                size=wanted.size,
                diff_id=wanted.diff_id,
                tee=wanted.tee,
                progress=wanted.progress,
            )
        )
        with store._engine.layer_writer(working.key) as writer:
            try:
                applied = apply_layer(stream, writer, below if base else None, limits=wanted.limits, hidden=hidden)
            except Restart:
                # A second reading has no tee: this one takes all there is.
                stream.finish()
                raise
            except errors.LayerFormatError:
                _check_blob(stream, wanted.digest)
                raise
        result = stream.finish()
        if base:
            put_below()
        return applied, result


def _check_blob(stream: LayerStream, digest: str | None) -> None:
    """Say of a damaged layer whether its blob was damaged on the way: then it is worth getting again."""
    if digest is None:
        return
    try:
        stream.finish()
    except errors.DigestMismatchError as error:
        if error.expected == digest:
            raise
    except OSError:
        # What was wrong first is the one to tell of.
        return


def _reopening(
    source: str | os.PathLike[str] | BinaryIO | Callable[[], BinaryIO], store: Store, stack: contextlib.ExitStack
) -> Callable[[], contextlib.AbstractContextManager[BinaryIO]]:
    """Return what opens the source, once or twice."""
    if callable(source):
        return source
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        return lambda: _open(path)
    file = source
    if not file.seekable():
        import tempfile

        spool = stack.enter_context(tempfile.TemporaryFile(dir=store.path))  # noqa: SIM115 - closed by the stack
        while piece := file.read(1 << 20):
            with typed(store.path or tempfile.gettempdir()):
                spool.write(piece)
        with typed(store.path or tempfile.gettempdir()):
            spool.seek(0)
        file = spool
    start = file.tell()

    @contextlib.contextmanager
    def again() -> Iterator[BinaryIO]:
        file.seek(start)
        yield file

    return again


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise errors.NotFoundError(f"there is no layer {path}: check the path", filename=path) from None
