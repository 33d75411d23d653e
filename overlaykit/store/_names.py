"""Keys, names and labels: what the store takes, and how messages show them."""

from __future__ import annotations

import os

from .. import errors
from ..driver import SnapshotId

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAX_BYTES", "check_labels", "check_name", "list_names", "new_id", "plain_labels", "show"]

MAX_BYTES = 65536
"""The longest key, label name or label value, in bytes of UTF-8."""

_SHOWN = 60
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def show(name: str) -> str:
    """Return a name as one line of a message shows it: quoted, escaped, cut where it is long."""
    if len(name) <= _SHOWN:
        return repr(name)
    return f"{name[:_SHOWN]!r}... ({len(name)} characters)"


def list_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names as a message lists them, and how many more there are."""
    text = ", ".join(show(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def check_name(name: object, what: str = "key") -> str:
    """Return the text if it can be a key.

    Any text can but the empty one: it never becomes a path. NUL is refused because C interfaces would cut there.

    :param what: what messages call it.
    :raises InvalidNameError: empty, no text, a NUL, or a lone surrogate, which has no UTF-8.
    :raises NameTooLongError: longer than :data:`MAX_BYTES`.
    """
    if not isinstance(name, str):
        raise errors.InvalidNameError(f"the {what} must be text, not {type(name).__name__}")
    if not name:
        raise errors.InvalidNameError(f"the {what} is empty: give at least one character")
    _check_text(name, what)
    return name


def _check_text(text: str, what: str) -> None:
    # The length in characters is a lower bound of that in bytes: nothing huge is encoded only to be refused.
    size = len(text)
    if size <= MAX_BYTES:
        if text.isascii():
            if "\0" in text:
                raise errors.InvalidNameError(f"the {what} {show(text)} has a NUL character: leave it out")
            return
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise errors.InvalidNameError(
                f"the {what} {show(text)} has a lone surrogate at {error.start}, which is no text: decode it rightly"
            ) from None
    if size > MAX_BYTES:
        raise errors.NameTooLongError(f"the {what} {show(text)} is too long: at most {MAX_BYTES} bytes of UTF-8")
    if "\0" in text:
        raise errors.InvalidNameError(f"the {what} {show(text)} has a NUL character: leave it out")


def check_labels(labels: Mapping[str, str | None] | None, *, deleting: bool = False) -> dict[str, str | None]:
    """Return a copy of the labels if they can be ones: text to text.

    :param deleting: whether a value may be ``None``.
    :raises InvalidNameError: a name cannot be one (:func:`check_name`) or a value is no text.
    :raises NameTooLongError: a name or a value is longer than :data:`MAX_BYTES`.
    """
    if labels is None:
        return {}
    checked: dict[str, str | None] = {}
    for name, value in labels.items():
        check_name(name, "label")
        if value is not None or not deleting:
            if not isinstance(value, str):
                raise errors.InvalidNameError(
                    f"the label {show(name)} must have text as its value, not {type(value).__name__}"
                )
            _check_text(value, f"value of the label {show(name)}:")
        checked[name] = value
    return checked


def plain_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of labels that are set, not updated; see :func:`check_labels`."""
    return check_labels(labels)  # type: ignore[return-value]


def new_id() -> SnapshotId:
    """Return an id that was never used: 26 characters of ``[0-9a-v]``, each five random bits."""
    return SnapshotId("".join(_DIGITS[byte & 31] for byte in os.urandom(26)))
