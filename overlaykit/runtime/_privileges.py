"""What this process may do, and with it the containers that it starts."""

from __future__ import annotations

import enum

from .. import linux

__all__ = ["Privileges", "explain_ids", "one_user_alone"]

_REFUSED = (
    rb"(?i)\b(l?chown|chgrp|fchownat|set[eu]?[ug]id|setres[ug]id|setgroups|initgroups|change (owner|group)|ownership)\b"
    rb".*(invalid argument|not permitted)"
)
"""What programs say where a user that does not exist is to own something, or to run them (EINVAL, EPERM)."""


class Privileges(enum.Enum):
    """Who starts a container."""

    ROOT = "root"
    """Root of the machine, or of a container that has all ids."""

    NAMESPACE = "namespace"
    """Root of a user namespace: it has the ids that are mapped there, and the container shares the namespace."""

    USER = "user"
    """An ordinary user: the container gets a user namespace in which that user is 0 and nobody else exists."""

    @classmethod
    def find(cls) -> Privileges:
        """Return those of this process."""
        if not linux.is_mount_admin():
            return cls.USER
        return cls.NAMESPACE if linux.in_user_namespace() else cls.ROOT


def one_user_alone() -> str:
    """Tell why a container has one user and one group alone, and what would help, in the middle of a sentence."""
    missing = linux.missing_ids()
    if missing is None:
        missing = (
            "this store was made without the ids of /etc/subuid: make another one, with overlaykit or in overlaykit "
            "unshare -- COMMAND"
        )
    return f"a container has user 0 and group 0 alone here, because {missing}"


def explain_ids(output: bytes) -> str | None:
    """Tell why a program that failed could not give something to another user, or become one.

    :param output: the last that it wrote.
    :returns: ``None`` where that is not what it says, or where the container had other users.
    """
    import re

    if Privileges.find() is Privileges.USER and re.search(_REFUSED, output):
        return one_user_alone()
    return None
