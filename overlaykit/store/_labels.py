"""Labels as a value, and those that layers have."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["LABEL_BLOB", "LABEL_DIFF_ID", "LABEL_MEDIA_TYPE", "Labels"]

LABEL_DIFF_ID = "overlaykit.layer.diff-id"
"""The label of an applied layer: the digest of its uncompressed archive."""

LABEL_BLOB = "overlaykit.layer.blob"
"""The label of an applied layer: the digest of the blob that it came from."""

LABEL_MEDIA_TYPE = "overlaykit.layer.media-type"
"""The label of an image's layer: the media type that the manifest gives the blob it came from."""


class Labels(dict[str, str]):
    """A dictionary that cannot be changed; unlike a mapping proxy it can be pickled, copied and written as JSON."""

    __slots__ = ()

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise TypeError("a snapshot's labels cannot be changed here: use Store.update_labels()")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Labels], tuple[dict[str, str]]]:
        return Labels, (dict(self),)

    def __copy__(self) -> Labels:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Labels:
        return self
