"""JSON documents from strangers: of bounded size and depth, each member of the type that it must have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors

if TYPE_CHECKING:
    from ..changeset import Limits

__all__ = ["Document", "loads", "parse"]

_T = TypeVar("_T")


class Document:
    """An object of a document, whose members are asked for by type.

    :param value: the object.
    :param what: what it is, for messages.
    """

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise errors.ImageFormatError(f"{what} is no JSON object: make or fetch the image again")
        self.value: dict[str, Any] = value
        self.what = what

    def text(self, key: str, default: str | None = "") -> str:
        """Return a string; without a default it must be there."""
        return self._get(key, str, default)

    def number(self, key: str, default: int | None = None) -> int:
        """Return an integer that is not negative."""
        number = self._get(key, int, default)
        if isinstance(number, bool) or number < 0:
            raise self.bad(f"{key} is no size")
        return number

    def flag(self, key: str) -> bool:
        """Return a truth value, by default false."""
        return self._get(key, bool, False)

    def items(self, key: str) -> list[Any]:
        """Return a list, by default an empty one."""
        return self._get(key, list, [])

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.items(key)
        if not all(isinstance(value, str) for value in values):
            raise self.bad(f"{key} is no list of strings")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        """Return an object of strings."""
        values = self._get(key, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise self.bad(f"{key} is no object of strings")
        return dict(values)

    def inner(self, key: str) -> Document:
        """Return an object, by default an empty one."""
        return Document(self._get(key, dict, {}), f"{key} of {self.what}")

    def _get(self, key: str, kind: type[_T], default: _T | None) -> _T:
        value = self.value.get(key)
        if value is None:
            if default is None:
                raise self.bad(f"{key} is missing")
            return default
        if not isinstance(value, kind):
            raise self.bad(f"{key} is of the wrong type")
        return value

    def bad(self, why: str) -> errors.ImageFormatError:
        """Return the error for something that is wrong with it."""
        return errors.ImageFormatError(f"{self.what} is not what the specification says: {why}")


def parse(data: bytes, what: str, limits: Limits) -> Document:
    """Read a document.

    :raises ImageFormatError: it is no JSON object in UTF-8.
    :raises LimitError: it is too large.
    """
    limits.check("document", len(data), f"{what} is larger")
    try:
        value = loads(data)
    except ValueError as error:
        raise errors.ImageFormatError(f"{what} is no JSON ({error!s:.120}): make or fetch the image again") from error
    return Document(value, what)


def loads(data: bytes) -> Any:
    """Return what JSON text in UTF-8 holds.

    Of two members with one name some readers take the first and others the last: such text is refused, because it
    could be one image for whoever checks it and another one for whoever runs it.

    :raises ValueError: it is none, nested deeper than anything honest is, or has such members.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        left = set(found)
        for name, _ in pairs:
            if name not in left:
                raise ValueError(f"{name!r:.60} comes twice in one object")
            left.discard(name)
    return found


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number")
