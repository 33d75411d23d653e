"""Paths of layers: what they mean, and how errors name them."""

from __future__ import annotations

import errno
import os

from .. import errors

__all__ = [
    "META",
    "NAME",
    "OPAQUE",
    "UNFIT",
    "WHITEOUT",
    "is_below_meta",
    "is_whiteout",
    "refused",
    "show",
    "unfit",
]

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
META = b".wh..wh."
"""What AUFS kept for itself; Docker's layers of old have some."""

NAME = 255
"""Bytes of a name."""

UNFIT = frozenset(
    (
        errno.E2BIG,
        errno.EACCES,
        errno.EFBIG,
        errno.EINVAL,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.EOPNOTSUPP,
        errno.EOVERFLOW,
        errno.EPERM,
        errno.ERANGE,
    )
)
"""What drivers say of something that they cannot keep."""


def is_whiteout(path: bytes) -> bool:
    """Tell whether a path of an archive is a whiteout's or an opaque marker's."""
    return path.rstrip(b"/").rpartition(b"/")[2].startswith(WHITEOUT)


def is_below_meta(path: bytes) -> bool:
    """Tell whether a path leads through something that AUFS kept for itself."""
    return META in path and any(name.startswith(META) for name in path.split(b"/")[:-1])


def show(path: bytes) -> str:
    """Return a path as errors name it."""
    return repr(os.fsdecode(path if len(path) <= NAME else path[:NAME] + b"..."))


def refused(path: bytes, why: str) -> errors.LayerFormatError:
    """Return that a layer has what no layer may have."""
    return errors.LayerFormatError(f"the layer's {show(path)} {why}: make the layer again")


def unfit(error: OSError, path: bytes | None) -> errors.UnsupportedError:
    """Return that something cannot be kept.

    :param path: whose it is; ``None`` where the error knows it.
    """
    shown = show(os.fsencode(error.filename or b"something") if path is None else path)
    return errors.UnsupportedError(
        f"{shown} of the layer cannot be kept here ({error.strerror}): take another driver or file system, or make the "
        "layer without it"
    )
