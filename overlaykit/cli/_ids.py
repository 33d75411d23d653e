"""Owners as they are without root: with the ids of /etc/subuid, in a user namespace."""

from __future__ import annotations

import os

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SWITCH", "enter_for_store"]

SWITCH = "OVERLAYKIT_SUBIDS"
"""The environment variable that keeps new stores out of user namespaces: ``no``."""


def enter_for_store(path: Path, *, create: bool) -> str | None:
    """Move this process into a user namespace where the store was made in one, or will be.

    A new store is made in one wherever the user has ids in /etc/subuid: then owners are real, and containers have other
    users than root. Of an existing one its marker says it.

    :param path: the directory of the store.
    :param create: a store is made where there is none.
    :returns: what a new store lacks for want of them, in one line with what would help.
    :raises UnsupportedError: the store needs one, and none can be had: the message says what is missing.
    """
    from .. import linux
    from ..store import needs_user_namespace

    if os.geteuid() == 0 or not linux.available():
        return None
    needed = needs_user_namespace(path)
    if needed is None and create and os.environ.get(SWITCH) != "no":
        missing = linux.missing_ids()
        if missing is not None:
            return f"in this new store, containers have user 0 alone: {missing}"
        needed = True
    if needed:
        linux.enter_user_namespace()
    return None
