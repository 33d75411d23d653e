"""What a path in a tree is without looking into the tree."""

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from ._tree import Tree

__all__ = ["PureTreePath"]


class PureTreePath:
    """The part of :class:`TreePath` that is arithmetic: parts, parents, names, order."""

    __slots__ = ("_pure", "_tree")

    def __init__(self, tree: Tree, *segments: str | bytes | PurePath | PureTreePath) -> None:
        self._tree = tree
        self._pure = self._join(PurePosixPath("/"), segments)

    def _join(self, start: PurePosixPath, segments: tuple[Any, ...]) -> PurePosixPath:
        pure = start.joinpath(*map(self._segment, segments))
        # POSIX lets two slashes at the beginning mean something else; here they mean nothing.
        return PurePosixPath("/", *pure.parts[1:]) if pure.root == "//" else pure

    def _segment(self, segment: str | bytes | PurePath | PureTreePath) -> str | PurePath:
        if isinstance(segment, PureTreePath):
            if segment._tree is not self._tree:
                raise ValueError(f"{segment!r} is a path of another tree than {self._tree!r}")
            return segment._pure
        if isinstance(segment, (str, PurePath)):
            return segment
        return os.fsdecode(segment)

    def _from(self, pure: PurePosixPath) -> Self:
        path = object.__new__(type(self))
        path._tree = self._tree
        path._pure = pure
        return path

    @property
    def tree(self) -> Tree:
        """The tree."""
        return self._tree

    @property
    def host_path(self) -> str:
        """A real path for any library or subprocess; see :attr:`Tree.host_path`.

        :raises CapabilityError: the tree has none.
        """
        return self._tree.host_path + ("" if self._pure.name == "" else str(self._pure))

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tree!r}, {str(self._pure)!r})"

    def __bytes__(self) -> bytes:
        return os.fsencode(str(self._pure))

    def __hash__(self) -> int:
        return hash((id(self._tree), self._pure))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PureTreePath):
            return NotImplemented
        return self._tree is other._tree and self._pure == other._pure

    def __lt__(self, other: PureTreePath) -> bool:
        return self._pure < other._pure if self._comparable(other) else NotImplemented

    def __le__(self, other: PureTreePath) -> bool:
        return self._pure <= other._pure if self._comparable(other) else NotImplemented

    def __gt__(self, other: PureTreePath) -> bool:
        return self._pure > other._pure if self._comparable(other) else NotImplemented

    def __ge__(self, other: PureTreePath) -> bool:
        return self._pure >= other._pure if self._comparable(other) else NotImplemented

    def _comparable(self, other: object) -> bool:
        return isinstance(other, PureTreePath) and self._tree is other._tree

    def __truediv__(self, segment: str | bytes | PurePath | PureTreePath) -> Self:
        if not isinstance(segment, (str, bytes, PurePath, PureTreePath)):
            return NotImplemented
        return self.joinpath(segment)

    def joinpath(self, *segments: str | bytes | PurePath | PureTreePath) -> Self:
        """Return the path with segments behind it."""
        return self._from(self._join(self._pure, segments))

    @property
    def parts(self) -> tuple[str, ...]:
        """The components, ``"/"`` first."""
        return self._pure.parts

    @property
    def parent(self) -> Self:
        """The path without its last component; of the root, the root."""
        return self._from(self._pure.parent)

    @property
    def parents(self) -> Sequence[Self]:
        """All parents, the nearest first."""
        return tuple(map(self._from, self._pure.parents))

    @property
    def name(self) -> str:
        """The last component; empty for the root."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The last component without its suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The last component's last suffix, with its dot."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """The last component's suffixes."""
        return self._pure.suffixes

    @property
    def root(self) -> str:
        """Always ``"/"``."""
        return self._pure.root

    @property
    def anchor(self) -> str:
        """Always ``"/"``."""
        return self._pure.anchor

    @property
    def drive(self) -> str:
        """Always empty."""
        return self._pure.drive

    def as_posix(self) -> str:
        """Return ``str(self)``."""
        return str(self._pure)

    def is_absolute(self) -> bool:
        """Tell that the path begins at the root, as every path of a tree does."""
        return True

    def absolute(self) -> Self:
        """Return the path itself."""
        return self

    def with_name(self, name: str) -> Self:
        """Return the path with another last component."""
        return self._from(self._pure.with_name(name))

    def with_stem(self, stem: str) -> Self:
        """Return the path with another stem."""
        return self._from(self._pure.with_stem(stem))

    def with_suffix(self, suffix: str) -> Self:
        """Return the path with another suffix."""
        return self._from(self._pure.with_suffix(suffix))

    def relative_to(self, other: str | bytes | PurePath | PureTreePath) -> PurePosixPath:
        """Return the path relative to another one, which it must begin with.

        :raises ValueError: it does not.
        """
        return self._pure.relative_to(self._segment(other))

    def is_relative_to(self, other: str | bytes | PurePath | PureTreePath) -> bool:
        """Tell whether the path begins with another one."""
        try:
            self.relative_to(other)
        except ValueError:
            return False
        return True

    def match(self, pattern: str) -> bool:
        """Tell whether the path matches a pattern; see :meth:`pathlib.PurePath.match`."""
        return self._pure.match(pattern)
