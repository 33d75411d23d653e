"""Trees that a build copies from and mounts: the context, named contexts, stages and images."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .. import errors
from . import dockerfile as ast
from ._bases import LAYOUT_SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..image import ImageStore
    from ..tree import Tree
    from ._bases import Bases
    from ._layers import Stack
    from ._request import BuildRequest

__all__ = ["IMAGE_SCHEME", "Origins", "directory_tree"]

IMAGE_SCHEME = "docker-image://"
"""What a named context that is an image begins with."""


def directory_tree(path: str | os.PathLike[str]) -> Tree:
    """Open a directory of this machine as a read-only tree.

    :raises BuildError: it is none, or cannot be read.
    """
    from ..tree import HostTree

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise errors.BuildError(
            f"the context {os.fspath(path)} cannot be read: {error.strerror}: give a directory", filename=path
        ) from error
    return HostTree(descriptor, readonly=True)


class Origins:
    """Opens what COPY, ADD and mounts take files from.

    :param context: opens the build context.
    :param stage: waits for a stage, and returns its layers.
    """

    def __init__(
        self,
        store: ImageStore,
        request: BuildRequest,
        bases: Bases,
        context: Callable[[], contextlib.AbstractContextManager[Tree]],
        stage: Callable[[int], Stack],
    ) -> None:
        self._store = store
        self._request = request
        self._bases = bases
        self._context = context
        self._stage = stage

    def stack(self, origin: ast.Origin | None) -> Stack | None:
        """Return the layers of a stage or an image, ``None`` for a directory."""
        match origin:
            case ast.StageOrigin(index):
                return self._stage(index)
            case ast.ImageOrigin(reference, platform):
                return self._bases.find(reference, platform).stack
            case ast.ContextOrigin(name, platform):
                image = self.named_image(name)
                return None if image is None else self._bases.find(image, platform).stack
        return None

    def named_image(self, name: str) -> str | None:
        """Return the image that a named context is, as :meth:`Bases.find` takes it; ``None`` for a directory."""
        value = os.fspath(self._request.named_contexts[name])
        if value.startswith(LAYOUT_SCHEME):
            return value
        if value.startswith(IMAGE_SCHEME):
            return value.removeprefix(IMAGE_SCHEME)
        if "://" in value:
            raise errors.BuildError(
                f"the build context {name}={value[:200]} is of a kind that is not known here: give a directory, "
                f"{IMAGE_SCHEME}NAME or {LAYOUT_SCHEME}DIRECTORY"
            )
        return None

    def directory(self, origin: ast.Origin | None) -> Path | None:
        """Return the directory of this machine that an origin is, ``None`` where it is none."""
        if isinstance(origin, ast.ContextOrigin) and self.named_image(origin.name) is None:
            return Path(self._request.named_contexts[origin.name])
        if origin is None and isinstance(self._request.context, str | os.PathLike):
            return Path(self._request.context)
        return None

    @contextlib.contextmanager
    def open(self, origin: ast.Origin | None) -> Iterator[Tree]:
        """Open a tree for reading.

        :param origin: ``None`` for the build context.
        """
        stack = self.stack(origin)
        with contextlib.ExitStack() as held:
            if stack is not None:
                if stack.top is not None:
                    yield held.enter_context(self._store.tree(stack.top, readonly=True))
                else:
                    yield held.enter_context(self._store.snapshot(None)).tree
            elif origin is None:
                yield held.enter_context(self._context())
            else:
                directory = self.directory(origin)
                assert directory is not None
                yield held.enter_context(directory_tree(directory))
