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


def _open_up(
    function: Callable[..., object], path: str, error: tuple[type[BaseException], BaseException, object]
) -> None:
    # A directory that its owner cannot list or write, as overlayfs makes them in its work directory.
    if function is os.rmdir or not isinstance(error[1], PermissionError):
        raise error[1]
    Path(path).parent.chmod(0o700)
    if Path(path).is_symlink() or not Path(path).is_dir():
        Path(path).unlink()
        return
    Path(path).chmod(0o700)
    # What the caller does next is to remove the directory itself.
    for entry in Path(path).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, onerror=_open_up)
        else:
            entry.unlink()
    Path(path).rmdir()
