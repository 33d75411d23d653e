"""Whose ids the owners in a store are: the machine's, or those of a user namespace with the ranges of /etc/subuid."""

from __future__ import annotations

import json
import os

from .. import errors, linux

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["check_ids", "marked_ids", "needs_user_namespace"]

_MARKER = "overlaykit.json"
_IDS = "ids"
_NAMESPACE = "user-namespace"


def marked_ids() -> dict[str, str]:
    """Return what the marker of a store says that this process makes."""
    return {_IDS: _NAMESPACE} if linux.in_user_namespace() else {}


def check_ids(directory: Path, marker: Mapping[str, object]) -> None:
    """Refuse a store whose owners would be others here than where it was made.

    :raises StoreAccessError: it was made in a user namespace, and this process is in none.
    """
    if marker.get(_IDS) == _NAMESPACE and not linux.in_user_namespace():
        raise errors.StoreAccessError(
            f"the store {directory} was made in a user namespace, with the owners of its ids: open it in overlaykit "
            "unshare -- COMMAND as the same user, or after overlaykit.linux.enter_user_namespace()",
            filename=directory,
        )


def needs_user_namespace(path: str | os.PathLike[str]) -> bool | None:
    """Tell whether a store was made in a user namespace, and can be opened in such a one alone.

    :param path: its directory.
    :returns: ``None`` where there is no store, or none that can be read.
    """
    try:
        with open(os.path.join(path, _MARKER), encoding="utf-8") as file:
            marker = json.loads(file.read(65536))
    except (OSError, ValueError):
        return None
    return marker.get(_IDS) == _NAMESPACE if isinstance(marker, dict) else None
