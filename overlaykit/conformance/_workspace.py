"""A directory for one test, removed whatever a driver left in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["workspace"]


@contextlib.contextmanager
def workspace(base: Path) -> Iterator[Path]:
    """Make a directory below ``base`` and remove it at the end, directories without permission bits included."""
    path = Path(tempfile.mkdtemp(prefix="overlaykit-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, onerror=_open_up)


def _open_up(function: Callable[..., object], path: str, error: object) -> None:
    # A directory that its owner cannot list or write, as overlayfs makes one in its work directory.
    if function is os.rmdir:
        raise error[1]  # type: ignore[index]
    parent = Path(path).parent
    for directory in (parent, Path(path)):
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(0o700)
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path)
    else:
        Path(path).unlink()
