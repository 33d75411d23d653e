"""The build context as it was given: a directory, a tar archive, or nothing; and the Dockerfile in it or beside it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from .. import errors
from ..store import typed
from ._origins import directory_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..image import ImageStore
    from ..tree import Tree
    from ._request import BuildRequest

__all__ = ["ContextSource"]

_LARGEST = 16 << 20
"""Bytes of a Dockerfile."""


class ContextSource:
    """The context of one build. Closing it removes what was unpacked of an archive.

    :param store: where an archive is unpacked.
    """

    def __init__(self, store: ImageStore, request: BuildRequest) -> None:
        self._store = store
        self._request = request
        self._held = contextlib.ExitStack()
        self._unpacked: Tree | None = None
        if hasattr(request.context, "read"):
            self._unpack()

    def _unpack(self) -> None:
        with contextlib.ExitStack() as held, typed(self._store.path or "the store in memory"):
            working = held.enter_context(self._store.snapshot())
            # Without a name it is gone when this process is.
            import shutil
            import tempfile

            from ..store import unpack_archive

            with tempfile.TemporaryFile(dir=self._store.path) as spool:
                shutil.copyfileobj(self._request.context, spool)  # type: ignore[arg-type]
                spool.flush()
                spool.seek(0)
                try:
                    unpack_archive(spool, working.tree, "it", self._store)
                except errors.ImportSourceError as error:
                    raise errors.BuildError(
                        f"the context is no tar archive ({error}): give a directory, or a tar archive"
                    ) from error
            self._unpacked = working.tree
            self._held.enter_context(held.pop_all())

    def close(self) -> None:
        """Let go of it."""
        self._held.close()

    @contextlib.contextmanager
    def open(self) -> Iterator[Tree]:
        """Open its tree."""
        context = self._request.context
        if self._unpacked is not None:
            yield self._unpacked
        elif context is None:
            with self._store.snapshot(None) as working:
                yield working.tree
        else:
            with directory_tree(context) as tree:  # type: ignore[arg-type]
                yield tree

    def dockerfile(self) -> tuple[bytes, str]:
        """Return the Dockerfile's text, and what to call it.

        :raises BuildError: there is none, or it cannot be read.
        """
        given = self._request.dockerfile
        if isinstance(given, bytes):
            return given, "Dockerfile"
        if given is None or self._unpacked is not None:
            name = os.fspath(given or "Dockerfile")
            with self.open() as tree:
                for one in dict.fromkeys((name, name.lower() if given is None else name)):
                    if tree.is_file(one):
                        return tree.read_bytes(one)[:_LARGEST], one
            raise errors.BuildError(f"there is no {name} in the context: name one with -f, or give another context")
        try:
            with open(given, "rb") as file:
                return file.read(_LARGEST), os.path.basename(given)
        except OSError as error:
            raise errors.BuildError(
                f"the Dockerfile {os.fspath(given)} cannot be read: {error.strerror}: name another one with -f",
                filename=given,
            ) from error
