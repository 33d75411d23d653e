"""Applies layers straight to an upper directory, without root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit.driver import KeptWriter, NamespaceWriter
from overlaykit.tree import MappedTree

from ._writer import UpperWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from overlaykit.tree import LinkOwner, Tree

__all__ = ["KeptUpperWriter", "NamespaceUpperWriter"]


class KeptUpperWriter(UpperWriter, KeptWriter):
    """A writer below an upper directory that keeps owners in attributes.

    Anybody may make whiteouts (Linux 5.8: a character device 0:0 needs no privilege), and set opaque where overlayfs
    keeps its attributes in ``user.overlay.*``.

    :param root: a descriptor of the upper directory; closed with the writer.
    :param attributes: what overlayfs's own attributes begin with.
    :param merged: opens the merged view, writable.
    :param below: opens what is below; ``None`` where nothing is.
    """

    shows_below = True

    def __init__(
        self, root: int, attributes: str, merged: Callable[[], Tree], below: Callable[[], Tree] | None
    ) -> None:
        super().__init__(root, attributes, merged)
        self._open_below = below
        self._below: MappedTree | None = None
        self._opaque: set[bytes] = set()

    def attribute(self, name: bytes) -> bytes:
        return UpperWriter.attribute(self, super(UpperWriter, self).attribute(name))

    def link(self, path: bytes, target: bytes) -> None:
        super().link(path, target)
        self.note_link(path, target)

    def _make_opaque(self, path: bytes) -> None:
        super()._make_opaque(path)
        self._opaque.add(path)

    def links_below(self, path: bytes) -> Mapping[str, LinkOwner] | None:
        # A directory of the upper says by itself what it has: there is no copying up here.
        if self._open_below is None:
            return None
        if any(path == hidden or path.startswith(hidden + b"/") for hidden in self._opaque):
            return {}
        if self._below is None:
            self._below = MappedTree(self._open_below())
        try:
            return self._below.links(path)
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def close(self) -> None:
        if self._below is not None:
            self._below.close()
            self._below = None
        super().close()


class NamespaceUpperWriter(KeptUpperWriter, NamespaceWriter):
    """A writer below an upper directory that keeps in attributes only what the caller may not set."""
