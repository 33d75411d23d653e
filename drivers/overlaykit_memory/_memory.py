"""The machine's memory as statvfs figures."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, cast

__all__ = ["memory_figures"]

_BLOCK = 4096
_NAME_MAX = 255
_RDONLY = 1  # os.ST_RDONLY, which not every platform has


class _Figures(NamedTuple):
    """``os.statvfs_result`` where the platform has none."""

    f_bsize: int
    f_frsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_files: int
    f_ffree: int
    f_favail: int
    f_flag: int
    f_namemax: int
    f_fsid: int


def memory_figures(readonly: bool) -> os.statvfs_result:
    """Return all and available memory in blocks of 4 KiB."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total // _BLOCK, memory.available // _BLOCK
    figures = (_BLOCK, _BLOCK, total, free, free, total, free, free, _RDONLY if readonly else 0, _NAME_MAX, 0)
    own: Any = getattr(os, "statvfs_result", None)
    return cast("os.statvfs_result", own(figures) if own else _Figures(*figures))
