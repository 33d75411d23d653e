"""How much a layer or an image may ask for."""

from __future__ import annotations

import sys
from typing import Final, Self

from .. import errors
from ..values import value_class

__all__ = ["Limits"]

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


@value_class(kw_only=True)
class Limits:
    """Where reading stops with a :class:`~overlaykit.errors.LimitError`, whose ``limit`` is the name of one of these.

    What a layer costs is told by its content and not by its size: a few kilobytes can inflate to terabytes. The
    defaults are far above what real images have. Change some with
    :func:`dataclasses.replace`; no limit at all is :meth:`none`.

    :param entries: entries of one layer.
    :param expanded: bytes of one layer when inflated, holes of sparse files included.
    :param ratio: bytes inflated for each byte of the blob, where :attr:`ratio_from` bytes were inflated already.
    :param ratio_from: bytes inflated below which the ratio does not count: a small layer may well be all zeros.
    :param window: bytes of the window that a zstd frame may ask for; taken up to the next power of two.
    :param name: bytes of a path, or of a link's target.
    :param header: bytes of the extended headers of one entry (PAX records, GNU long names, sparse maps).
    :param xattrs: extended attributes of one entry.
    :param depth: components of a path.
    :param layers: layers of one image.
    :param document: bytes of a manifest, an index or a configuration. Registries take manifests of 4 MiB (OCI
        distribution specification, "Pushing Manifests"), and what JSON becomes in memory is many times its size.
    """

    entries: int = 4_000_000
    expanded: int = 256 * _GIB
    ratio: int = 500
    ratio_from: int = 256 * _MIB
    window: int = 128 * _MIB
    name: int = 64 * 1024
    header: int = 4 * _MIB
    xattrs: int = 1024
    depth: int = 2048
    layers: int = 2048
    document: int = 4 * _MIB

    def __post_init__(self) -> None:
        for name in type(self).__annotations__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"the limit {name} is {type(value).__name__} and not int")
            if value < 0:
                raise ValueError(f"the limit {name} is {value}: a limit is not negative")

    @classmethod
    def none(cls) -> Self:
        """Return limits that nothing reaches, for trusted input; a zstd window is 2 GiB at most all the same."""
        return cls(**dict.fromkeys(cls.__annotations__, sys.maxsize))

    def check(self, limit: str, value: int, what: str) -> None:
        """Refuse what is beyond a limit.

        :param limit: the name of the limit.
        :param value: how much there is.
        :param what: what there is too much of, as ``"the layer has more entries"``.
        :raises LimitError: it is.
        """
        most: int = getattr(self, limit)
        if value > most:
            raise errors.LimitError(f"{what} than the limit {limit} of {most} takes: raise it to go on", limit=limit)
